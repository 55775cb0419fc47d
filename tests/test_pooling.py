"""Pooling, functions and layers, against torch; NaN, views, out=, errors."""

import itertools

import numpy as np
import onebyone as ob
import pytest
import torch
import torch.nn.functional as F
from helpers import FLOAT32, from_layout, mismatch, to_layout, tolerance, uniform, views

ERRORS = (TypeError, ValueError)


def double(x):
    return torch.from_numpy(np.array(x, order="C")).double()


def cases():
    """(channels, size, kernel, stride, padding, dilation), paddings as torch allows them."""
    channels = itertools.cycle([1, 3, 16, 17, 40])
    sizes = itertools.cycle([(7, 7), (5, 33), (14, 14), (13, 8), (9, 31)])
    dilations = itertools.cycle([1, 1, (2, 1), 2])
    for kernel, stride, pad in itertools.product(
        [1, 2, 3, (3, 2), (1, 5)], [None, 1, 2, (2, 3)], [0, 1, (1, 0)]
    ):
        extent = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        pads = pad if isinstance(pad, tuple) else (pad, pad)
        if all(2 * p <= k for p, k in zip(pads, extent, strict=True)):
            yield next(channels), next(sizes), kernel, stride, pad, next(dilations)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool2d(ceil_mode, rng, dtype, layout):
    count = 0
    for c, size, *arguments in cases():
        x = uniform(rng, (2, c, *size), dtype)
        try:
            want = F.max_pool2d(double(x), *arguments, ceil_mode).numpy()
        except RuntimeError:
            with pytest.raises(ValueError, match="larger than x"):
                ob.max_pool2d(to_layout(x, layout), *arguments, ceil_mode, layout=layout)
            continue
        y = ob.max_pool2d(to_layout(x, layout), *arguments, ceil_mode, layout=layout)
        assert not mismatch(from_layout(y, layout), want, 0, dtype), (c, size, arguments)
        count += 1
    assert count > 30


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("divisor", [None, 5, -3])
def test_avg_pool2d(ceil_mode, count_include_pad, divisor, rng, dtype, layout):
    for c, size, *window, _ in cases():
        x = uniform(rng, (2, c, *size), dtype)
        arguments = (*window, ceil_mode, count_include_pad, divisor)
        want = F.avg_pool2d(double(x), *arguments).numpy()
        y = ob.avg_pool2d(to_layout(x, layout), *arguments, layout=layout)
        problem = mismatch(from_layout(y, layout), want, tolerance(9, dtype), dtype)
        assert not problem, (c, size, arguments, problem)


@pytest.mark.parametrize("output_size", [1, 3, (2, 5), (None, 2), (7, None), None, (9, 11), 0])
def test_adaptive_avg_pool2d(output_size, rng, dtype, layout):
    for c, size in itertools.product([1, 5, 300], [(7, 7), (3, 10), (1, 1), (16, 33)]):
        x = uniform(rng, (2, c, *size), dtype)
        pair = output_size if isinstance(output_size, tuple) else (output_size, output_size)
        want = F.adaptive_avg_pool2d(double(x), pair).numpy()
        y = ob.adaptive_avg_pool2d(to_layout(x, layout), output_size, layout=layout)
        assert not mismatch(from_layout(y, layout), want, tolerance(528, dtype), dtype), (c, size)


def test_asymmetric_padding(rng, dtype, layout):
    x = uniform(rng, (2, 5, 8, 9), dtype)
    padded = F.pad(double(x), (2, 0, 1, 2), value=-torch.inf)
    want = F.max_pool2d(padded, 3, 2).numpy()
    y = ob.max_pool2d(to_layout(x, layout), 3, 2, ((1, 2), (2, 0)), layout=layout)
    assert not mismatch(from_layout(y, layout), want, 0, dtype)
    want = F.avg_pool2d(F.pad(double(x), (2, 0, 1, 2)), 3, 2).numpy()
    y = ob.avg_pool2d(to_layout(x, layout), 3, 2, ((1, 2), (2, 0)), layout=layout)
    assert not mismatch(from_layout(y, layout), want, tolerance(9, dtype), dtype)


