"""conv2d against torch's convolution in double precision, over shapes chosen to be awkward."""

import itertools
import sys
from pathlib import Path

import numpy as np
import onebyone as ob
import pytest
import torch
from helpers import (
    ACTIVATIONS,
    FLOAT32,
    Case,
    call_case,
    case_data,
    check_cases,
    conv2d_torch,
    from_layout,
    mismatch,
    output_size,
    run_python,
    to_layout,
    tolerance,
    uniform,
    views,
)

ALGORITHMS = ["auto", "direct", "reference"]
# 1, primes, and the tiles (6 rows; 4, 8, 16 columns) and their multiples, one less and one more.
CHANNELS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 64, 65]
SIZES = [(h, w) for h in range(1, 21) for w in range(1, 21)]
KERNELS = [(1, 1), (2, 2), (3, 3), (5, 5), (7, 7), (1, 7), (7, 1), (3, 2), (1, 3), (4, 1)]
STRIDES = [1, 2, 3, (2, 1), (1, 3)]
DILATIONS = [1, 2, (1, 3)]
PADDINGS = [
    0,
    1,
    2,
    (0, 1),
    (3, 0),
    ((1, 0), (0, 2)),
    ((0, 3), (4, 1)),
    ((2, 2), (0, 0)),
    "same",
    "valid",
]


def pointwise_cases():
    sizes = itertools.cycle(SIZES[::7])
    return [
        Case(c, k, next(sizes), batch=1 + (c + k) % 2, bias=(c * k) % 3 != 0)
        for c in CHANNELS
        for k in CHANNELS
    ]


def pointwise_strided_cases():
    sizes = itertools.cycle(SIZES[::11])
    channels = itertools.cycle([(3, 17), (16, 6), (7, 33), (33, 5), (1, 1), (64, 15)])
    return [
        Case(*next(channels), next(sizes), stride=stride, padding=padding, residual=i == 1)
        for stride in [*STRIDES, (5, 4)]
        for padding in PADDINGS
        for i in range(3)
    ]


def every_size_cases():
    """All image sizes up to 20x20, which pass every remainder of a pixel tile."""
    channels = itertools.cycle([(3, 7), (5, 16), (8, 17), (1, 6), (17, 3)])
    cases = []
    for size in SIZES:
        c, k = next(channels)
        cases.append(Case(c, k, size))
        cases.append(Case(c, k, size, (3, 3), padding=1))
    return cases


def geometry_cases():
    """Every kernel x stride x dilation x padding once, at sizes and channels drawn by lot."""
    rng = np.random.default_rng(7)
    cases = []
    for kernel, stride, dilation, padding in itertools.product(
        KERNELS, STRIDES, DILATIONS, PADDINGS
    ):
        sizes = [
            s
            for s in (SIZES[i] for i in rng.permutation(len(SIZES)))
            if output_size(s, kernel, stride, padding, dilation)
        ]
        c, k = (int(v) for v in rng.choice([1, 3, 4, 5, 7, 8, 13, 16, 17], 2))
        batch, bias, residual = int(rng.integers(1, 3)), bool(rng.integers(2)), rng.random() < 0.2
        activation = ACTIVATIONS[rng.integers(len(ACTIVATIONS))] if rng.random() < 0.2 else None
        cases.append(
            Case(c, k, sizes[0], kernel, stride, padding, dilation, 1, batch, bias, residual)
            if activation is None
            else Case(c, k, sizes[0], kernel, stride, padding, dilation, activation=activation)
        )
    return cases


def same_cases():
    """Padding "same" with strides larger and smaller than the kernel, odd and even."""
    return [
        Case(3, 5, (h, w), kernel, stride, "same", dilation)
        for h, w in [(1, 1), (2, 5), (5, 4), (6, 7), (7, 7), (8, 3), (13, 10)]
        for kernel in [(1, 1), (2, 2), (3, 3), (4, 5), (7, 1)]
        for stride in [1, 2, 3, (2, 1), 5]
        for dilation in [1, 2]
    ]


