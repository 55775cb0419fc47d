"""The operations between convolutions against torch and onnxruntime."""

import numpy as np
import onebyone as ob
import pytest
import torch
import torch.nn.functional as F
from helpers import FLOAT32, eps, from_layout, mismatch, to_layout, uniform, views

ERRORS = (TypeError, ValueError)


def double(a):
    return None if a is None else torch.from_numpy(np.array(a, order="C")).double()


RESIZES = [
    {"mode": "nearest"},
    {"mode": "nearest-exact"},
    {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": True},
    {"mode": "bicubic", "align_corners": False},
    {"mode": "bicubic", "align_corners": True},
]


@pytest.mark.parametrize("options", RESIZES, ids=str)
@pytest.mark.parametrize(
    "where",
    [
        {"scale_factor": 2},
        {"scale_factor": 3.0},
        {"scale_factor": (0.5, 1.5)},
        {"size": (7, 20)},
        {"size": 1},
        {"size": (4, 11)},
    ],
    ids=str,
)
def test_interpolate(options, where, rng, dtype, layout):
    for c, size in [(1, (4, 11)), (3, (5, 8)), (40, (6, 7)), (16, (2, 33))]:
        x = uniform(rng, (2, c, *size), dtype)
        want = F.interpolate(double(x), **where, **options).numpy()
        y = ob.interpolate(to_layout(x, layout), **where, **options, layout=layout)
        # Coordinates of up to 66 are rounded to the dtype before they weigh.
        bound = 0 if options["mode"].startswith("nearest") else 1000 * eps(dtype)
        problem = mismatch(from_layout(y, layout), want, bound, dtype)
        assert not problem, (c, size, problem)


def test_interpolate_views(rng, layout):
    x = to_layout(uniform(rng, (2, 5, 4, 6), FLOAT32), layout)
    for options in RESIZES:
        want = ob.interpolate(x, (9, 8), **options, layout=layout)
        for name, view in views(x):
            y = ob.interpolate(view, (9, 8), **options, layout=layout)
            np.testing.assert_allclose(y, want, rtol=0, atol=1e-5, err_msg=name)
            y = ob.interpolate(view[1], (9, 8), **options, layout=layout)
            np.testing.assert_allclose(y, want[1], rtol=0, atol=1e-5, err_msg=name)
        with ob.threads(3):
            y = ob.interpolate(x, (9, 8), **options, layout=layout)
        np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("x", "4 dimensions"), {"x": np.ones((4, 5), np.float32)}),
        (("x", "no pixels"), {"x": np.ones((1, 2, 0, 5), np.float32)}),
        (("size", "scale_factor"), {"size": None}),
        (("size", "scale_factor", "not both"), {"scale_factor": 2}),
        (("size", "at least 1"), {"size": 0}),
        (("size",), {"size": 1.5}),
        (("scale_factor",), {"size": None, "scale_factor": -1}),
        (("scale_factor",), {"size": None, "scale_factor": "2"}),
        (("scale_factor",), {"size": None, "scale_factor": (1, 2, 3)}),
        (("scale_factor", "at least 1"), {"size": None, "scale_factor": 0.1}),
        (("mode",), {"mode": "area"}),
        (("mode",), {"mode": None}),
        (("align_corners",), {"align_corners": True}),
        (("align_corners",), {"mode": "bilinear", "align_corners": "yes"}),
        (("layout",), {"layout": "HWC"}),
        (("out",), {"out": np.ones((1, 2, 2, 3), np.float32)}),
    ],
    ids=str,
)
def test_interpolate_errors(words, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.interpolate(**{"x": np.ones((1, 2, 4, 5), np.float32), "size": 6, **arguments})
    for word in ("interpolate", *words):
        assert word in str(caught.value), str(caught.value)


ORT_RESIZES = [
    ("nearest", "asymmetric", "floor", {"mode": "nearest"}),
    ("nearest", "half_pixel", "round_prefer_ceil", {"mode": "nearest-exact"}),
    ("linear", "half_pixel", None, {"mode": "bilinear"}),
    ("linear", "align_corners", None, {"mode": "bilinear", "align_corners": True}),
    ("cubic", "half_pixel", None, {"mode": "bicubic"}),
    ("cubic", "align_corners", None, {"mode": "bicubic", "align_corners": True}),
]


@pytest.mark.parametrize("case", ORT_RESIZES, ids=str)
def test_interpolate_as_onnxruntime(case, rng):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    mode, coordinates, nearest, options = case
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if nearest:
        attributes["nearest_mode"] = nearest
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    x = uniform(rng, (1, 5, 9, 14), FLOAT32)
    for size in [(18, 28), (7, 10), (13, 45), (9, 14), (27, 42)]:
        sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [1, 5, *size])
        graph = helper.make_graph(
            [node],
            "resize",
            [helper.make_tensor_value_info("x", real, x.shape)],
            [helper.make_tensor_value_info("y", real, (1, 5, *size))],
            [sizes],
        )
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        session = runtime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (want,) = session.run(None, {"x": x})
        bound = 0 if mode == "nearest" else 2e-5
        y = ob.interpolate(x, size, **options)
        assert not mismatch(y, want.astype(np.float64), bound, FLOAT32), size


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_batch_norm(affine, activation, rng, dtype, layout):
    for c, size in [(1, (3, 4)), (17, (5, 7)), (64, (1, 1))]:
        x, mean, weight, bias = (uniform(rng, s, dtype) for s in [(2, c, *size), c, c, c])
        var = uniform(rng, c, dtype) ** 2 + dtype.type(0.1)
        pair = (weight, bias) if affine else (None, None)
        want = F.batch_norm(double(x), *map(double, (mean, var, *pair)), eps=1e-3)
        want = getattr(F, activation)(want) if activation else want
        y = ob.batch_norm(
            to_layout(x, layout), mean, var, *pair, 1e-3, activation=activation, layout=layout
        )
        assert not mismatch(from_layout(y, layout), want.numpy(), 64 * eps(dtype), dtype)
        one = ob.batch_norm(
            to_layout(x[0], layout), mean, var, *pair, 1e-3, activation=activation, layout=layout
        )
        np.testing.assert_array_equal(one, y[0])


