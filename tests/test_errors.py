"""Wrong input: a ValueError or TypeError whose message names the argument and the offending value.

Every call here must also leave `out` as it was.
"""

import re

import numpy as np
import onebyone as ob
import pytest
import torch

ERRORS = (TypeError, ValueError)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def says(error, *words):
    """Every word appears in the message, not as a part of a longer word or number.

    Sizes may be written 3x0, so a number ends where its digits do.
    """
    for word in words:
        inside = r"\d" if word.isdigit() else r"\w"
        left = rf"(?<!{inside})" if re.match(r"\w", word) else ""
        right = rf"(?!{inside})" if re.search(r"\w$", word) else ""
        assert re.search(left + re.escape(word) + right, str(error.value)), (
            f"{word!r} is not in: {error.value}"
        )


def fails(*words, error=ERRORS, function=None, **arguments):
    """Call with a prefilled `out` beside the wrong argument; check the message and `out`."""
    function = function or ob.conv2d
    call = {"x": ones(1, 4, 6, 6), "weight": ones(8, 4, 3, 3), **arguments}
    out = None
    if function is ob.conv2d and "out" not in arguments:
        out = call["out"] = np.full((1, 8, 4, 4), 7, np.float32)
    with pytest.raises(error) as caught:
        function(**call)
    says(caught, *words)
    if out is not None:
        assert (out == 7).all()


NOT_FLOAT = [
    np.float16,
    np.int8,
    np.int32,
    np.int64,
    np.uint8,
    np.bool_,
    np.complex64,
    np.complex128,
    np.longdouble,
    np.dtype(np.float32).newbyteorder(),
    np.dtype(np.float64).newbyteorder(),
    np.dtype(object),
    np.dtype("S4"),
    np.dtype("M8[s]"),
]


def with_dtype(a, dtype):
    return np.zeros(a.shape, dtype)


@pytest.mark.parametrize("dtype", NOT_FLOAT, ids=lambda d: str(np.dtype(d)))
@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual"])
def test_dtype(argument, dtype):
    good = {
        "x": ones(1, 4, 6, 6),
        "weight": ones(8, 4, 3, 3),
        "bias": ones(8),
        "residual": ones(1, 8, 4, 4),
    }
    name = np.dtype(dtype).name.split("[")[0]
    bad = with_dtype(good[argument], dtype)
    if np.dtype(dtype).isnative and name in ("float16", "int32", "int64", "complex64", "bool"):
        fails(argument, name, error=TypeError, **{**good, argument: bad})
    else:
        fails(argument, error=TypeError, **{**good, argument: bad})


@pytest.mark.parametrize("argument", ["weight", "bias", "residual", "out"])
def test_mixed_dtypes(argument):
    good = {
        "x": ones(1, 4, 6, 6),
        "weight": ones(8, 4, 3, 3),
        "bias": ones(8),
        "residual": ones(1, 8, 4, 4),
    }
    shape = good[argument].shape if argument in good else (1, 8, 4, 4)
    fails(argument, "float64", **{**good, argument: ones(*shape, dtype=np.float64)})


@pytest.mark.parametrize("value", [[1.0, 2.0], [[[[1.0]]]], "array", 1, 2.5, {}, object(), np])
@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual", "out"])
def test_not_an_array(argument, value):
    fails(argument, error=TypeError, **{argument: value})


@pytest.mark.parametrize("argument", ["x", "weight"])
def test_none_is_not_an_array(argument):
    fails(argument, error=TypeError, **{argument: None})


@pytest.mark.parametrize("shape", [(), (6,), (6, 6), (1, 1, 4, 6, 6)])
def test_x_dimensions(shape):
    fails("x", str(len(shape)), error=ValueError, x=ones(*shape))


@pytest.mark.parametrize("shape", [(), (8,), (8, 4), (8, 4, 3), (1, 8, 4, 3, 3)])
def test_weight_dimensions(shape):
    fails("weight", str(len(shape)), error=ValueError, weight=ones(*shape))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_channel_mismatch(layout, batch):
    for channels, groups, per_group in [(11, 1, 4), (4, 2, 4), (1, 1, 4), (0, 1, 4), (14, 2, 3)]:
        image = (channels, 6, 7) if layout == "NCHW" else (6, 7, channels)
        arguments = {"x": ones(*batch, *image), "groups": groups, "layout": layout}
        arguments["weight"] = ones(8, per_group, 3, 3)
        fails("weight", "x", str(channels), str(per_group), error=ValueError, **arguments)


