"""conv1d and linear against torch in double precision."""

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
    mismatch,
    same_padding,
    tolerance,
    uniform,
    views,
)


def double(a):
    return None if a is None else torch.from_numpy(np.array(a, order="C")).double()


def conv1d_torch(x, w, b, stride, padding, dilation, groups, activation=None):
    """x is (N, C, L) or (C, L); padding in any form of the contract."""
    if padding == "valid":
        before = after = 0
    elif padding == "same":
        before, after = same_padding(x.shape[-1], w.shape[-1], stride, dilation)
    elif isinstance(padding, int):
        before = after = padding
    else:
        (entry,) = padding
        before, after = entry if isinstance(entry, tuple) else (entry, entry)
    padded = F.pad(double(x), (before, after))
    y = F.conv1d(padded, double(w), double(b), stride, 0, dilation, groups)
    return activate_torch(y, activation).numpy()


def linear_torch(x, w, b=None, activation=None):
    return activate_torch(F.linear(double(x), double(w), double(b)), activation).numpy()


def swap(a, layout):
    return np.ascontiguousarray(np.swapaxes(a, -1, -2)) if layout == "NLC" else a


@pytest.fixture(params=["NCL", "NLC"])
def layout1d(request):
    return request.param


def conv1d_cases():
    """Every kernel x stride x padding, with channels, lengths, dilation and groups in turn."""
    channels = itertools.cycle([(1, 1, 1), (3, 17, 1), (16, 7, 1), (6, 9, 3), (5, 5, 5)])
    lengths = itertools.cycle([1, 2, 5, 7, 8, 13, 16, 17, 31, 50])
    dilations = itertools.cycle([1, 2, 1, 3])
    for kernel, stride, padding in itertools.product(
        [1, 2, 3, 5, 7],
        [1, 2, 3],
        [0, 1, 3, (2,), ((1, 0),), ((0, 3),), "same", "valid"],
    ):
        c, k, groups = next(channels)
        length, dilation = next(lengths), next(dilations)
        if length < dilation * (kernel - 1) + 1 and padding != "same":
            length += dilation * (kernel - 1)
        yield c, k, length, kernel, stride, padding, dilation, groups