def grouped_cases():
    """Two groups to one channel per group (depthwise), with channel multipliers."""
    rng = np.random.default_rng(8)
    cases = []
    for groups, per_group, multiplier in itertools.product(
        [2, 3, 5, 8, 16, 17, 33], [1, 2, 3, 4, 7], [1, 2, 3, 5]
    ):
        kernel = KERNELS[rng.integers(4)]
        stride = STRIDES[rng.integers(len(STRIDES))]
        padding = PADDINGS[rng.integers(1, len(PADDINGS))]
        size = SIZES[rng.integers(len(SIZES))]
        if output_size(size, kernel, stride, padding, 1) is None:
            size = (11, 9)
        channels = groups * per_group
        filters = groups * multiplier
        cases.append(Case(channels, filters, size, kernel, stride, padding, groups=groups, batch=2))
    return cases


def first_layer_cases():
    """Few channels: windows across every edge or larger than the image; many filters."""
    cases = []
    for c, k in [(1, 32), (2, 17), (3, 33), (4, 7)]:
        for size in [(1, 1), (2, 3), (5, 4), (7, 9), (13, 34)]:
            for kernel, padding in [(3, 1), (7, 3), ((5, 2), (4, 1)), (11, 10), ((1, 9), (0, 8))]:
                for stride in [1, 2, (3, 4)]:
                    kernel_size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
                    if output_size(size, kernel_size, stride, padding, 1):
                        cases.append(
                            Case(c, k, size, kernel_size, stride, padding, batch=2, residual=c == 3)
                        )
    cases += [Case(3, 513, (5, 9), (3, 3), 1, 1, batch=2), Case(3, 512, (9, 5), (3, 3), 2, 1)]
    return cases


def long_sum_cases():
    """Sums long enough to be cut into blocks, and the lengths around the likely cuts."""
    cases = [Case(c, 7, (5, 5)) for c in [255, 256, 257, 383, 385, 511, 513, 1024, 2049, 4608]]
    cases += [Case(c, 17, (3, 5), (3, 3), padding=1) for c in [57, 113, 128, 171, 512]]
    cases += [Case(300, 301, (7, 19)), Case(700, 35, (1, 1)), Case(130, 515, (7, 7))]
    cases += [Case(96, 131, (9, 23), (3, 3), 2, "same", residual=True, activation="relu")]
    cases += [Case(3, 67, (61, 67), (7, 7), 2, 3), Case(33, 17, (67, 71), batch=2)]
    return cases


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "gemm"])
@pytest.mark.parametrize("cases", [pointwise_cases, pointwise_strided_cases])
def test_pointwise(cases, algorithm, dtype, layout):
    check_cases(ob.conv2d, cases(), dtype, layout, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "cases",
    [
        every_size_cases,
        geometry_cases,
        same_cases,
        grouped_cases,
        first_layer_cases,
        long_sum_cases,
    ],
)
def test_spatial(cases, algorithm, dtype, layout):
    check_cases(ob.conv2d, cases(), dtype, layout, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "gemm"])
def test_pointwise_groups(algorithm, dtype, layout):
    cases = [
        Case(groups * c, groups * k, size, groups=groups, batch=2, residual=True)
        for groups in [2, 3, 7]
        for c in [1, 3, 16, 17]
        for k in [1, 5, 16, 17]
        for size in [(1, 1), (3, 5), (7, 7)]
    ]
    check_cases(ob.conv2d, cases, dtype, layout, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_activation_bias_residual(algorithm, dtype, layout):
    cases = [
        Case(c, k, (5, 7), kernel, padding="same", bias=b, residual=r, activation=a, batch=2)
        for c, k in [(3, 17), (17, 5)]
        for kernel in [(1, 1), (3, 3)]
        for b in [False, True]
        for r in [False, True]
        for a in [None, *ACTIVATIONS]
    ]
    check_cases(ob.conv2d, cases, dtype, layout, algorithm=algorithm)


def test_residual_is_added_before_the_activation(dtype, layout):
    x = np.full((1, 1, 1, 1), 2, dtype)
    weight = np.ones((1, 1, 1, 1), dtype)
    residual = np.full_like(x, -3)
    y = ob.conv2d(x, weight, activation="relu", residual=residual, layout=layout)
    assert y.item() == 0
    y = ob.conv2d(x, weight, activation=("clip", -0.25, 5), residual=residual, layout=layout)
    assert y.item() == -0.25


def test_same_puts_the_odd_row_at_the_end():
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 1, 4)
    taps = np.array([1, 10], np.float32).reshape(1, 1, 1, 2)
    assert ob.conv2d(x, taps, padding="same").ravel().tolist() == [21, 32, 43, 4]
    # ceil(4 / 3) = 2 outputs, at columns 0 and 3; only the last needs one column of padding.
    assert ob.conv2d(x, taps, stride=(1, 3), padding="same").ravel().tolist() == [21, 4]