@pytest.mark.parametrize("groups", [3, 5, 16])
def test_groups_do_not_divide(groups):
    fails("groups", str(groups), error=ValueError, groups=groups)


def test_groups_do_not_divide_the_filters():
    fails("groups", "3", "8", error=ValueError, x=ones(1, 12, 6, 6), groups=3)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_groups_do_not_divide_the_channels(layout):
    x = ones(1, 13, 6, 6) if layout == "NCHW" else ones(1, 6, 6, 13)
    arguments = {"x": x, "weight": ones(8, 3, 3, 3), "groups": 2, "layout": layout}
    fails("groups", "2", "13", error=ValueError, **arguments)


@pytest.mark.parametrize("groups", [0, -1, 1.0, True, "1", None, (1,), (1, 1), 2**70])
def test_groups_value(groups):
    fails("groups", groups=groups)


@pytest.mark.parametrize("shape", [(), (7,), (1,), (9,), (8, 1), (1, 8), (0,)])
def test_bias_shape(shape):
    fails("bias", "8", error=ValueError, bias=ones(*shape))


@pytest.mark.parametrize(
    "shape", [(1, 8, 4, 5), (1, 8, 1, 1), (8, 4, 4), (2, 8, 4, 4), (1, 4, 4, 8), (), (128,)]
)
def test_residual_shape(shape):
    fails("residual", "8", "4", error=ValueError, residual=ones(*shape))


def test_residual_in_the_other_layout():
    arguments = {"x": ones(1, 6, 6, 4), "layout": "NHWC", "residual": ones(1, 8, 4, 4)}
    fails("residual", error=ValueError, **arguments, out=None)


@pytest.mark.parametrize("argument", ["stride", "dilation"])
@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        (0, 1),
        (1, -2),
        1.0,
        1.5,
        (1, 2.0),
        True,
        (True, 1),
        "1",
        "same",
        None,
        (),
        (1,),
        (1, 1, 1),
        ((1, 1), (1, 1)),
        {},
        2**70,
        -(2**70),
        np.float32(1),
        np.nan,
    ],
    ids=repr,
)
def test_stride_and_dilation(argument, value):
    fails(argument, **{argument: value})
    if isinstance(value, int) and value < 1 and value > -100:
        fails(argument, str(value), error=ValueError, **{argument: value})


@pytest.mark.parametrize(
    "value",
    [
        -1,
        (0, -1),
        ((0, -1), (0, 0)),
        ((0, 0), (-3, 0)),
        1.0,
        (1, 0.5),
        ((0, 1.0), (0, 0)),
        True,
        (True, 1),
        None,
        (),
        (1,),
        (1, 1, 1),
        (1, 1, 1, 1),
        ((1, 1),),
        ((1, 1), (1, 1), (1, 1)),
        ((1, 1, 1), (1, 1)),
        ((1,), (1,)),
        (((1, 1), (1, 1)), 1),
        {},
        2**70,
        np.inf,
    ],
    ids=repr,
)
def test_padding(value):
    fails("padding", padding=value)


@pytest.mark.parametrize("value", ["SAME", "Same", "full", "zeros", "", "same ", "1", b"same"])
def test_padding_word(value):
    fails("padding", padding=value)
    if isinstance(value, str) and value.strip():
        fails("padding", value.strip(), "same", "valid", error=ValueError, padding=value)


@pytest.mark.parametrize("value", ["nchw", "NCWH", "", "NHW", "channels_last", None, 1, b"NCHW"])
def test_layout(value):
    fails("layout", layout=value)
    if isinstance(value, str):
        fails("layout", "NCHW", "NHWC", error=ValueError, layout=value)


@pytest.mark.parametrize(
    "value",
    [
        "ReLU",
        "swish",
        "",
        "none",
        1,
        True,
        (),
        ("relu", 1.0),
        ("clip",),
        ("clip", 1.0),
        ("leaky_relu",),
        ("leaky_relu", 0.1, 0.2),
        ("leaky_relu", "0.1"),
        ("clip", 0, 1, 2),
        ("clip", 2.0, 1.0),
        ("clip", None, 1.0),
        (0.2, "leaky_relu"),
        (None,),
        b"relu",
        max,
        ("clip", np.nan, 1.0),
        ("clip", 0.0, np.nan),
    ],
    ids=repr,
)
def test_activation(value):
    fails("activation", activation=value)


