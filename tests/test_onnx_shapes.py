"""ONNX: sizes that are free, arithmetic on shapes, constants computed at load, and patterns."""

import math

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onebyone as ob
from helpers import conv2d_torch
from onnx_helpers import check, helper, model, node_model, random_inputs, run_onnxruntime

node = helper.make_node
F = np.float32


def ints(*values):
    return np.array(values, np.int64)


def several_shapes(data, *shapes):
    """One graph, compiled for one shape after another."""
    graph = ob.onnx.load(data)
    net = ob.compile(graph, shapes[0])
    for shape in shapes:
        (x,) = random_inputs([shape])
        (want,) = run_onnxruntime(data, [x])
        np.testing.assert_allclose(net(x), want, rtol=1e-5, atol=1e-6)


def test_flatten_by_shape_arithmetic():
    """What exporters write for x.view(x.shape[0], -1)."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = {"zero": np.array(0, np.int64), "axis": ints(0), "rest": ints(-1)}
    data = model(nodes, {"x": ["n", 3, "h", "w"]}, ["y"], constants)
    several_shapes(data, (1, 3, 4, 5), (2, 3, 7, 1), (3, 3, 2, 2), (1, 3, 4, 5))


def test_interpolation_to_the_size_of_another():
    """Resize to sizes that are computed: Shape, Slice, Cast, Mul, Floor, Concat."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "zero", "two"], ["nc"]),
        node("Slice", ["s", "two", "four"], ["hw"]),
        node("Cast", ["hw"], ["hwf"], to=1),
        node("Mul", ["hwf", "factor"], ["scaled"]),
        node("Floor", ["scaled"], ["floored"]),
        node("Cast", ["floored"], ["goal"], to=7),
        node("Concat", ["nc", "goal"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ]
    constants = {
        "zero": ints(0),
        "two": ints(2),
        "four": ints(4),
        "factor": np.array([1.5, 2.3], F),
    }
    data = model(nodes, {"x": ["n", 2, "h", "w"]}, ["y"], constants)
    several_shapes(data, (1, 2, 5, 4), (2, 2, 3, 7))


def test_arithmetic_of_integers():
    """Division as in C, Mod, Where, Equal, Range, ConstantOfShape, Max: all into one Reshape."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Div", ["s", "two"], ["half"]),
        node("Mod", ["s", "two"], ["odd"]),
        node("Equal", ["odd", "zero"], ["even"]),
        node("Not", ["even"], ["uneven"]),
        node("Where", ["uneven", "s", "half"], ["a"]),
        node("Sub", ["s", "a"], ["b"]),
        node("Max", ["b", "one"], ["c"]),
        node("Min", ["c", "minus"], ["d"]),
        node("Gather", ["d", "zero"], ["last"]),
        node("Concat", ["a", "last"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["r"]),
        node("Shape", ["r"], ["three"]),
        node("Size", ["x"], ["count"]),
        node("Squeeze", ["zero"], ["start"]),
        node("Squeeze", ["one"], ["step"]),
        node("Range", ["start", "count", "step"], ["range"]),
        node("Cast", ["range"], ["rangef"], to=1),
        node("Reshape", ["rangef", "to"], ["numbers"]),
        node(
            "ConstantOfShape", ["three"], ["sevens"], value=helper.make_tensor("v", 1, [1], [7.0])
        ),
        node("Add", ["r", "numbers"], ["sum"]),
        node("Mul", ["sum", "sevens"], ["y"]),
    ]
    constants = {"two": ints(2), "zero": ints(0), "one": ints(1), "minus": ints(-1)}
    data = model(nodes, {"x": ["a", "b"]}, ["y"], constants)
    several_shapes(data, (4, 6), (2, 8), (3, 4))


@pytest.mark.parametrize(
    ("op", "a", "b", "expected"),
    [
        ("Less", 1, 2, 1),
        ("LessOrEqual", 2, 2, 1),
        ("Greater", 1, 2, 0),
        ("GreaterOrEqual", 1, 2, 0),
        ("Equal", 2, 2, 1),
        ("Div", -7, 2, -3),
        ("Div", 7, -2, -3),
        ("Mod", -7, 2, 1),
        ("Mul", -7, 2, -14),
        ("Min", -7, 2, -7),
        ("Pow", 3, 4, 81),
    ],
)
def test_known_operators_on_integers(op, a, b, expected):
    nodes = [
        node(op, ["a", "b"], ["c"]),
        node("Cast", ["c"], ["d"], to=1),
        node("Mul", ["x", "d"], ["y"]),
    ]
    data = model(nodes, {"x": [1]}, ["y"], {"a": ints(a), "b": ints(b)})
    x = np.ones(1, F)
    assert ob.compile(ob.onnx.load(data), (1,))(x).tolist() == [expected]
    check(data, [x])


def test_logic_non_zero_and_sums():
    nodes = [
        node("And", ["p", "q"], ["and"]),
        node("Or", ["p", "q"], ["or"]),
        node("Xor", ["and", "or"], ["xor"]),
        node("NonZero", ["xor"], ["where"]),
        node("CumSum", ["where", "one"], ["sums"]),
        node("Cast", ["sums"], ["f"], to=1),
        node("Add", ["x", "f"], ["y"]),
    ]
    constants = {
        "p": np.array([True, True, False, False]),
        "q": np.array([True, False, True, False]),
        "one": np.array(1, np.int32),
    }
    check(model(nodes, {"x": [1, 2]}, ["y"], constants), random_inputs([(1, 2)]))


@pytest.mark.parametrize("opset", [7, 13])
def test_constants(opset):
    """Constant in its forms; constants are folded, and what is left is one operation."""
    nodes = [
        node("Constant", [], ["a"], value=helper.make_tensor("v", 1, [2], [1.5, -2.0])),
        node("Neg", ["a"], ["b"]),
        node("Exp", ["b"], ["c"]),
        node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        node("MatMul", ["x", "wt"], ["p"]),
        node("Add", ["p", "c"], ["y"]),
    ]
    if opset >= 12:
        nodes[0] = node("Constant", [], ["a"], value_floats=[1.5, -2.0])
    weight = np.arange(6, dtype=F).reshape(2, 3)
    data = model(nodes, {"x": [4, 3]}, ["y"], {"w": weight}, opset)
    check(data, random_inputs([(4, 3)]))
    assert "2 operations" in repr(ob.onnx.load(data))


@pytest.mark.parametrize("start, end", [(0, None), (1, None), (-2, None), (1, -1), (0, 100)])
def test_part_of_a_shape(start, end):
    limits = {"start": start} | ({} if end is None else {"end": end})
    nodes = [
        node("Shape", ["x"], ["s"], **limits),
        node("Cast", ["s"], ["f"], to=1),
        node("ReduceSum", ["f"], ["sum"], keepdims=0),
        node("Mul", ["x", "sum"], ["y"]),
    ]
    check(model(nodes, {"x": [2, 3, 5]}, ["y"], opset=15), random_inputs([(2, 3, 5)]))


def test_all_outputs_and_inputs():
    """Several inputs and outputs, an output that is an input, one that is constant, one twice."""
    nodes = [
        node("Add", ["a", "b"], ["sum"]),
        node("Identity", ["a"], ["same"]),
        node("Relu", ["sum"], ["relu"]),
        node("Identity", ["c"], ["constant"]),
    ]
    outputs = ["relu", "same", "constant", "sum"]
    data = model(nodes, {"a": [2, 3], "b": [3]}, outputs, {"c": np.arange(4, dtype=F)})
    check(data, random_inputs([(2, 3), (3,)]))


def test_float64(rng):
    weight = rng.random((4, 3, 3, 3))
    data, shapes = node_model("Conv", [(1, 3, 5, 6), weight], dtype=np.float64)
    (x,) = random_inputs(shapes, np.float64)
    check(data, [x], relative=1e-14, want=[conv2d_torch(x, weight)])


def patterns():
    """(name, nodes, constants, activation) of what exporters write for one activation."""
    three, six, half = np.array(3, F), np.array(6, F), np.array(0.5, F)
    erf = [
        node("Div", ["x", "r"], ["d"]),
        node("Erf", ["d"], ["e"]),
        node("Add", ["e", "1"], ["f"]),
    ]
    clip = [node("Add", ["x", "3"], ["a"]), node("Clip", ["a", "0", "6"], ["c"])]
    constants = {
        "3": three,
        "6": six,
        "0": np.array(0, F),
        "r": np.array(math.sqrt(2), F),
        "1/r": np.array([math.sqrt(0.5)], F),
        "1": np.array(1, F),
        "half": half,
        "1/6": np.array(1 / 6, F),
    }
    yield "silu", [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], constants
    yield "silu", [node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "x"], ["y"])], constants
    sixth = node("HardSigmoid", ["x"], ["s"], alpha=1 / 6)
    yield "hardswish", [sixth, node("Mul", ["x", "s"], ["y"])], constants
    tail = [node("Mul", ["x", "c"], ["m"]), node("Div", ["m", "6"], ["y"])]
    yield "hardswish", [*clip, *tail], constants
    tail = [node("Div", ["c", "6"], ["m"]), node("Mul", ["m", "x"], ["y"])]
    yield "hardswish", [*clip, *tail], constants
    yield "hardsigmoid", [*clip, node("Mul", ["c", "1/6"], ["y"])], constants
    tail = [node("Mul", ["x", "f"], ["m"]), node("Mul", ["m", "half"], ["y"])]
    yield "gelu", [*erf, *tail], constants
    tail = [node("Mul", ["x", "half"], ["m"]), node("Mul", ["m", "f"], ["y"])]
    yield "gelu", [*erf, *tail], constants
    erf = [node("Mul", ["x", "1/r"], ["d"]), *erf[1:]]
    tail = [node("Mul", ["half", "f"], ["m"]), node("Mul", ["m", "x"], ["y"])]
    yield "gelu", [*erf, *tail], constants


@pytest.mark.parametrize(("name", "nodes", "constants"), list(patterns()))
def test_pattern(name, nodes, constants):
    data = model(nodes, {"x": [3, 50]}, ["y"], constants)
    check(data, random_inputs([(3, 50)], low=-5, high=5), relative=5e-6)
    assert "1 operations" in repr(ob.onnx.load(data))


def test_pattern_through_copies():
    nodes = [
        node("Identity", ["x"], ["x2"]),
        node("Sigmoid", ["x2"], ["s"]),
        node("Identity", ["s"], ["s2"]),
        node("Mul", ["x", "s2"], ["m"]),
        node("Identity", ["m"], ["y"]),
        node("Identity", ["y"], ["z"]),
    ]
    data = model(nodes, {"x": [3, 5]}, ["y", "z"])
    check(data, random_inputs([(3, 5)]))
    assert "3 operations" in repr(ob.onnx.load(data))


@pytest.mark.parametrize("kept", ["s", "y"])
def test_pattern_keeps_what_others_use(kept):
    nodes = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])]
    nodes.append(node("Add", [kept, "x"], ["z"]))
    data = model(nodes, {"x": [3, 5]}, ["y", "z"])
    check(data, random_inputs([(3, 5)]))


def near_patterns():
    """What only looks like one of them."""
    number = {"k": np.array(2.5, F), "6": np.array(6, F), "0": np.array(0, F)}
    yield [node("Sigmoid", ["w"], ["s"]), node("Mul", ["x", "s"], ["y"])], number
    yield [node("Sigmoid", ["x"], ["s"]), node("Div", ["x", "s"], ["y"])], number
    yield [node("Sigmoid", ["x"], ["s"]), node("Div", ["s", "x"], ["y"])], number
    scaled = [node("Mul", ["x", "k"], ["m"]), node("Sigmoid", ["x"], ["s"])]
    yield [*scaled, node("Mul", ["m", "s"], ["y"])], number
    clip = [node("Add", ["x", "k"], ["a"]), node("Clip", ["a", "0", "6"], ["c"])]
    yield [*clip, node("Mul", ["x", "c"], ["m"]), node("Div", ["m", "6"], ["y"])], number
    yield [node("HardSigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], number
    yield [node("Mul", ["x", "x"], ["y"])], number
    yield [node("Div", ["6", "x"], ["y"])], number


@pytest.mark.parametrize(("nodes", "constants"), list(near_patterns()))
def test_no_pattern(nodes, constants):
    names = {name for n in nodes for name in n.input}
    inputs = {name: [3, 5] for name in ("x", "w") if name in names}
    data = model(nodes, inputs, ["y"], {k: v for k, v in constants.items() if k in names})
    check(data, random_inputs([(3, 5)] * len(inputs), low=0.5, high=3), relative=5e-6)
