"""conv_transpose2d against torch in double precision."""

import itertools

import numpy as np
import onebyone as ob
import pytest
import torch
import torch.nn.functional as F
from helpers import (
    ACTIVATIONS,
    FLOAT32,
    activate_torch,
    from_layout,
    mismatch,
    to_layout,
    tolerance,
    uniform,
    views,
)

ERRORS = (TypeError, ValueError)


def double(a):
    return None if a is None else torch.from_numpy(np.array(a, order="C")).double()


def cases():
    """(C, K, size, kernel, stride, padding, output_padding, groups, dilation)."""
    channels = itertools.cycle([(1, 1, 1), (3, 17, 1), (16, 5, 1), (6, 9, 3), (5, 5, 5)])
    sizes = itertools.cycle([(1, 1), (4, 7), (5, 3), (8, 13)])
    dilations = itertools.cycle([1, 1, (2, 1), 3])
    for kernel, stride in itertools.product([1, 2, 3, 4, (2, 5)], [1, 2, 3, (2, 1)]):
        for padding, output_padding in [(0, 0), (1, 0), ((0, 1), (0, 0)), (0, 1), (1, (1, 0))]:
            c, k, groups = next(channels)
            dilation = next(dilations)
            yield c, k, next(sizes), kernel, stride, padding, output_padding, groups, dilation


def test_conv_transpose2d(rng, dtype, layout):
    count = 0
    for c, k, size, kernel, *arguments in cases():
        kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        x = uniform(rng, (2, c, *size), dtype)
        w = uniform(rng, (c, k // arguments[3], *kernel), dtype)
        b = uniform(rng, k, dtype) if count % 3 else None
        given = to_layout(x, layout)
        try:
            want = F.conv_transpose2d(double(x), double(w), double(b), *arguments).numpy()
        except RuntimeError:
            with pytest.raises(ValueError):
                ob.conv_transpose2d(given, w, b, *arguments, layout=layout)
            continue
        y = ob.conv_transpose2d(given, w, b, *arguments, layout=layout)
        bound = tolerance(c // arguments[3] * kernel[0] * kernel[1] + 1, dtype)
        problem = mismatch(from_layout(y, layout), want, bound, dtype)
        assert not problem, (c, k, size, kernel, arguments, problem)
        one = ob.conv_transpose2d(given[1], w, b, *arguments, layout=layout)
        np.testing.assert_array_equal(one, y[1])
        count += 1
    assert count > 60


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_activation(activation, kernel, rng, dtype, layout):
    """Also where no tap falls, and only the bias is activated (kernel 1, stride 2)."""
    x, w, b = (uniform(rng, s, dtype) for s in [(1, 5, 6, 7), (5, 4, kernel, kernel), (4,)])
    want = activate_torch(F.conv_transpose2d(double(x), double(w), double(b), 2), activation)
    y = ob.conv_transpose2d(to_layout(x, layout), w, b, 2, activation=activation, layout=layout)
    bound = tolerance(5 * kernel * kernel + 1, dtype, activation)
    assert not mismatch(from_layout(y, layout), want.numpy(), bound, dtype)


def test_asymmetric_padding(rng, layout):
    x, w = uniform(rng, (1, 3, 5, 6), FLOAT32), uniform(rng, (3, 4, 3, 3), FLOAT32)
    whole = F.conv_transpose2d(double(x), double(w), None, 2).numpy()
    y = ob.conv_transpose2d(
        to_layout(x, layout), w, stride=2, padding=((2, 0), (1, 3)), layout=layout
    )
    want = whole[:, :, 2:, 1:-3]
    assert not mismatch(from_layout(y, layout), want, tolerance(27, FLOAT32), FLOAT32)


def test_views_out_and_tensors(rng, layout):
    x = to_layout(uniform(rng, (2, 5, 4, 6), FLOAT32), layout)
    w, b = uniform(rng, (5, 3, 4, 4), FLOAT32), uniform(rng, 3, FLOAT32)
    want = ob.conv_transpose2d(x, w, b, 2, 1, layout=layout)
    for (name, a), (_, weight), (_, bias) in zip(views(x), views(w), views(b), strict=False):
        y = ob.conv_transpose2d(a, weight, bias, 2, 1, layout=layout)
        np.testing.assert_allclose(y, want, rtol=0, atol=tolerance(80, FLOAT32), err_msg=name)
    out = np.full(want.shape, np.nan, np.float32)
    assert ob.conv_transpose2d(x, w, b, 2, 1, layout=layout, out=out) is out
    np.testing.assert_array_equal(out, want)
    tensor = ob.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(w), b, 2, 1, layout=layout)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), want)
    with ob.threads(3):
        np.testing.assert_array_equal(ob.conv_transpose2d(x, w, b, 2, 1, layout=layout), want)
    empty = ob.conv_transpose2d(x[:0], w, b, 2, 1, layout=layout)
    assert empty.shape == (0, *want.shape[1:])


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("x", "4 dimensions"), {"x": ones(4, 5)}),
        (("x", "int64"), {"x": ones(1, 4, 5, 5, dtype=np.int64)}),
        (("weight", "4", "5"), {"x": ones(1, 5, 5, 5)}),
        (("weight", "(C, K/groups, R, S)"), {"weight": ones(4, 3)}),
        (("weight", "float64"), {"weight": ones(4, 3, 2, 2, dtype=np.float64)}),
        (("bias", "3"), {"bias": ones(4)}),
        (("stride",), {"stride": 0}),
        (("padding", "negative"), {"padding": -1}),
        (("padding", "less padding"), {"padding": 4}),
        (("padding",), {"padding": "same"}),
        (("output_padding",), {"output_padding": 2, "stride": 2}),
        (("output_padding",), {"output_padding": -1}),
        (("dilation",), {"dilation": 0}),
        (("groups", "3"), {"groups": 3}),
        (("groups",), {"groups": 0}),
        (("activation",), {"activation": "swish"}),
        (("layout",), {"layout": "CHWN"}),
        (("out",), {"out": ones(1, 3, 6, 5)}),
    ],
    ids=str,
)
def test_errors(words, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.conv_transpose2d(**{"x": ones(1, 4, 5, 5), "weight": ones(4, 3, 2, 2), **arguments})
    for word in ("conv_transpose2d", *words):
        assert word in str(caught.value), str(caught.value)
