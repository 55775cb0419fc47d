"""The depthwise algorithm: one filter per channel, channels last."""

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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_channels(channels, dtype):
    rng = np.random.default_rng(channels)
    x, weight, bias, want = case(rng, dtype, channels, (3, 3), (5, 7), padding=1)
    y = ob.conv2d(x, weight, bias, padding=1, groups=channels, layout="NHWC", algorithm="depthwise")
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
    y = ob.conv2d(x, weight, bias, **geometry, groups=19, layout="NHWC", algorithm="depthwise")
    assert y.shape == want.shape
    assert np.abs(y - want).max() <= tolerance("float32", kernel)


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu", ("leaky_relu", 0.2)])
@pytest.mark.parametrize("channels", [3, 21])
def test_epilogue(activation, channels):
    rng = np.random.default_rng(1)
    x, weight, bias, _ = case(rng, "float32", channels, (3, 3), (6, 5))
    arguments = {"groups": channels, "layout": "NHWC", "activation": activation}
    residual = rng.uniform(-1, 1, (2, 4, 3, channels)).astype("float32")
    for extra in ({}, {"residual": residual}):
        y = ob.conv2d(x, weight, bias, **arguments, **extra, algorithm="depthwise")
        want = ob.conv2d(x, weight, bias, **arguments, **extra, algorithm="reference")
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


def test_refuses_what_it_cannot_serve():
    x, weight = np.zeros((1, 6, 6, 4), "float32"), np.zeros((4, 1, 3, 3), "float32")
    with pytest.raises(ValueError, match=r"depthwise.*NHWC"):
        ob.conv2d(x.transpose(0, 3, 1, 2), weight, groups=4, algorithm="depthwise")
    with pytest.raises(ValueError, match=r"depthwise.*8 output channels for 4"):
        ob.conv2d(
            x, np.zeros((8, 1, 3, 3), "float32"), groups=4, layout="NHWC", algorithm="depthwise"
        )
