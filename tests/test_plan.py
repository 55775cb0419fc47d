"""Conv2dPlan: the same bits as conv2d, a snapshot of its weights, safe from many threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onebyone as ob
import pytest
from helpers import FLOAT32, Case, case_data, from_layout, mismatch, to_layout, uniform

CASES = [
    Case(5, 17, (7, 9), batch=2),
    Case(64, 33, (14, 13), activation="relu"),
    Case(16, 7, (9, 8), stride=2, residual=True, activation="hardswish"),
    Case(3, 16, (17, 15), (3, 3), 2, "same", batch=2, activation=("clip", -0.25, 0.5)),
    Case(6, 12, (9, 8), (3, 2), (2, 1), ((1, 0), (0, 2)), groups=3, residual=True, batch=3),
    Case(9, 9, (8, 9), (3, 3), 1, 1, (1, 2), groups=9, bias=False),
    Case(130, 35, (5, 5), (3, 3), padding=1, bias=False),
    Case(31, 65, (1, 1)),
]


def make(case, dtype, layout, **kwargs):
    x, w, b, r, _ = case_data(case, dtype)
    plan = ob.Conv2dPlan(
        w,
        b,
        **case.geometry,
        input_shape=to_layout(x, layout).shape,
        activation=case.activation,
        residual=case.residual,
        layout=layout,
        **kwargs,
    )
    return plan, to_layout(x, layout), None if r is None else to_layout(r, layout)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_as_conv2d(case, algorithm, dtype, layout):
    plan, x, r = make(case, dtype, layout, algorithm=algorithm)
    _, w, b, _, want = case_data(case, dtype)
    direct = ob.conv2d(
        x,
        w,
        b,
        **case.geometry,
        activation=case.activation,
        residual=r,
        layout=layout,
        algorithm=algorithm,
    )
    y = plan(x, r)
    problem = mismatch(from_layout(y, layout), want, case.tolerance(dtype), dtype)
    assert not problem, problem
    # A single call counts the transformation of the filters, so "auto" may choose otherwise there.
    if algorithm != "auto" or plan.algorithm != "winograd":
        np.testing.assert_array_equal(y, direct)
    np.testing.assert_array_equal(plan(x, residual=r), y)
    out = np.full_like(y, np.nan)
    assert plan(x, r, out) is out
    np.testing.assert_array_equal(out, y)
    out = np.full_like(y, np.nan)
    assert plan(x, residual=r, out=out) is out
    np.testing.assert_array_equal(out, y)


def test_without_batch(dtype, layout):
    case = Case(5, 7, (6, 5), (3, 3), padding=1)
    x, w, b, _, want = case_data(case, dtype)
    image = to_layout(x[0], layout)
    plan = ob.Conv2dPlan(w, b, padding=1, input_shape=image.shape, layout=layout)
    y = plan(image)
    assert plan.output_shape == y.shape == to_layout(want[0], layout).shape
    assert not mismatch(from_layout(y, layout), want[0], case.tolerance(dtype), dtype)


def test_properties(dtype, layout):
    for case in CASES:
        plan, x, r = make(case, dtype, layout)
        y = plan(x, r)
        assert plan.output_shape == y.shape and type(plan.output_shape) is tuple
        assert plan.input_shape == x.shape
        assert plan.dtype == dtype.name
        assert plan.layout == layout
        assert plan.isa == ob.isa()
        assert plan.algorithm in ("gemm", "direct", "winograd", "depthwise")
        assert isinstance(plan.workspace_bytes, int) and plan.workspace_bytes >= 0
        # Two per multiply-add of the plain definition, padding included; nothing for the epilogue.
        taps = case.channels // case.groups * case.kernel[0] * case.kernel[1]
        assert plan.flops == 2 * y.size * taps


def test_flops_beyond_32_bits():
    plan = ob.Conv2dPlan(np.zeros((512, 512, 3, 3), np.float32), input_shape=(8, 512, 34, 34))
    assert plan.flops == 2 * 8 * 512 * 32 * 32 * 512 * 9 > 2**32


@pytest.mark.parametrize("algorithm", ["gemm", "direct", "reference"])
def test_the_algorithm_asked_for_is_the_one_used(algorithm, layout):
    w = np.ones((4, 3, 1, 1), np.float32)
    shape = (1, 3, 5, 5) if layout == "NCHW" else (1, 5, 5, 3)
    plan = ob.Conv2dPlan(w, input_shape=shape, layout=layout, algorithm=algorithm)
    assert plan.algorithm == algorithm


def test_properties_are_read_only():
    plan = ob.Conv2dPlan(np.ones((4, 3, 1, 1), np.float32), input_shape=(1, 3, 5, 5))
    for name in ["algorithm", "isa", "flops", "workspace_bytes", "input_shape", "output_shape"]:
        with pytest.raises(AttributeError):
            setattr(plan, name, None)


def test_repr_tells_the_essentials(dtype, layout):
    w = np.ones((37, 11, 1, 1), dtype)
    shape = (3, 11, 19, 23) if layout == "NCHW" else (3, 19, 23, 11)
    plan = ob.Conv2dPlan(w, input_shape=shape, layout=layout, activation="relu")
    text = repr(plan)
    for word in ["11", "19", "23", "37", layout, plan.algorithm, plan.isa]:
        assert word in text, (word, text)
    assert "\n" not in text
    other = ob.Conv2dPlan(
        np.ones((37, 11, 3, 3), dtype), input_shape=shape, layout=layout, activation="relu"
    )
    assert repr(other) != text


def test_holds_a_snapshot_of_the_weights(rng, dtype, layout):
    for kernel, algorithm in [(1, "auto"), (3, "auto"), (3, "direct"), (3, "reference")]:
        x = uniform(rng, (2, 9, 9, 9), dtype)
        w, b = uniform(rng, (17, 9, kernel, kernel), dtype), uniform(rng, 17, dtype)
        kwargs = {"input_shape": x.shape, "layout": layout, "algorithm": algorithm}
        plan = ob.Conv2dPlan(w, b, **kwargs)
        want = plan(x)
        w[...] = np.nan
        b[...] = np.nan
        np.testing.assert_array_equal(plan(x), want)
        del w, b
        np.testing.assert_array_equal(plan(x), want)


def test_any_view_as_weight_and_input(rng, dtype):
    w = uniform(rng, (3, 3, 7, 10), dtype).transpose(3, 2, 0, 1)
    b = uniform(rng, 20, dtype)[::-2]
    x = uniform(rng, (2, 11, 12, 14), dtype)[:, ::-1, ::2, ::2].transpose(0, 3, 1, 2)
    plan = ob.Conv2dPlan(w, b, input_shape=x.shape)
    copies = [np.ascontiguousarray(a) for a in (x, w, b)]
    np.testing.assert_array_equal(plan(x), ob.conv2d(*copies))


def test_results_do_not_share_memory(rng):
    x = uniform(rng, (1, 8, 9, 9), FLOAT32)
    plan = ob.Conv2dPlan(uniform(rng, (8, 8, 3, 3), FLOAT32), input_shape=x.shape)
    first = plan(x)
    kept = first.copy()
    second = plan(-x)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, -kept)


def test_output_outlives_its_plan(rng):
    x, w = uniform(rng, (1, 64, 40, 40), FLOAT32), uniform(rng, (64, 64, 1, 1), FLOAT32)
    plan = ob.Conv2dPlan(w, input_shape=x.shape)
    y = plan(x)
    kept = y.copy()
    del plan
    for _ in range(5):
        ob.conv2d(-x, w)
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_many_threads_at_once(case, layout):
    """One plan, called by eight threads with different images, each several times."""
    plan, x, r = make(case, FLOAT32, layout)
    images = [x, -x, x * 0.5, x[..., ::-1].copy(), x * 0, x + 1, x[..., ::-1] * -1, 2 * x]
    want = [plan(image, r) for image in images]

    def work(i):
        results = []
        for repeat in range(20):
            out = np.full_like(want[i], np.nan) if repeat % 2 else None
            results.append(plan(images[i], r, out))
        return results

    with ThreadPoolExecutor(8) as pool:
        for i, results in enumerate(pool.map(work, range(8))):
            for y in results:
                np.testing.assert_array_equal(y, want[i])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_num_threads_does_not_change_a_bit(case, dtype, layout):
    plan, x, r = make(case, dtype, layout, num_threads=1)
    want = plan(x, r)
    for n in [2, 3, 5, np.int64(16), None]:
        plan, _, _ = make(case, dtype, layout, num_threads=n)
        np.testing.assert_array_equal(plan(x, r), want, str(n))


def test_empty_batch(dtype, layout):
    shape = (0, 3, 6, 5) if layout == "NCHW" else (0, 6, 5, 3)
    w = np.ones((4, 3, 3, 3), dtype)
    plan = ob.Conv2dPlan(w, input_shape=shape, layout=layout)
    y = plan(np.ones(shape, dtype))
    assert y.shape == plan.output_shape == ((0, 4, 4, 3) if layout == "NCHW" else (0, 4, 3, 4))
    assert plan.flops == 0
