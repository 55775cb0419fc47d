"""The depthwise algorithm: groups of one channel, both layouts."""

import numpy as np
import onebyone as ob
import pytest
import torch


def case(rng, dtype, channels, kernel, size, **geometry):
    x = rng.uniform(-1, 1, (2, *size, channels)).astype(dtype)
    weight = rng.uniform(-1, 1, (channels, 1, *kernel)).astype(dtype)
    bias = rng.uniform(-1, 1, channels).astype(dtype)
    want = torch.nn.functional.conv2d(
        torch.from_numpy(x).double().permute(0, 3, 1, 2),
        torch.from_numpy(weight).double(),
        torch.from_numpy(bias).double(),
        groups=channels,
        **geometry,
    )
    return x, weight, bias, want.permute(0, 2, 3, 1).numpy()


def tolerance(dtype, kernel):
    return 2 * (kernel[0] * kernel[1] + 2) * np.finfo(dtype).eps


# Around the vectors of every ISA: 2, 4, 8 and 16 lanes, one or two at a time.
CHANNELS = [2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 40, 63, 64, 65, 130]


def planes(a):
    return np.ascontiguousarray(np.moveaxis(a, -1, -3))


def both_layouts(x, weight, bias=None, residual=None, **arguments):
    """By the depthwise algorithm, channels last."""
    yield ob.conv2d(
        x, weight, bias, **arguments, residual=residual, layout="NHWC", algorithm="depthwise"
    )
    residual = None if residual is None else planes(residual)
    y = ob.conv2d(planes(x), weight, bias, **arguments, residual=residual, algorithm="depthwise")
    yield np.moveaxis(y, -3, -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_channels(channels, dtype):
    rng = np.random.default_rng(channels)
    x, weight, bias, want = case(rng, dtype, channels, (3, 3), (5, 7), padding=1)
    for y in both_layouts(x, weight, bias, padding=1, groups=channels):
        assert y.dtype == dtype
        assert np.abs(y - want).max() <= tolerance(dtype, (3, 3))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (1, 7), (4, 2), (31, 31)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_geometry(kernel, stride, dilation):
    rng = np.random.default_rng(0)
    padding = tuple(dilation * (k - 1) // 2 for k in kernel)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    x, weight, bias, want = case(rng, "float32", 19, kernel, (14, 9), **geometry)
    for y in both_layouts(x, weight, bias, **geometry, groups=19):
        assert y.shape == want.shape
        assert np.abs(y - want).max() <= tolerance("float32", kernel)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 7, 8, 11, 13, 15, 16, 17, 31, 33, 50, 112])
@pytest.mark.parametrize("stride", [1, 2])
def test_widths_and_uneven_padding(width, stride):
    rng = np.random.default_rng(width)
    for kernel in ((3, 3), (5, 5), (7, 7)):
        x, weight, bias, _ = case(rng, "float32", 17, (1, 1), (6, width))
        weight = rng.uniform(-1, 1, (17, 1, *kernel)).astype("float32")
        arguments = {"stride": stride, "padding": ((5, 2), (3, 6)), "groups": 17}
        want = ob.conv2d(x, weight, bias, **arguments, layout="NHWC", algorithm="reference")
        for y in both_layouts(x, weight, bias, **arguments):
            assert np.abs(y - want).max() <= tolerance("float32", kernel)