def test_nan_and_infinity(rng, layout):
    x = rng.choice(np.array([np.nan, np.inf, -np.inf, -np.inf, 1, -2], np.float32), (1, 20, 9, 40))
    for arguments in [(3, 1, 1), (3, 2, 1), (2, 2, 0), (3, 3, 0)]:
        for name in ["max_pool2d", "avg_pool2d"]:
            want = getattr(F, name)(torch.from_numpy(x), *arguments).numpy()
            y = getattr(ob, name)(to_layout(x, layout), *arguments, layout=layout)
            np.testing.assert_allclose(from_layout(y, layout), want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (0, 3, 0, 5)])
def test_empty(shape):
    x = np.ones(shape, np.float32)
    assert ob.max_pool2d(x, 2).shape == (*shape[:2], shape[2] // 2, 2)
    assert ob.avg_pool2d(x, 2).shape == (*shape[:2], shape[2] // 2, 2)
    assert ob.adaptive_avg_pool2d(x, 3).shape == (*shape[:2], 3, 3)


def test_views_one_image_and_tensors(rng, layout):
    x = to_layout(uniform(rng, (2, 5, 6, 9), FLOAT32), layout)
    want = ob.max_pool2d(x, 3, 2, 1, layout=layout)
    for name, view in views(x):
        np.testing.assert_array_equal(ob.max_pool2d(view, 3, 2, 1, layout=layout), want, name)
        y = ob.max_pool2d(view[1], 3, 2, 1, layout=layout)
        np.testing.assert_array_equal(y, want[1], name)
    tensor = ob.max_pool2d(torch.from_numpy(x), 3, 2, 1, layout=layout)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), want)
    out = np.full(want.shape, 7, np.float32)
    assert ob.max_pool2d(x, 3, 2, 1, layout=layout, out=out) is out
    np.testing.assert_array_equal(out, want)