def test_numpy_integers_are_integers(rng, dtype):
    x, w = uniform(rng, (1, 4, 9, 9), dtype), uniform(rng, (6, 2, 3, 3), dtype)
    want = ob.conv2d(x, w, None, 2, (1, 2), (1, 2), 2)
    i = np.int64
    np.testing.assert_array_equal(
        ob.conv2d(x, w, None, np.int32(2), (i(1), i(2)), (np.uint8(1), i(2)), i(2)), want
    )


def test_defaults_and_argument_order(rng):
    x, w = uniform(rng, (2, 4, 9, 8), FLOAT32), uniform(rng, (6, 2, 3, 3), FLOAT32)
    b = uniform(rng, 6, FLOAT32)
    positional = ob.conv2d(x, w, b, 2, 1, 1, 2)
    named = ob.conv2d(
        x=x,
        weight=w,
        bias=b,
        stride=2,
        padding=1,
        dilation=1,
        groups=2,
        activation=None,
        residual=None,
        layout="NCHW",
        algorithm="auto",
        out=None,
    )
    np.testing.assert_array_equal(positional, named)
    want = conv2d_torch(x, w, b, 2, 1, 1, 2)
    assert not mismatch(positional, want, tolerance(19, FLOAT32), FLOAT32)
    x = uniform(rng, (1, 2, 9, 8), FLOAT32)
    want = conv2d_torch(x, w)
    assert not mismatch(ob.conv2d(x, w), want, tolerance(18, FLOAT32), FLOAT32)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_image_without_batch(algorithm, dtype, layout):
    for case in [
        Case(5, 17, (7, 9), residual=True),
        Case(3, 7, (6, 5), (3, 3), 2, "same", activation="gelu"),
        Case(6, 12, (4, 4), (3, 2), padding=1, groups=3),
    ]:
        x, w, b, r, want = case_data(case, dtype)
        r = None if r is None else to_layout(r[0], layout)
        y = ob.conv2d(
            to_layout(x[0], layout),
            w,
            b,
            **case.geometry,
            activation=case.activation,
            residual=r,
            layout=layout,
            algorithm=algorithm,
        )
        problem = mismatch(from_layout(y, layout), want[0], case.tolerance(dtype), dtype)
        assert not problem, f"{case}: {problem}"
        assert y.flags.c_contiguous


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "gemm"])
def test_zero_sizes(algorithm, dtype, layout):
    """Empty batches, images and sums have a result; an empty sum is zero, so the bias remains."""
    bias = np.arange(1, 6, dtype=dtype)
    failures = []
    for shape, filters, padding, stride, spatial in [
        ((0, 3, 4, 5), 5, 0, 1, (4, 5)),
        ((0, 3, 4, 5), 5, 1, 2, (3, 4)),
        ((2, 3, 0, 5), 5, 0, 1, (0, 5)),
        ((2, 3, 5, 0), 5, 0, 1, (5, 0)),
        ((2, 3, 0, 0), 5, 0, 1, (0, 0)),
        ((2, 3, 0, 3), 5, 1, 1, (2, 5)),
        ((2, 0, 4, 5), 5, 0, 1, (4, 5)),
        ((2, 0, 4, 5), 5, 1, 2, (3, 4)),
        ((2, 3, 4, 5), 0, 0, 1, (4, 5)),
        ((0, 0, 0, 0), 0, 0, 1, (0, 0)),
    ]:
        x = to_layout(np.ones(shape, dtype), layout)
        w = np.ones((filters, shape[1], 1, 1), dtype)  # meets no pixel: torch is no reference here
        b = bias[:filters]
        kwargs = {"stride": stride, "padding": padding, "layout": layout, "algorithm": algorithm}
        y = from_layout(ob.conv2d(x, w, b, **kwargs), layout)
        want = np.broadcast_to(b[:, None, None], (shape[0], filters, *spatial)).astype(np.float64)
        problem = mismatch(y, want, tolerance(4, dtype), dtype)
        if problem:
            failures.append(f"x {shape}, {filters} filters, padding {padding}: {problem}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_images_with_large_kernels(algorithm, dtype, layout):
    """No pixels give no outputs, unless the padding alone is as large as the kernel."""
    w, b = np.ones((2, 3, 3, 3), dtype), np.array([-1, 2], dtype)
    for size, padding, spatial in [
        ((0, 5), 0, (0, 3)),
        ((5, 0), 0, (3, 0)),
        ((0, 0), 0, (0, 0)),
        ((0, 5), ((2, 1), (0, 0)), (1, 3)),
        ((0, 4), 2, (2, 6)),
        ((0, 5), "same", (0, 5)),
    ]:
        x = to_layout(np.ones((2, 3, *size), dtype), layout)
        y = ob.conv2d(x, w, b, padding=padding, layout=layout, algorithm=algorithm)
        want = np.broadcast_to(b[:, None, None], (2, 2, *spatial)).astype(np.float64)
        problem = mismatch(from_layout(y, layout), want, 0, dtype)
        assert not problem, f"image {size}, padding {padding}: {problem}"


def test_zero_channels_with_large_kernel_bias_and_activation(dtype, layout):
    x = to_layout(np.ones((2, 0, 4, 5), dtype), layout)
    w = np.ones((3, 0, 3, 3), dtype)
    b = np.array([-1, 0, 2], dtype)
    y = from_layout(ob.conv2d(x, w, b, padding=1, activation="relu", layout=layout), layout)
    assert y.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(y, np.broadcast_to([[[0]], [[0]], [[2]]], y.shape))


def test_large_stride_takes_the_first_pixel(dtype, layout):
    x = to_layout(np.arange(60, dtype=dtype).reshape(1, 3, 4, 5), layout)
    y = ob.conv2d(x, np.ones((2, 3, 1, 1), dtype), stride=1000, layout=layout)
    assert from_layout(y, layout).ravel().tolist() == [60, 60]


VIEW_CASES = [
    Case(5, 17, (5, 7), residual=True, batch=2),
    Case(17, 7, (6, 5), stride=2, residual=True),
    Case(3, 7, (7, 6), (3, 3), padding=1, residual=True, batch=2),
    Case(6, 12, (5, 6), (3, 2), (2, 1), "same", groups=3, residual=True),
    Case(9, 9, (5, 6), (3, 3), 1, 1, groups=9, residual=True, batch=2),
]


@pytest.mark.parametrize("case", VIEW_CASES, ids=str)
@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual"])
def test_any_view_as_input(case, argument, dtype, layout):
    """Strides, negative strides, windows, unaligned, read-only memory; and nothing is written."""
    x, weight, bias, residual, want = case_data(case, dtype)
    arguments = {
        "x": to_layout(x, layout),
        "weight": weight,
        "bias": bias,
        "residual": to_layout(residual, layout),
    }
    for name, view in views(arguments[argument]):
        storage = view
        while isinstance(storage.base, np.ndarray):
            storage = storage.base
        before = storage.tobytes()
        y = ob.conv2d(**{**arguments, argument: view}, **case.geometry, layout=layout)
        problem = mismatch(from_layout(y, layout), want, case.tolerance(dtype), dtype)
        assert not problem, f"{argument} {name}: {problem}"
        assert storage.tobytes() == before, f"{argument} {name} was written"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_broadcast_inputs(algorithm, dtype, layout):
    """Views with stride 0 along one axis or all of them."""
    rng = np.random.default_rng(3)
    for kernel, padding in [((1, 1), 0), ((3, 3), 1)]:
        shape = (2, 5, 6, 7) if layout == "NCHW" else (2, 6, 7, 5)
        w = uniform(rng, (17, 5, *kernel), dtype)
        full = uniform(rng, shape, dtype)
        for axes in [(0,), (1,), (2,), (3,), (1, 2), (0, 1, 2, 3)]:
            part = full[tuple(slice(1) if a in axes else slice(None) for a in range(4))]
            x = np.broadcast_to(part, shape)
            y = ob.conv2d(x, w, padding=padding, layout=layout, algorithm=algorithm)
            want = conv2d_torch(from_layout(x, layout), w, padding=padding)
            bound = tolerance(w[0].size, dtype)
            problem = mismatch(from_layout(y, layout), want, bound, dtype)
            assert not problem, f"kernel {kernel}, stride 0 along {axes}: {problem}"
        w = np.broadcast_to(w[:1, :1], w.shape)
        b = np.broadcast_to(full.ravel()[:1], 17)
        y = ob.conv2d(full, w, b, padding=padding, layout=layout, algorithm=algorithm)
        want = conv2d_torch(from_layout(full, layout), w, b, padding=padding)
        problem = mismatch(from_layout(y, layout), want, tolerance(w[0].size + 1, dtype), dtype)
        assert not problem, f"kernel {kernel}, weight and bias broadcast: {problem}"


def test_one_array_as_several_inputs(rng, dtype, layout):
    """Inputs may alias each other: x is its own residual."""
    x = uniform(rng, (1, 7, 7, 7), dtype)
    w = uniform(rng, (7, 7, 1, 1), dtype)
    y = ob.conv2d(x, w, residual=x, layout=layout)
    want = conv2d_torch(from_layout(x, layout), w, residual=from_layout(x, layout))
    assert not mismatch(from_layout(y, layout), want, tolerance(8, dtype), dtype)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out(algorithm, dtype, layout):
    """`out` is returned, filled entirely whatever it held, and nothing beside it is written."""
    for case in [
        *VIEW_CASES,
        Case(300, 33, (7, 7)),
        Case(16, 16, (13, 11), (3, 3), padding=1, groups=16),
        Case(5, 7, (3, 3), (1, 1), 1, 2),
        Case(40, 19, (9, 10), (3, 3), 2, 1, batch=2, activation="silu"),
    ]:
        x, w, b, r, want = case_data(case, dtype)
        shape = to_layout(want, layout).shape
        guard = 64 // dtype.itemsize
        buffer = np.full(want.size + 2 * guard, np.nan, dtype)
        out = buffer[guard:-guard].reshape(shape)
        y = ob.conv2d(
            to_layout(x, layout),
            w,
            b,
            **case.geometry,
            activation=case.activation,
            residual=None if r is None else to_layout(r, layout),
            layout=layout,
            algorithm=algorithm,
            out=out,
        )
        assert y is out
        problem = mismatch(from_layout(y, layout), want, case.tolerance(dtype), dtype)
        assert not problem, f"{case}: {problem}"
        assert np.isnan(buffer[:guard]).all() and np.isnan(buffer[-guard:]).all(), case


def test_results_are_fresh_contiguous_and_repeatable(rng, dtype, layout):
    x, w = uniform(rng, (2, 5, 6, 7), dtype), uniform(rng, (9, 5, 3, 3), dtype)
    x = to_layout(x, layout)
    first = ob.conv2d(x, w, layout=layout)
    kept = first.copy()
    second = ob.conv2d(x, w, layout=layout)
    assert first.flags.c_contiguous and first.flags.writeable and first.dtype == dtype
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second)
    second[...] = np.nan
    third = ob.conv2d(-x, w, layout=layout)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(third, -kept)