@pytest.mark.parametrize("far", [40, 1000, 30_000, 2**31, 2**38])
@pytest.mark.parametrize("groups", [4, 8])
def test_far_taps_take_no_memory(far, groups):
    """Padding and strides many times the image, of which no row is ever written down."""
    rng = np.random.default_rng(5)
    x, weight, bias, _ = case(rng, "float32", 8, (1, 1), (5, 6))
    weight = rng.uniform(-1, 1, (8, 8 // groups, 3, 3)).astype("float32")
    for extra in (
        {"dilation": far},  # one tap is left
        {"stride": far},
        {"dilation": (1, far), "stride": (far, 1)},
        {"dilation": far, "stride": far, "padding": 2 * far},  # each output sees another tap
    ):
        arguments = {"padding": extra.get("dilation", 1), "groups": groups, **extra}
        want = ob.conv2d(x, weight, bias, **arguments, layout="NHWC", algorithm="reference")
        last = ob.conv2d(x, weight, bias, **arguments, layout="NHWC")
        first = ob.conv2d(planes(x), weight, bias, **arguments)
        for y in (last, np.moveaxis(first, -3, -1)):
            assert np.abs(y - want).max() <= 2 * tolerance("float32", (3, 3))


def test_says_what_padding_it_cannot_serve():
    x = np.ones((1, 8, 5, 6), np.float32)
    weight = np.ones((8, 1, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"dilation \(500, 500\)") as error:
        ob.conv2d(x, weight, padding=1000, dilation=500, groups=8, algorithm="depthwise")
    assert "'auto' or 'direct'" in str(error.value)


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu", ("leaky_relu", 0.2)])
@pytest.mark.parametrize("channels", [3, 21])
def test_epilogue(activation, channels):
    rng = np.random.default_rng(1)
    x, weight, bias, _ = case(rng, "float32", channels, (3, 3), (6, 5))
    arguments = {"groups": channels, "activation": activation}
    residual = rng.uniform(-1, 1, (2, 4, 3, channels)).astype("float32")
    for extra in ({}, {"residual": residual}):
        want = ob.conv2d(
            x, weight, bias, **arguments, **extra, layout="NHWC", algorithm="reference"
        )
        for y in both_layouts(x, weight, bias, **arguments, **extra):
            assert np.abs(y - want).max() <= tolerance("float32", (3, 3))


def test_is_the_automatic_choice_and_independent_of_threads():
    rng = np.random.default_rng(2)
    x, weight, bias, _ = case(rng, "float32", 150, (3, 3), (17, 13), padding=1)
    results = []
    for threads in (1, 2, 3, 7):
        plan = ob.Conv2dPlan(
            weight,
            bias,
            padding=1,
            groups=150,
            input_shape=x.shape,
            layout="NHWC",
            num_threads=threads,
        )
        assert plan.algorithm == "depthwise"
        results.append(plan(x))
    assert all(np.array_equal(results[0], y) for y in results[1:])


def test_threads_share_no_channel():
    """One row: threads divide the channels, and the last vector overlaps the one before."""
    rng = np.random.default_rng(4)
    for channels in (3, 5, 9, 17, 21, 31):
        x = rng.uniform(-1, 1, (1, 31, 190, channels)).astype("float32")
        weight = rng.uniform(-0.05, 0.05, (channels, 1, 31, 31)).astype("float32")
        arguments = {"groups": channels, "layout": "NHWC", "activation": "sigmoid"}
        with ob.threads(1):
            want = ob.conv2d(x, weight, **arguments)
        for threads in (2, 3, 5):
            with ob.threads(threads):
                for _ in range(10):
                    assert np.array_equal(ob.conv2d(x, weight, **arguments), want)


def test_views_and_padding_read_nothing_else():
    rng = np.random.default_rng(3)
    x, weight, bias, _ = case(rng, "float32", 12, (3, 3), (9, 8))
    hostile = np.full((2, 11, 10, 14), np.nan, "float32")
    hostile[:, 1:-1, 1:-1, 1:-1] = x
    views = {
        "surrounded by NaN": hostile[:, 1:-1, 1:-1, 1:-1],
        "channels first in memory": np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(
            0, 2, 3, 1
        ),
        "backwards": x[:, ::-1, ::-1, ::-1].copy()[:, ::-1, ::-1, ::-1],
    }
    arguments = {"padding": 1, "groups": 12, "layout": "NHWC", "algorithm": "depthwise"}
    want = ob.conv2d(x, weight, bias, **arguments)
    for name, view in views.items():
        assert np.array_equal(ob.conv2d(view, weight, bias, **arguments), want), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [2, 3, 8, 16, 21])
@pytest.mark.parametrize("multiplier", [2, 3, 4, 8, 17])
def test_multiplier(channels, multiplier, dtype):
    rng = np.random.default_rng(multiplier)
    x = rng.uniform(-1, 1, (2, 6, 9, channels)).astype(dtype)
    weight = rng.uniform(-1, 1, (channels * multiplier, 1, 3, 3)).astype(dtype)
    for stride in (1, 2):
        arguments = {"stride": stride, "padding": 1, "groups": channels}
        want = ob.conv2d(x, weight, **arguments, layout="NHWC", algorithm="reference")
        for y in both_layouts(x, weight, **arguments):
            assert np.abs(y - want).max() <= tolerance(dtype, (3, 3))


def test_refuses_what_it_cannot_serve():
    x = np.zeros((1, 6, 6, 4), "float32")
    with pytest.raises(ValueError, match=r"depthwise.*4 input channels in 2 groups"):
        ob.conv2d(
            x, np.zeros((8, 2, 3, 3), "float32"), groups=2, layout="NHWC", algorithm="depthwise"
        )