def test_threads_and_batch_change_nothing(rng, layout):
    x = to_layout(uniform(rng, (3, 40, 57, 61), FLOAT32), layout)
    for function in (ob.max_pool2d, ob.avg_pool2d):
        with ob.threads(1):
            want = function(x, 3, 2, 1, layout=layout)
        with ob.threads(3):
            np.testing.assert_array_equal(function(x, 3, 2, 1, layout=layout), want)
        for image, expected in zip(x, want, strict=True):
            np.testing.assert_array_equal(function(image, 3, 2, 1, layout=layout), expected)
    with ob.threads(1):
        want = ob.adaptive_avg_pool2d(x, 1, layout=layout)
    np.testing.assert_array_equal(ob.adaptive_avg_pool2d(x, 1, layout=layout), want)
    np.testing.assert_array_equal(ob.adaptive_avg_pool2d(x[1], 1, layout=layout), want[1])


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("x", "4 dimensions"), {"x": np.ones((4, 5), np.float32)}),
        (("x", "int64"), {"x": np.ones((1, 2, 4, 5), np.int64)}),
        (("kernel_size", "at least 1"), {"kernel_size": 0}),
        (("kernel_size",), {"kernel_size": 2.5}),
        (("kernel_size", "larger"), {"kernel_size": 5}),
        (("stride",), {"stride": (1, 2, 3)}),
        (("stride", "at least 1"), {"stride": 0}),
        (("padding", "slice x"), {"padding": -1}),
        (("padding", "less padding"), {"padding": 2}),
        (("padding",), {"padding": "same"}),
        (("dilation",), {"dilation": 0}),
        (("ceil_mode",), {"ceil_mode": 1}),
        (("layout",), {"layout": "CHWN"}),
        (("out",), {"out": np.ones((1, 2, 2, 3), np.float32)}),
    ],
    ids=str,
)
def test_errors(words, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.max_pool2d(**{"x": np.ones((1, 2, 4, 5), np.float32), "kernel_size": 2, **arguments})
    for word in ("max_pool2d", *words):
        assert word in str(caught.value), str(caught.value)


def test_more_errors():
    x = np.ones((1, 2, 4, 5), np.float32)
    with pytest.raises(ValueError, match="divisor_override"):
        ob.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(TypeError, match="count_include_pad"):
        ob.avg_pool2d(x, 2, count_include_pad="no")
    for bad in [-1, (1, 2, 3), 1.5, "1"]:
        with pytest.raises(ERRORS, match="output_size"):
            ob.adaptive_avg_pool2d(x, bad)
    with pytest.raises(ValueError, match="no pixels"):
        ob.adaptive_avg_pool2d(x[:, :, :0], 1)
    with pytest.raises(ValueError, match="overlaps"):
        ob.max_pool2d(x, 1, out=x)


LAYERS = [
    (ob.nn.MaxPool2d, torch.nn.MaxPool2d, (3, 2, 1), {}),
    (ob.nn.MaxPool2d, torch.nn.MaxPool2d, (2,), {"ceil_mode": True}),
    (ob.nn.MaxPool2d, torch.nn.MaxPool2d, (3, 2), {"ceil_mode": True, "dilation": 2}),
    (ob.nn.AvgPool2d, torch.nn.AvgPool2d, (3, 2, 1), {"count_include_pad": False}),
    (ob.nn.AvgPool2d, torch.nn.AvgPool2d, ((2, 3), 2, (1, 1)), {"ceil_mode": True}),
    (ob.nn.AvgPool2d, torch.nn.AvgPool2d, (2,), {"divisor_override": 3}),
    (ob.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveAvgPool2d, (1,), {}),
    (ob.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveAvgPool2d, ((None, 3),), {}),
]


@pytest.mark.parametrize(("ours", "theirs", "arguments", "options"), LAYERS)
def test_layers(ours, theirs, arguments, options, rng, layout):
    for size in [(8, 9), (7, 12), (13, 6)]:
        x = uniform(rng, (2, 5, *size), FLOAT32)
        layer = ours(*arguments, **options)
        want = theirs(*arguments, **options)(double(x)).numpy()
        given = to_layout(x, layout)
        y = layer(given, layout)
        assert not mismatch(from_layout(y, layout), want, tolerance(9, FLOAT32), FLOAT32)
        assert layer.output_shape(given.shape, layout) == y.shape
        assert layer.multiply_adds(given.shape, layout) == 0
        assert not layer.state_dict()


def test_global_avg_pool(rng, layout):
    x = to_layout(uniform(rng, (2, 5, 7, 6), FLOAT32), layout)
    layer = ob.nn.GlobalAvgPool2d()
    y = layer(x, layout)
    assert y.shape == layer.output_shape(x.shape, layout)
    axes = (2, 3) if layout == "NCHW" else (1, 2)
    np.testing.assert_allclose(y, x.mean(axes, keepdims=True), rtol=0, atol=1e-6)
    assert repr(layer) == "GlobalAvgPool2d()"


def test_layer_arguments():
    assert repr(ob.nn.MaxPool2d(3, 2, 1)) == (
        "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))"
    )
    assert ob.nn.MaxPool2d(3).stride == (3, 3)
    for make, word in [
        (lambda: ob.nn.MaxPool2d(0), "kernel_size"),
        (lambda: ob.nn.MaxPool2d(2, 0), "stride"),
        (lambda: ob.nn.MaxPool2d(2, padding="same"), "padding"),
        (lambda: ob.nn.MaxPool2d(2, dilation=1.5), "dilation"),
        (lambda: ob.nn.AvgPool2d(2, divisor_override=0), "divisor_override"),
        (lambda: ob.nn.AdaptiveAvgPool2d((1, 2, 3)), "output_size"),
        (lambda: ob.nn.AdaptiveAvgPool2d(0), "output_size"),
    ]:
        with pytest.raises(ERRORS, match=word):
            make()
    with pytest.raises(ValueError, match="MaxPool2d"):
        ob.nn.MaxPool2d(5).output_shape((1, 2, 4, 4))
    with pytest.raises(ValueError, match="3 or 4 dimensions"):
        ob.nn.GlobalAvgPool2d().output_shape((4, 4))