def test_unknown_activation_lists_the_known_ones():
    fails("activation", "swish", "silu", "relu", error=ValueError, activation="swish")


@pytest.mark.parametrize("value", ["", "AUTO", "fft", "im2col", None, 1, b"auto"])
def test_algorithm(value):
    fails("algorithm", algorithm=value)
    if isinstance(value, str) and value:
        fails("algorithm", value, "direct", "gemm", error=ValueError, algorithm=value)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 2), (2, 1)])
def test_gemm_serves_pointwise_only(kernel):
    """The message says why, and which algorithm was asked for."""
    weight = ones(8, 4, *kernel)
    arguments = {"x": ones(1, 4, 6, 6), "algorithm": "gemm", "out": None}
    fails("algorithm", "gemm", error=ValueError, weight=weight, **arguments)
    with pytest.raises(ValueError, match="gemm"):
        ob.Conv2dPlan(weight, input_shape=(1, 4, 6, 6), algorithm="gemm")


@pytest.mark.parametrize(
    ("size", "kernel", "geometry"),
    [
        ((2, 6), (3, 3), {}),
        ((6, 2), (3, 3), {}),
        ((6, 6), (7, 1), {}),
        ((6, 6), (1, 9), {"padding": 1}),
        ((6, 6), (3, 3), {"dilation": 3}),
        ((6, 6), (3, 3), {"padding": ((0, 0), (1, 1)), "dilation": (1, 4)}),
        ((2, 2), (3, 3), {"padding": "valid"}),
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_kernel_larger_than_the_padded_image(size, kernel, geometry, layout):
    x = ones(1, 4, *size) if layout == "NCHW" else ones(1, *size, 4)
    arguments = {"x": x, "weight": ones(8, 4, *kernel), "layout": layout, **geometry}
    fails("weight", str(max(kernel)), error=ValueError, **arguments)


@pytest.mark.parametrize("kernel", [(0, 3), (3, 0), (0, 0)])
def test_empty_kernel(kernel):
    fails("weight", "0", error=ValueError, weight=ones(8, 4, *kernel))


@pytest.mark.parametrize(
    "shape", [(1, 8, 4, 5), (8, 4, 4), (1, 8, 4), (2, 8, 4, 4), (1, 4, 4, 8), (128,), ()]
)
def test_out_shape(shape):
    out = np.full(shape, 7, np.float32)
    fails("out", "8", "4", error=ValueError, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.complex64])
def test_out_dtype(dtype):
    out = np.full((1, 8, 4, 4), 7, dtype)
    fails("out", np.dtype(dtype).name, out=out)
    assert (out == 7).all()


def test_out_not_contiguous():
    for out in [
        np.full((1, 4, 4, 8), 7, np.float32).transpose(0, 3, 1, 2),
        np.full((1, 8, 4, 8), 7, np.float32)[..., ::2],
        np.full((1, 8, 4, 4), 7, np.float32)[:, ::-1],
        np.asfortranarray(np.full((1, 8, 4, 4), 7, np.float32)),
        np.full((1, 8, 5, 5), 7, np.float32)[:, :, :4, :4],
        np.full((2, 16, 4, 4), 7, np.float32)[:1, ::2],
    ]:
        base = out if out.base is None else out.base
        fails("out", "contiguous", error=ValueError, out=out)
        assert (base == 7).all()


def test_out_read_only():
    out = np.full((1, 8, 4, 4), 7, np.float32)
    out.flags.writeable = False
    fails("out", error=ValueError, out=out)
    assert (out == 7).all()
    fails("out", error=ValueError, out=np.broadcast_to(np.float32(7), (1, 8, 4, 4)))


@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_out_overlaps_an_input(argument, layout):
    """The same memory, or one element shared at either end; what merely touches is fine."""
    shapes = {"x": (1, 6, 6, 6), "weight": (6, 6, 1, 1), "bias": (6,), "residual": (1, 6, 6, 6)}
    rng = np.random.default_rng(2)
    arguments = {k: rng.uniform(-1, 1, s).astype(np.float32) for k, s in shapes.items()}
    value = arguments[argument]
    want = ob.conv2d(**arguments, layout=layout)
    size = want.size
    buffer = np.zeros(2 * size + value.size, np.float32)
    out = buffer[size : 2 * size].reshape(want.shape)
    overlaps = {0: True, size - value.size: True, 1 - value.size: True, size - 1: True}
    for offset, wrong in [*overlaps.items(), (-value.size, False), (size, False)]:
        buffer[...] = 7
        place = buffer[size + offset : size + offset + value.size].reshape(value.shape)
        place[...] = value
        before = buffer.copy()
        call = {**arguments, argument: place, "out": out, "layout": layout}
        if not wrong:
            assert ob.conv2d(**call) is out
            np.testing.assert_array_equal(out, want)
            continue
        with pytest.raises(ValueError) as caught:
            ob.conv2d(**call)
        says(caught, "out", argument)
        np.testing.assert_array_equal(buffer, before)


def test_out_is_x():
    x = np.full((1, 4, 5, 5), 7, np.float32)
    with pytest.raises(ValueError, match=r"\bout\b"):
        ob.conv2d(x, ones(4, 4, 1, 1), out=x)
    assert (x == 7).all()
    with pytest.raises(ValueError, match=r"\bout\b"):
        ob.conv2d(x[..., ::-1], ones(4, 4, 1, 1), out=x)
    with pytest.raises(ValueError, match=r"\bout\b"):
        ob.conv2d(x, ones(4, 4, 1, 1), out=torch.from_numpy(x))
    assert (x == 7).all()


@pytest.mark.parametrize("padding", [2**62, 2**63 - 1, ((2**62, 2**62), (0, 0))])
def test_padding_that_overflows(padding):
    fails("padding", error=ValueError, padding=padding)


def test_padding_that_makes_the_output_overflow():
    fails("padding", error=ValueError, padding=(0, 2**61))


@pytest.mark.parametrize("dilation", [2**62, 2**63 - 1, (1, 2**61)])
def test_dilation_that_overflows(dilation):
    """Twice this dilation wraps around 64 bits; it must not look like a kernel that fits."""
    fails(error=ValueError, dilation=dilation)


def test_output_that_overflows():
    """Inputs NumPy can hold as views of one number, whose output has 2^63 bytes or more."""
    one = np.ones(1, np.float32)
    x = np.broadcast_to(one, (2**20, 1, 2**19, 2**19))
    weight = np.broadcast_to(one, (2**20, 1, 1, 1))
    fails(error=ValueError, x=x, weight=weight, out=None)
    fails(error=ValueError, x=np.moveaxis(x, 1, 3), weight=weight, layout="NHWC", out=None)
    fails(error=ValueError, padding=(2**31, 2**31), out=None)
    fails(error=ValueError, padding=((2**33, 0), (2**33, 0)), out=None)


def plan(**arguments):
    call = {"weight": ones(8, 4, 3, 3), "input_shape": (1, 4, 6, 6), **arguments}
    return ob.Conv2dPlan(**call)


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("weight", {"weight": ones(8, 4, 3)}),
        ("weight", {"weight": ones(8, 4, 3, 3, dtype=np.int32)}),
        ("weight", {"weight": [[1.0]]}),
        ("weight", {"weight": ones(8, 5, 3, 3)}),
        ("bias", {"bias": ones(7)}),
        ("bias", {"bias": ones(8, dtype=np.float64)}),
        ("stride", {"stride": 0}),
        ("padding", {"padding": -1}),
        ("padding", {"padding": "SAME"}),
        ("padding", {"padding": 2**62}),
        ("dilation", {"dilation": (1, 0)}),
        ("groups", {"groups": 3}),
        ("layout", {"layout": "CHW"}),
        ("activation", {"activation": "swish"}),
        ("algorithm", {"algorithm": "fft"}),
        ("residual", {"residual": "yes"}),
        ("residual", {"residual": ones(1, 8, 4, 4)}),
        ("num_threads", {"num_threads": 0}),
        ("num_threads", {"num_threads": -2}),
        ("num_threads", {"num_threads": 1.5}),
        ("num_threads", {"num_threads": True}),
        ("num_threads", {"num_threads": "2"}),
        ("input_shape", {"input_shape": (4, 6)}),
        ("input_shape", {"input_shape": (1, 1, 4, 6, 6)}),
        ("input_shape", {"input_shape": (1, 4, -6, 6)}),
        ("input_shape", {"input_shape": (1, 4, 6.0, 6)}),
        ("input_shape", {"input_shape": (1, 4, None, 6)}),
        ("input_shape", {"input_shape": 6}),
        ("input_shape", {"input_shape": None}),
        ("input_shape", {"input_shape": "1466"}),
        ("output", {"input_shape": (2**40, 4, 2**40, 2**40)}),
        ("input_shape", {"input_shape": (2**70, 4, 6, 6)}),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_plan_arguments(word, arguments):
    with pytest.raises(ERRORS) as caught:
        plan(**arguments)
    says(caught, word)


def test_plan_needs_input_shape_by_name():
    with pytest.raises(TypeError, match="input_shape"):
        ob.Conv2dPlan(ones(8, 4, 3, 3))


@pytest.mark.parametrize(
    "shape", [(2, 4, 6, 6), (1, 4, 6, 7), (4, 6, 6), (1, 6, 6, 4), (1, 5, 6, 6), (0, 4, 6, 6), ()]
)
def test_plan_called_with_another_shape(shape):
    out = np.full((1, 8, 4, 4), 7, np.float32)
    with pytest.raises(ValueError) as caught:
        plan()(ones(*shape), out=out)
    says(caught, "x", "4", "6")
    assert (out == 7).all()


@pytest.mark.parametrize("x", [ones(1, 4, 6, 6, dtype=np.float64), [1.0], None], ids=str)
def test_plan_called_with_another_type(x):
    with pytest.raises(TypeError) as caught:
        plan()(x)
    says(caught, "x")


def test_plan_residual_contrary_to_the_promise():
    x, residual = ones(1, 4, 6, 6), ones(1, 8, 4, 4)
    out = np.full((1, 8, 4, 4), 7, np.float32)
    with pytest.raises(ERRORS) as caught:
        plan()(x, residual, out)
    says(caught, "residual")
    with pytest.raises(ERRORS) as caught:
        plan(residual=True)(x, out=out)
    says(caught, "residual")
    for bad in [ones(1, 8, 4, 5), ones(8, 4, 4), ones(1, 8, 4, 4, dtype=np.float64), [1.0]]:
        with pytest.raises(ERRORS) as caught:
            plan(residual=True)(x, bad, out)
        says(caught, "residual")
    assert (out == 7).all()


def test_plan_out():
    x = ones(1, 4, 6, 6)
    read_only = np.full((1, 8, 4, 4), 7, np.float32)
    read_only.flags.writeable = False
    for out in [
        ones(1, 8, 4, 5),
        ones(8, 4, 4),
        ones(1, 8, 4, 4, dtype=np.float64),
        ones(1, 4, 4, 8).transpose(0, 3, 1, 2),
        read_only,
    ]:
        with pytest.raises(ERRORS) as caught:
            plan()(x, out=out)
        says(caught, "out")
    buffer = np.full(8 * 4 * 6 * 6, 7, np.float32)
    x, out = buffer[: 4 * 36].reshape(1, 4, 6, 6), buffer[143 : 143 + 128].reshape(1, 8, 4, 4)
    with pytest.raises(ValueError) as caught:
        plan()(x, out=out)
    says(caught, "out", "x")
    assert (buffer == 7).all()


@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual", "out"])
def test_tensors_that_require_grad(argument):
    """Silently leaving autograd would train nothing; the cure is detach()."""
    shapes = {"x": (1, 4, 6, 6), "weight": (8, 4, 3, 3), "bias": (8,), "residual": (1, 8, 4, 4)}
    arguments = {k: torch.ones(s) for k, s in shapes.items()}
    arguments["out"] = torch.full((1, 8, 4, 4), 7.0)
    arguments[argument].requires_grad_()
    with pytest.raises(ERRORS) as caught:
        ob.conv2d(**arguments)
    says(caught, argument, "detach")
    assert (arguments["out"] == 7).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.complex64])