def test_batch_norm_layer(rng, layout):
    theirs = torch.nn.BatchNorm2d(7).eval()
    for tensor in [theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var]:
        tensor.data.uniform_(0.5, 1.5)
    layer = ob.nn.BatchNorm2d(7)
    assert list(layer.state_dict()) == list(theirs.state_dict())
    layer.load_state_dict(theirs.state_dict())
    x = uniform(rng, (2, 7, 4, 5), FLOAT32)
    with torch.no_grad():
        want = theirs.double()(double(x)).numpy()
    given = to_layout(x, layout)
    y = layer(given, layout)
    assert not mismatch(from_layout(y, layout), want, 1e-5, FLOAT32)
    assert layer.output_shape(given.shape, layout) == y.shape
    assert sum(p.size for p in layer.parameters()) == 14
    assert repr(layer) == "BatchNorm2d(7, eps=1e-05)"
    with pytest.raises(ValueError, match="expects 7 channels"):
        layer.output_shape((1, 6, 4, 5), "NCHW")
    for make in [
        lambda: ob.nn.BatchNorm2d(0),
        lambda: ob.nn.BatchNorm2d(3, eps="x"),
        lambda: ob.nn.BatchNorm2d(3, track_running_stats=False),
    ]:
        with pytest.raises(ERRORS, match="BatchNorm2d"):
            make()


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_softmax(axis, rng, dtype):
    for shape in [(1, 1, 1), (3, 5, 7), (2, 1000, 3), (4, 2, 33)]:
        x = 10 * uniform(rng, shape, dtype)
        want = torch.softmax(double(x), axis).numpy()
        for name, view in views(x):
            y = ob.softmax(view, axis)
            assert not mismatch(y, want, 32 * eps(dtype), dtype), (shape, name)
        layer = ob.nn.Softmax(axis)
        np.testing.assert_allclose(layer(x), want, rtol=0, atol=32 * eps(dtype))
        assert layer.output_shape(shape) == shape