NAN_CASES = [
    Case(5, 17, (5, 7), batch=2),
    Case(17, 7, (6, 5), stride=2),
    Case(3, 17, (9, 10), (3, 3), padding=1, batch=2),
    Case(3, 7, (9, 10), (3, 3), 2, "same", 2),
    Case(16, 6, (7, 7), (5, 5), padding=((2, 1), (0, 3))),
    Case(7, 5, (4, 11), (1, 7), (1, 2), (0, 3)),
    Case(6, 12, (9, 6), (3, 2), (2, 1), "same", groups=3),
    Case(9, 9, (8, 9), (3, 3), 1, 1, groups=9, batch=2),
    Case(34, 18, (5, 5), groups=2),
]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_special_value_reaches_only_its_receptive_field(algorithm, value, dtype, layout):
    """Outputs that see the pixel are not finite; all others keep every bit."""
    failures = []
    for case in NAN_CASES:
        x, w, b, _, _ = case_data(case, dtype)
        h, wd = case.size
        pixels = {(0, 0), (0, wd - 1), (h - 1, 0), (h - 1, wd - 1), (h // 2, wd // 2)}
        clean = call_case(ob.conv2d, case, dtype, layout, algorithm=algorithm)
        for n, c, (i, j) in itertools.product(
            {0, case.batch - 1}, {0, case.channels - 1}, sorted(pixels)
        ):
            poisoned = x.copy()
            poisoned[n, c, i, j] = value
            one_hot = np.zeros_like(x, dtype=np.float64)
            one_hot[n, c, i, j] = 1
            reached = conv2d_torch(one_hot, np.ones(w.shape), None, **case.geometry) != 0
            y = ob.conv2d(
                to_layout(poisoned, layout),
                w,
                b,
                **case.geometry,
                layout=layout,
                algorithm=algorithm,
            )
            y = from_layout(y, layout)
            expected_nan = np.isnan(y) if np.isnan(value) else np.isinf(y)
            if not expected_nan[reached].all():
                failures.append(f"{case}: {value} at {(n, c, i, j)} got lost")
            if not np.array_equal(y[~reached], clean[~reached]):
                failures.append(f"{case}: {value} at {(n, c, i, j)} went too far")
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_special_weight_reaches_only_its_filter(algorithm, dtype, layout):
    """One filter of NaN (its neighbours in the vector must not care), one NaN bias."""
    for case in NAN_CASES:
        x, w, b, _, _ = case_data(case, dtype)
        kwargs = {**case.geometry, "layout": layout, "algorithm": algorithm}
        clean = from_layout(ob.conv2d(to_layout(x, layout), w, b, **kwargs), layout)
        for k, value in itertools.product({0, case.filters // 2, case.filters - 1}, [np.nan]):
            others = np.arange(case.filters) != k
            poisoned = w.copy()
            poisoned[k] = value
            y = from_layout(ob.conv2d(to_layout(x, layout), poisoned, b, **kwargs), layout)
            assert np.isnan(y[:, k]).all(), (case, k)
            np.testing.assert_array_equal(y[:, others], clean[:, others], str((case, k)))
            poisoned = b.copy()
            poisoned[k] = value
            y = from_layout(ob.conv2d(to_layout(x, layout), w, poisoned, **kwargs), layout)
            assert np.isnan(y[:, k]).all(), (case, k)
            np.testing.assert_array_equal(y[:, others], clean[:, others], str((case, k)))


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS], ids=str)
def test_activations_and_residual_keep_nan(activation, dtype, layout):
    """A NaN in the residual stays where it is, through every activation: relu(NaN) is NaN."""
    case = Case(5, 19, (5, 7), batch=2)
    x, w, b, _, want = case_data(case, dtype)
    for kernel in [1, 3]:
        wk = w if kernel == 1 else np.concatenate([w] * 9, 1).reshape(19, 5, 3, 3)
        residual = np.zeros_like(want, dtype=dtype)
        places = [(0, 0, 0, 0), (1, 18, 4, 6), (1, 7, 2, 3), (0, 16, 4, 5)]
        for place in places:
            residual[place] = np.nan
        y = ob.conv2d(
            to_layout(x, layout),
            wk,
            b,
            padding="same",
            activation=activation,
            residual=to_layout(residual, layout),
            layout=layout,
        )
        np.testing.assert_array_equal(np.isnan(from_layout(y, layout)), np.isnan(residual))


def test_infinity_times_zero_is_nan_and_opposite_infinities_are(dtype, layout):
    x = np.ones((1, 2, 1, 3), dtype)
    x[0, 0, 0, 0] = np.inf
    x[0, :, 0, 1] = np.inf
    w = np.array([[0, 1], [1, 1], [1, -1]], dtype).reshape(3, 2, 1, 1)
    y = from_layout(ob.conv2d(to_layout(x, layout), w, layout=layout), layout)[0, :, 0]
    np.testing.assert_array_equal(
        y, [[np.nan, np.nan, 1], [np.inf, np.inf, 2], [np.inf, np.nan, 0]]
    )


def test_overflow_is_infinity_and_denormals_survive(dtype, layout):
    """The result overflows where the sum does; tiny numbers are not flushed to zero."""
    big = np.finfo(dtype).max
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([big, tiny, tiny * 5, 0], dtype).reshape(1, 1, 2, 2)
    w = np.array([2, 1], dtype).reshape(2, 1, 1, 1)
    y = from_layout(ob.conv2d(to_layout(x, layout), w, layout=layout), layout).reshape(2, 4)
    assert y[0].tolist() == [np.inf, 2 * tiny, 10 * tiny, 0]
    assert y[1].tolist() == x.ravel().tolist()


ACCURACY_CASES = [
    Case(64, 64, (56, 56), bias=False),
    Case(512, 64, (28, 28), batch=2, bias=False),
    Case(1024, 256, (14, 14), batch=2, bias=False),
    Case(2048, 512, (7, 7), batch=2, bias=False),
    Case(64, 64, (28, 28), (3, 3), padding=1, batch=2, bias=False),
    Case(256, 64, (14, 14), (3, 3), padding=1, batch=4, bias=False),
    Case(3, 64, (112, 112), (7, 7), 2, 3, bias=False),
    Case(64, 128, (28, 28), (5, 5), 2, 2, groups=2, batch=2, bias=False),
]


DRAWS = 8


@pytest.mark.parametrize("case", ACCURACY_CASES, ids=str)
def test_error_is_no_larger_than_torchs(case, layout):
    """In float32, at most 1.5 times torch's own error on the same inputs, in the mean and at worst.

    The worst of one draw is mostly luck: between draws its ratio to torch's varies by a factor of
    1.8. Hence the mean of the worst over several draws, whose seeds are simply counted.
    """
    squares, worst = np.zeros(2), np.zeros(2)
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        x = uniform(rng, (case.batch, case.channels, *case.size), FLOAT32)
        w = uniform(rng, (case.filters, case.channels // case.groups, *case.kernel), FLOAT32)
        want = conv2d_torch(x, w, None, **case.geometry)
        assert want.size > 40_000
        ours = from_layout(
            ob.conv2d(to_layout(x, layout), w, **case.geometry, layout=layout), layout
        )
        theirs = conv2d_torch(x, w, None, **case.geometry, dtype=torch.float32)
        errors = [np.abs(y - want) for y in (ours, theirs)]
        squares += [np.mean(np.square(e)) for e in errors]
        worst += [e.max() for e in errors]
    rms = np.sqrt(squares / DRAWS)
    worst /= DRAWS
    assert rms[0] <= 1.5 * rms[1], f"rms {rms[0]:.3g}, torch {rms[1]:.3g}: {rms[0] / rms[1]:.2f} x"
    assert worst[0] <= 1.5 * worst[1], (
        f"worst {worst[0]:.3g}, torch {worst[1]:.3g}: {worst[0] / worst[1]:.2f} x"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_no_access_outside_the_arrays():
    """Every array lies against an inaccessible page, at its beginning, then at its end."""
    script = Path(__file__).with_name("guard_check.py")
    result = run_python(script, timeout=300)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    cases = int(result.stdout.split()[-1])
    assert cases >= 200
