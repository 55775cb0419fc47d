"""Random geometry: every algorithm, layout and dtype agrees with the plain loops and with torch."""

import numpy as np
import onebyone as ob
from helpers import (
    ACTIVATIONS,
    conv2d_torch,
    explicit_padding,
    from_layout,
    mismatch,
    output_size,
    to_layout,
    tolerance,
    uniform,
)
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

small = st.integers(0, 4)
paddings = st.one_of(
    st.sampled_from(["same", "valid"]),
    small,
    st.tuples(small, small),
    st.tuples(st.tuples(small, small), st.tuples(small, small)),
)
strides = st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 4), st.integers(1, 4)))
dilations = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
channels = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 33, 64]))


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5, 8]))
    per_group, filters = draw(channels), draw(channels)
    if groups > 1:
        per_group, filters = min(per_group, 9), min(filters, 9)
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (2, 3), (1, 4), (5, 1), (4, 4)]))
    size = draw(st.tuples(st.integers(1, 17), st.integers(1, 17)))
    geometry = {
        "stride": draw(strides),
        "padding": draw(paddings),
        "dilation": draw(dilations),
        "groups": groups,
    }
    batch = draw(st.integers(1, 3))
    x_shape = (batch, groups * per_group, *size)
    w_shape = (groups * filters, per_group, *kernel)
    bias, residual = draw(st.booleans()), draw(st.booleans())
    activation = draw(st.sampled_from([None, None, *ACTIVATIONS]))
    return x_shape, w_shape, geometry, bias, residual, activation, draw(st.integers(0, 2**32 - 1))


@SETTINGS
@given(convolutions())
def test_everything_agrees(convolution):
    x_shape, w_shape, geometry, with_bias, with_residual, activation, seed = convolution
    sizes = {k: v for k, v in geometry.items() if k != "groups"}
    spatial = output_size(x_shape[2:], w_shape[2:], **sizes)
    assume(spatial is not None)
    event(f"kernel {w_shape[2:]}")
    for dtype in [np.dtype(np.float32), np.dtype(np.float64)]:
        rng = np.random.default_rng(seed)
        x, w = uniform(rng, x_shape, dtype), uniform(rng, w_shape, dtype)
        b = uniform(rng, w_shape[0], dtype) if with_bias else None
        r = uniform(rng, (x_shape[0], w_shape[0], *spatial), dtype) if with_residual else None
        truth = conv2d_torch(x, w, b, **geometry, activation=activation, residual=r)
        bound = tolerance(w[0].size + with_bias + with_residual, dtype, activation)
        algorithms = ["reference", "auto", "direct"]
        if w_shape[2:] == (1, 1):
            algorithms.append("gemm")
        for layout in ["NCHW", "NHWC"]:
            residual = None if r is None else to_layout(r, layout)
            arguments = (to_layout(x, layout), w, b)
            plain = None
            for algorithm in algorithms:
                y = ob.conv2d(
                    *arguments,
                    **geometry,
                    activation=activation,
                    residual=residual,
                    layout=layout,
                    algorithm=algorithm,
                )
                where = f"{algorithm} {layout} {dtype.name}"
                problem = mismatch(from_layout(y, layout), truth, bound, dtype)
                assert not problem, f"{where} against torch: {problem}"
                plain = y.astype(np.float64) if plain is None else plain
                problem = mismatch(y, plain, 2 * bound, dtype)
                assert not problem, f"{where} against the reference: {problem}"
            plan = ob.Conv2dPlan(
                w,
                b,
                **geometry,
                input_shape=arguments[0].shape,
                activation=activation,
                residual=with_residual,
                layout=layout,
            )
            assert plan.output_shape == y.shape
            assert plan(arguments[0], residual).shape == y.shape


@SETTINGS
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_same_is_the_explicit_padding(size, kernel, stride, dilation):
    """Padding "same" gives ceil(size / stride) outputs and the bits of the padding written out."""
    rng = np.random.default_rng(1)
    x, w = uniform(rng, (1, 2, *size), np.float32), uniform(rng, (3, 2, *kernel), np.float32)
    y = ob.conv2d(x, w, None, stride, "same", dilation)
    assert y.shape[2:] == tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    padding = explicit_padding("same", size, kernel, stride, dilation)
    np.testing.assert_array_equal(y, ob.conv2d(x, w, None, stride, padding, dilation))


@SETTINGS
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 4),
    starts=st.tuples(*[st.integers(0, 2)] * 4),
    steps=st.tuples(*[st.sampled_from([1, 2, 3, -1, -2])] * 4),
    order=st.permutations(range(4)),
    kernel=st.sampled_from([1, 3]),
    layout=st.sampled_from(["NCHW", "NHWC"]),
)
def test_any_slice_of_any_transpose(shape, starts, steps, order, kernel, layout):
    """A view with arbitrary offsets, steps and axis order gives what its copy gives."""
    rng = np.random.default_rng(2)
    stored = [(n - 1) * abs(s) + 1 + o for n, s, o in zip(shape, steps, starts, strict=True)]
    memory = uniform(rng, [stored[i] for i in order], np.float32)
    view = memory.transpose(np.argsort(order))
    view = view[tuple(slice(o, None) for o in starts)]
    view = view[tuple(slice(None, None, s) for s in steps)]
    assert view.shape == shape
    c = shape[1] if layout == "NCHW" else shape[3]
    w = uniform(rng, (5, c, kernel, kernel), np.float32)
    copy = np.ascontiguousarray(view)
    kwargs = {"padding": kernel // 2, "layout": layout}
    y, want = ob.conv2d(view, w, **kwargs), ob.conv2d(copy, w, **kwargs)
    bound = 2 * tolerance(w[0].size, np.float32)
    assert not mismatch(y, want.astype(np.float64), bound, np.float32)
