"""Narrow groups: several to a vector, or a few vectors a group."""

import numpy as np
import onebyone as ob
import pytest
from helpers import ACTIVATIONS, conv2d_torch, from_layout, to_layout, tolerance


def case(rng, dtype, groups, ic, oc, kernel, size):
    x = rng.uniform(-1, 1, (2, groups * ic, *size)).astype(dtype)
    weight = rng.uniform(-1, 1, (groups * oc, ic, *kernel)).astype(dtype)
    return x, weight, rng.uniform(-1, 1, groups * oc).astype(dtype)


def check(layout, x, weight, bias, activation=None, **arguments):
    y = ob.conv2d(
        to_layout(x, layout), weight, bias, activation=activation, layout=layout, **arguments
    )
    want = conv2d_torch(x, weight, bias, activation=activation, **arguments)
    k = weight[0].size
    assert np.abs(from_layout(y, layout) - want).max() <= tolerance(k + 1, x.dtype, activation)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [2, 5, 16])
@pytest.mark.parametrize(
    "widths",
    [
        (2, 2),
        (3, 3),
        (4, 4),
        (4, 8),
        (8, 4),
        (2, 16),
        (8, 8),
        (12, 12),
        (16, 16),
        (24, 24),
        (15, 31),
    ],
)
def test_widths(widths, groups, dtype, layout):
    rng = np.random.default_rng(groups)
    x, weight, bias = case(rng, dtype, groups, *widths, (3, 3), (5, 9))
    check(layout, x, weight, bias, padding=1, groups=groups)
    check(layout, x, weight, None, padding=((0, 1), (2, 0)), stride=2, groups=groups)
    check(layout, x, weight[:, :, :1, :1], bias, groups=groups)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (1, 7), (4, 2)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_geometry(kernel, stride, dilation, layout):
    rng = np.random.default_rng(1)
    x, weight, bias = case(rng, "float32", 8, 4, 4, kernel, (13, 10))
    padding = tuple(dilation * (k - 1) // 2 for k in kernel)
    check(layout, x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=8)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_epilogue(activation, layout):
    rng = np.random.default_rng(2)
    x, weight, bias = case(rng, "float32", 9, 4, 4, (3, 3), (6, 8))
    residual = rng.uniform(-1, 1, (2, 36, 4, 6)).astype("float32")
    y = ob.conv2d(
        to_layout(x, layout),
        weight,
        bias,
        groups=9,
        activation=activation,
        residual=to_layout(residual, layout),
        layout=layout,
    )
    want = conv2d_torch(x, weight, bias, groups=9, activation=activation, residual=residual)
    assert np.abs(from_layout(y, layout) - want).max() <= tolerance(38, np.float32, activation)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_threads_views_and_neighbours(layout):
    rng = np.random.default_rng(3)
    x, weight, bias = case(rng, "float32", 10, 4, 4, (3, 3), (19, 17))
    arguments = {"padding": 1, "groups": 10, "layout": layout}
    x = to_layout(x, layout)
    want = ob.conv2d(x, weight, bias, **arguments)
    for threads in (1, 2, 3, 7):
        with ob.threads(threads):
            assert np.array_equal(ob.conv2d(x, weight, bias, **arguments), want)
    hostile = np.full(tuple(n + 2 for n in x.shape), np.nan, "float32")
    inner = (slice(1, -1),) * 4
    hostile[inner] = x
    reverse = (slice(None), *(slice(None, None, -1),) * 3)
    for view in (hostile[inner], x[reverse].copy()[reverse]):
        assert np.array_equal(ob.conv2d(view, weight, bias, **arguments), want)