@pytest.mark.parametrize("activation", [None, "relu", "hardswish"])
def test_add(activation, rng, dtype):
    for p, q in [((2, 3, 4, 5),) * 2, ((2, 3, 4, 5), (3, 1, 1)), ((1, 7), (6, 1)), ((), (3,))]:
        a, b = uniform(rng, p, dtype), uniform(rng, q, dtype)
        want = double(a) + double(b)
        want = getattr(F, activation)(want) if activation else want
        assert not mismatch(
            ob.add(a, b, activation=activation), want.numpy(), 8 * eps(dtype), dtype
        )
        for (_, one), (_, other) in zip(views(a), reversed(list(views(b))), strict=False):
            y = ob.add(one, other, activation=activation)
            assert not mismatch(y, want.numpy(), 8 * eps(dtype), dtype)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concat(axis, rng, dtype):
    parts = []
    for n in [3, 1, 0, 4]:
        shape = [2, 5, 7]
        shape[axis] = n
        parts.append(uniform(rng, shape, dtype))
    want = np.concatenate(parts, axis)
    np.testing.assert_array_equal(ob.concat(parts, axis), want)
    for kind in zip(*map(views, parts), strict=True):
        np.testing.assert_array_equal(ob.concat([view for _, view in kind], axis), want)
    out = np.empty_like(want)
    assert ob.concat(tuple(parts), axis, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_pad(mode, rng, dtype):
    x = uniform(rng, (2, 3, 5, 6), dtype)
    for pad in [(1, 2), (0, 3, 2, 1), (2, 0, 0, 0), (-1, 2, 1, -2), (0, 0, 0, 0)]:
        padded = (
            F.pad(torch.from_numpy(x), pad, mode) if len(pad) == 4 or mode == "constant" else None
        )
        if padded is None:
            padded = F.pad(torch.from_numpy(x[0]), pad, mode)[None]
            x_used = x[:1]
        else:
            x_used = x
        for name, view in views(x_used):
            np.testing.assert_array_equal(ob.pad(view, pad, mode), padded.numpy(), name)
    np.testing.assert_array_equal(
        ob.pad(x, (1, 0), value=-np.inf)[..., 0], np.full((2, 3, 5), -np.inf, dtype)
    )


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ob.batch_norm(ones(3), ones(3), ones(3)), ["batch_norm", "x"]),
        (lambda: ob.batch_norm(ones(1, 3, 2, 2), ones(4), ones(3)), ["running_mean", "(3,)"]),
        (lambda: ob.batch_norm(ones(1, 3, 2, 2), ones(3), None), ["running_var", "training"]),
        (lambda: ob.batch_norm(ones(1, 3), ones(3), ones(3), eps="a"), ["eps"]),
        (lambda: ob.batch_norm(ones(1, 3), ones(3), ones(3), layout="CN"), ["layout"]),
        (lambda: ob.softmax(ones(2, 3), 2), ["softmax", "axis 2", "(2, 3)"]),
        (lambda: ob.softmax(ones(2, 3), 1.0), ["axis"]),
        (lambda: ob.softmax(ones(2, dtype=np.int32)), ["x", "int32"]),
        (lambda: ob.add(ones(2, 3), ones(2)), ["add", "(2, 3)", "(2,)", "axis -1"]),
        (lambda: ob.add(ones(2), ones(2, dtype=np.float64)), ["b", "float64", "astype"]),
        (lambda: ob.add(ones(2), ones(2), activation="swish"), ["activation"]),
        (lambda: ob.concat([]), ["concat", "arrays"]),
        (lambda: ob.concat(ones(2, 3)), ["arrays", "list"]),
        (lambda: ob.concat([ones(2, 3), ones(3, 2)]), ["arrays[1]", "(3, 2)"]),
        (lambda: ob.concat([ones(2), ones(2, dtype=np.float64)]), ["arrays[1]", "float64"]),
        (lambda: ob.concat([ones(2)], 1), ["axis"]),
        (lambda: ob.pad(ones(2, 3), 1), ["pad", "tuple"]),
        (lambda: ob.pad(ones(2, 3), (1,)), ["pad", "two numbers"]),
        (lambda: ob.pad(ones(2, 3), (1, 1, 1, 1, 1, 1)), ["pad", "2 axes"]),
        (lambda: ob.pad(ones(2, 3), (-4, 0)), ["pad", "crops"]),
        (lambda: ob.pad(ones(2, 3), (3, 0), "reflect"), ["pad", "reflect"]),
        (lambda: ob.pad(ones(2, 3), (1, 1), "wrap"), ["mode", "'wrap'"]),
        (lambda: ob.pad(ones(2, 3), (1, 1), value="0"), ["value"]),
        (lambda: ob.softmax(ones(*[1] * 9)), ["x", "9 dimensions"]),
    ],
)
def test_errors(call, words):
    with pytest.raises(ERRORS) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