def test_conv1d(rng, dtype, layout1d):
    failures = []
    count = 0
    for c, k, length, kernel, *geometry in conv1d_cases():
        x = uniform(rng, (2, c, length), dtype)
        w = uniform(rng, (k, c // geometry[-1], kernel), dtype)
        b = uniform(rng, k, dtype) if count % 3 else None
        want = conv1d_torch(x, w, b, *geometry)
        for image, expected in [(x, want), (x[0], want[0])]:
            y = ob.conv1d(swap(image, layout1d), w, b, *geometry, layout=layout1d)
            problem = mismatch(swap(y, layout1d), expected, tolerance(w[0].size + 1, dtype), dtype)
            if problem:
                failures.append(f"x {image.shape}, weight {w.shape}, {geometry}: {problem}")
        count += 1
    assert count == 120
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_conv1d_activation(activation, rng, dtype, layout1d):
    x, w, b = (uniform(rng, s, dtype) for s in [(2, 5, 19), (7, 5, 3), (7,)])
    y = ob.conv1d(swap(x, layout1d), w, b, 2, 1, activation=activation, layout=layout1d)
    want = conv1d_torch(x, w, b, 2, 1, 1, 1, activation)
    assert not mismatch(swap(y, layout1d), want, tolerance(16, dtype, activation), dtype)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference", "gemm"])
def test_conv1d_algorithms(algorithm, rng, dtype, layout1d):
    for kernel in [1] if algorithm == "gemm" else [1, 3]:
        x, w = uniform(rng, (2, 17, 23), dtype), uniform(rng, (19, 17, kernel), dtype)
        y = ob.conv1d(swap(x, layout1d), w, layout=layout1d, algorithm=algorithm)
        want = conv1d_torch(x, w, None, 1, 0, 1, 1)
        assert not mismatch(swap(y, layout1d), want, tolerance(w[0].size, dtype), dtype)


def test_conv1d_tuples_of_one(rng):
    x, w = uniform(rng, (2, 4, 19), FLOAT32), uniform(rng, (6, 2, 3), FLOAT32)
    want = ob.conv1d(x, w, None, 2, 3, 2, 2)
    y = ob.conv1d(x, w, bias=None, stride=(2,), padding=(3,), dilation=(2,), groups=2)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(ob.conv1d(x, w, None, 2, ((3, 3),), 2, 2), want)


def test_conv1d_out_and_views(rng, dtype, layout1d):
    x, w, b = (uniform(rng, s, dtype) for s in [(2, 5, 11), (7, 5, 3), (7,)])
    want = conv1d_torch(x, w, b, 1, 1, 1, 1)
    for (name, image), (_, weight) in zip(views(swap(x, layout1d)), views(w), strict=True):
        out = np.full(swap(want, layout1d).shape, np.nan, dtype)
        y = ob.conv1d(image, weight, b, padding=1, layout=layout1d, out=out)
        assert y is out
        problem = mismatch(swap(y, layout1d), want, tolerance(16, dtype), dtype)
        assert not problem, f"{name}: {problem}"


def test_conv1d_empty_batch(dtype, layout1d):
    x = np.ones((0, 5, 11) if layout1d == "NCL" else (0, 11, 5), dtype)
    y = ob.conv1d(x, np.ones((7, 5, 3), dtype), layout=layout1d)
    assert y.shape == ((0, 7, 9) if layout1d == "NCL" else (0, 9, 7)) and y.dtype == dtype


LINEAR_SIZES = [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127]


def test_linear(rng, dtype):
    failures = []
    rows = itertools.cycle([1, 2, 3, 5, 6, 7, 12, 13, 17, 49])
    for features, outputs in itertools.product(LINEAR_SIZES, LINEAR_SIZES):
        x = uniform(rng, (next(rows), features), dtype)
        w = uniform(rng, (outputs, features), dtype)
        b = uniform(rng, outputs, dtype) if (features + outputs) % 3 else None
        problem = mismatch(
            ob.linear(x, w, b), linear_torch(x, w, b), tolerance(features + 1, dtype), dtype
        )
        if problem:
            failures.append(f"x {x.shape}, weight {w.shape}: {problem}")
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
@pytest.mark.parametrize("features", [1000, 4608])
def test_linear_long_sums(rows, features, rng, dtype):
    x, w = uniform(rng, (rows, features), dtype), uniform(rng, (67, features), dtype)
    assert not mismatch(ob.linear(x, w), linear_torch(x, w), tolerance(features, dtype), dtype)


@pytest.mark.parametrize("leading", [(), (1,), (7,), (2, 3), (2, 1, 5), (0,), (3, 0), (2, 2, 2, 3)])
def test_linear_leading_dimensions(leading, rng, dtype):
    x, w, b = (uniform(rng, s, dtype) for s in [(*leading, 19), (23, 19), (23,)])
    y = ob.linear(x, w, b)
    want = linear_torch(x, w, b)
    assert want.shape == (*leading, 23)
    problem = mismatch(y, want, tolerance(20, dtype), dtype)
    assert not problem, problem
    out = np.full(want.shape, np.nan, dtype)
    assert ob.linear(x, w, b, out=out) is out
    np.testing.assert_array_equal(out, y)


def test_linear_without_features_or_outputs(dtype):
    b = np.arange(4, dtype=dtype)
    y = ob.linear(np.ones((3, 0), dtype), np.ones((4, 0), dtype), b)
    np.testing.assert_array_equal(y, np.tile(b, (3, 1)))
    assert ob.linear(np.ones((3, 5), dtype), np.ones((0, 5), dtype)).shape == (3, 0)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_linear_activation(activation, rng, dtype):
    x, w, b = (uniform(rng, s, dtype) for s in [(3, 17), (37, 17), (37,)])
    y = ob.linear(x, w, b, activation=activation)
    want = linear_torch(x, w, b, activation)
    assert not mismatch(y, want, tolerance(18, dtype, activation), dtype)


def test_linear_views_as_inputs(rng, dtype):
    x, w, b = (uniform(rng, s, dtype) for s in [(3, 5, 17), (9, 17), (9,)])
    want = linear_torch(x, w, b)
    for rows, weights, biases in zip(views(x), views(w), views(b), strict=True):
        problem = mismatch(
            ob.linear(rows[1], weights[1], biases[1]), want, tolerance(18, dtype), dtype
        )
        assert not problem, f"{rows[0]}: {problem}"


def test_linear_nan_stays_in_its_row(rng, dtype):
    x, w = uniform(rng, (7, 33), dtype), uniform(rng, (17, 33), dtype)
    clean = ob.linear(x, w)
    x[3, 32] = np.nan
    y = ob.linear(x, w)
    assert np.isnan(y[3]).all()
    others = np.arange(7) != 3
    np.testing.assert_array_equal(y[others], clean[others])


def test_linear_rows_do_not_depend_on_the_batch(rng, dtype):
    """One row alone takes another path (matrix times vector) and must still give the same bits."""
    x, w = uniform(rng, (9, 130), dtype), uniform(rng, (70, 130), dtype)
    whole = ob.linear(x, w)
    for n in [1, 2, 5]:
        np.testing.assert_array_equal(ob.linear(x[:n], w), whole[:n], f"first {n} rows")


@pytest.mark.parametrize(("name", "same"), [("NCHW", "NCL"), ("NHWC", "NLC")])
def test_conv1d_takes_the_names_of_2d_layouts(name, same):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 6, 6)).astype("float32")
    weight = rng.uniform(-1, 1, (4, 6, 3)).astype("float32")
    y = ob.conv1d(x, weight, layout=name)
    assert np.array_equal(y, ob.conv1d(x, weight, layout=same))