@pytest.mark.parametrize("argument", ["x", "weight", "bias"])
def test_tensor_dtype(argument, dtype):
    arguments = {"x": torch.ones(1, 4, 6, 6), "weight": torch.ones(8, 4, 3, 3)}
    arguments["bias"] = torch.ones(8)
    arguments[argument] = arguments[argument].to(dtype)
    fails(argument, error=TypeError, **arguments)


def test_unknown_keyword_and_missing_arguments():
    with pytest.raises(TypeError, match="strides"):
        ob.conv2d(ones(1, 4, 6, 6), ones(8, 4, 3, 3), strides=2)
    with pytest.raises(TypeError, match="weight"):
        ob.conv2d(ones(1, 4, 6, 6))
    with pytest.raises(TypeError):  # activation is keyword-only
        ob.conv2d(ones(1, 4, 6, 6), ones(8, 4, 3, 3), None, 1, 0, 1, 1, "relu")


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("x", {"x": ones(4)}),
        ("x", {"x": ones(1, 1, 4, 9)}),
        ("x", {"x": ones(1, 4, 9, dtype=np.int64)}),
        ("x", {"x": [[1.0]]}),
        ("weight", {"weight": ones(6, 4)}),
        ("weight", {"weight": ones(6, 4, 1, 3)}),
        ("weight", {"weight": ones(6, 3, 3)}),
        ("weight", {"weight": ones(6, 4, 12)}),
        ("weight", {"weight": ones(6, 4, 3, dtype=np.float64)}),
        ("bias", {"bias": ones(5)}),
        ("bias", {"bias": ones(6, dtype=np.float64)}),
        ("stride", {"stride": 0}),
        ("stride", {"stride": (1, 1)}),
        ("stride", {"stride": 1.5}),
        ("padding", {"padding": -1}),
        ("padding", {"padding": "Same"}),
        ("padding", {"padding": (1, 1, 1)}),
        ("dilation", {"dilation": 0}),
        ("dilation", {"dilation": 5}),
        ("groups", {"groups": 4}),
        ("layout", {"layout": "NLCH"}),
        ("layout", {"layout": "nlc"}),
        ("activation", {"activation": "swish"}),
        ("algorithm", {"algorithm": "fft"}),
        ("algorithm", {"algorithm": "gemm"}),
        ("out", {"out": ones(1, 6, 8)}),
        ("out", {"out": ones(1, 6, 7, dtype=np.float64)}),
        ("out", {"out": ones(1, 7, 6).transpose(0, 2, 1)}),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_conv1d(word, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.conv1d(**{"x": ones(1, 4, 9), "weight": ones(6, 4, 3), **arguments})
    says(caught, word)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("x",), {"x": ones()}),
        (("x", "int64"), {"x": ones(2, 5, dtype=np.int64)}),
        (("x",), {"x": [[1.0] * 5]}),
        (("weight", "x", "5", "9"), {"x": ones(2, 9)}),
        (("weight",), {"weight": ones(5)}),
        (("weight",), {"weight": ones(3, 5, 1)}),
        (("weight", "float64"), {"weight": ones(3, 5, dtype=np.float64)}),
        (("bias", "3"), {"bias": ones(4)}),
        (("bias", "3"), {"bias": ones(1, 3)}),
        (("bias", "float64"), {"bias": ones(3, dtype=np.float64)}),
        (("activation",), {"activation": "swish"}),
        (("out", "3"), {"out": ones(2, 4)}),
        (("out",), {"out": ones(2, 3, dtype=np.float64)}),
        (("out",), {"out": ones(3, 2).T}),
    ],
    ids=str,
)
def test_linear(words, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.linear(**{"x": ones(2, 5), "weight": ones(3, 5), **arguments})
    says(caught, *words)


def test_a_failed_call_leaves_everything_usable():
    x, weight = ones(1, 4, 6, 6), ones(8, 4, 3, 3)
    want = ob.conv2d(x, weight)
    p = plan()
    for _ in range(3):
        with pytest.raises(ValueError):
            ob.conv2d(x, weight, stride=0)
        with pytest.raises(ValueError):
            p(ones(1, 4, 6, 7))
    np.testing.assert_array_equal(ob.conv2d(x, weight), want)
    np.testing.assert_array_equal(p(x), want)
