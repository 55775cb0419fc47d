"""Every ONNX operator against onnxruntime, over the forms it had since opset 7."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx_helpers import check_node


def array(*shape, seed=7, low=-1.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def one(value):
    return np.array(value, np.float32)


# Each: operator, operands, attributes (and opset, default 13).
CONVOLUTIONS = [
    ("Conv", [(1, 3, 9, 11), array(5, 3, 3, 3)], {}),
    ("Conv", [(2, 4, 9, 11), array(6, 2, 3, 2), array(6)], {"group": 2, "pads": [0, 1, 2, 3]}),
    ("Conv", [(1, 3, 10, 7), array(4, 3, 3, 3)], {"strides": [2, 3], "dilations": [2, 1]}),
    ("Conv", [(1, 3, 10, 7), array(4, 3, 3, 2)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Conv", [(1, 3, 10, 7), array(4, 3, 4, 2)], {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
    ("Conv", [(1, 3, 10, 7), array(4, 3, 3, 3)], {"auto_pad": "VALID", "kernel_shape": [3, 3]}),
    ("Conv", [(1, 6, 8, 8), array(6, 1, 5, 5), array(6)], {"group": 6, "pads": [2, 2, 2, 2]}),
    ("Conv", [(1, 8, 5, 5), array(16, 8, 1, 1), array(16)], {}),
    ("Conv", [(2, 3, 17), array(4, 3, 5), array(4)], {"pads": [2, 1], "strides": [2]}),
    ("Conv", [(1, 4, 17), array(4, 1, 3)], {"group": 4, "strides": [3], "auto_pad": "SAME_UPPER"}),
    ("Conv", [(1, 4, 17), array(4, 1, 3)], {"group": 4, "dilations": [3], "pads": [3, 2]}),
    ("ConvTranspose", [(1, 3, 5, 6), array(3, 4, 3, 3)], {}),
    ("ConvTranspose", [(2, 3, 5, 6), array(3, 4, 2, 2), array(4)], {"strides": [2, 2]}),
    ("ConvTranspose", [(1, 4, 5, 6), array(4, 3, 3, 3)], {"group": 2, "strides": [2, 3]}),
    (
        "ConvTranspose",
        [(1, 3, 5, 6), array(3, 4, 3, 4), array(4)],
        {"strides": [2, 2], "pads": [1, 0, 0, 2], "output_padding": [1, 0]},
    ),
    (
        "ConvTranspose",
        [(1, 3, 5, 6), array(3, 4, 3, 3)],
        {"dilations": [2, 1], "pads": [1, 1, 1, 1]},
    ),
    (
        "ConvTranspose",
        [(1, 3, 5, 6), array(3, 2, 3, 3)],
        {"strides": [2, 2], "output_shape": [10, 12]},
    ),
    (
        "ConvTranspose",
        [(1, 3, 5, 6), array(3, 2, 4, 3)],
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    (
        "ConvTranspose",
        [(1, 3, 5, 6), array(3, 2, 4, 3)],
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    ("ConvTranspose", [(1, 3, 7), array(3, 2, 4)], {"strides": [2], "pads": [1, 0]}),
]
PRODUCTS = [
    ("Gemm", [(3, 5), array(5, 7), array(7)], {}),
    ("Gemm", [(3, 5), array(7, 5), array(3, 1)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [(5, 3), array(7, 5)], {"transA": 1, "transB": 1}),
    ("Gemm", [(3, 5), (5, 7), (3, 7)], {"alpha": 1.5, "beta": 0.25}),
    ("Gemm", [(3, 5), (7, 5), array(1)], {"transB": 1}),
    ("Gemm", [(3, 5), array(5, 7), one(2.0)], {"beta": 3.0}),
    ("MatMul", [(3, 5), array(5, 7)], {}),
    ("MatMul", [(2, 3, 5), array(5, 7)], {}),
    ("MatMul", [(2, 1, 3, 5), (4, 5, 7)], {}),
    ("MatMul", [array(2, 3, 5), (5, 7)], {}),
    ("MatMul", [(5,), array(5, 7)], {}),
    ("MatMul", [(5,), (5, 7)], {}),
    ("MatMul", [(2, 3, 5), (5,)], {}),
    ("MatMul", [(5,), (5,)], {}),
    ("MatMul", [(5,), (2, 5, 3)], {}),
    ("MatMul", [(2, 3, 5), array(2, 5, 4)], {}),
    ("MatMul", [(3, 5), array(5)], {}),
]
POOLS = [
    ("MaxPool", [(2, 3, 9, 10)], {"kernel_shape": [3, 2]}),
    ("MaxPool", [(1, 3, 9, 10)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0]}),
    ("MaxPool", [(1, 3, 9, 10)], {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
    ("MaxPool", [(1, 3, 9, 10)], {"kernel_shape": [3, 3], "dilations": [2, 1]}),
    ("MaxPool", [(1, 3, 9, 10)], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
    (
        "MaxPool",
        [(1, 3, 9, 10)],
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    ("MaxPool", [(1, 3, 11)], {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    ("MaxPool", [(1, 3, 9, 10)], {"kernel_shape": [2, 2], "storage_order": 0}, 8),
    ("AveragePool", [(2, 3, 9, 10)], {"kernel_shape": [3, 2]}),
    ("AveragePool", [(1, 3, 9, 10)], {"kernel_shape": [3, 3], "pads": [1, 0, 0, 1]}),
    (
        "AveragePool",
        [(1, 3, 9, 10)],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
    ),
    ("AveragePool", [(1, 3, 8, 9)], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    (
        "AveragePool",
        [(1, 3, 9, 10)],
        {"kernel_shape": [4, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    ("AveragePool", [(1, 3, 11)], {"kernel_shape": [3], "strides": [2]}),
    ("GlobalAveragePool", [(2, 5, 7, 3)], {}),
    ("GlobalMaxPool", [(2, 5, 7, 3)], {}),
    ("GlobalAveragePool", [(2, 5, 7)], {}),
]
ACTIVATIONS = [
    ("Relu", [(2, 3, 5)], {}),
    ("Sigmoid", [(2, 3, 5)], {}),
    ("Tanh", [(2, 3, 5)], {}),
    ("LeakyRelu", [(2, 3, 5)], {}),
    ("LeakyRelu", [(2, 3, 5)], {"alpha": 0.3}),
    ("PRelu", [(2, 3, 5, 4), array(3, 1, 1)], {}),
    ("PRelu", [(2, 3, 5), one(0.25)], {}),
    ("PRelu", [(2, 3), (2, 3)], {}),
    ("Elu", [(2, 3, 5)], {}),
    ("Elu", [(2, 3, 5)], {"alpha": 0.7}),
    ("Celu", [(2, 3, 5)], {"alpha": 0.7}),
    ("Selu", [(2, 3, 5)], {}),
    ("HardSigmoid", [(2, 3, 5)], {}),
    ("HardSigmoid", [(2, 3, 5)], {"alpha": 1 / 6, "beta": 0.5}),
    ("HardSigmoid", [(2, 3, 5)], {"alpha": 0.3, "beta": 0.4}),
    ("HardSwish", [(2, 3, 5)], {}, 14),
    ("Swish", [(2, 3, 5)], {}, 24),
    ("Swish", [(2, 3, 5)], {"alpha": 1.5}, 24),
    ("Softplus", [(2, 3, 5)], {}),
    ("Softsign", [(2, 3, 5)], {}),
    ("Mish", [(2, 3, 5)], {}, 18),
    ("Gelu", [(2, 3, 5)], {}, 20),
    ("Gelu", [(2, 3, 5)], {"approximate": "tanh"}, 20),
    ("Clip", [(2, 3, 5)], {"min": -0.5, "max": 2.0}, 7),
    ("Clip", [(2, 3, 5)], {"max": 0.5}, 10),
    ("Clip", [(2, 3, 5)], {}, 10),
    ("Clip", [(2, 3, 5), one(0.0), one(6.0)], {}),
    ("Clip", [(2, 3, 5), one(0.0)], {}),
    ("Clip", [(2, 3, 5), None, one(1.0)], {}),
    ("Clip", [(2, 3, 5), one(-0.25), one(0.5)], {}),
]
ARITHMETIC = [
    *[(op, [(2, 3, 4), array(4, low=0.5)], {}) for op in ("Add", "Sub", "Mul", "Div")],
    *[(op, [array(3, 1), (2, 1, 4)], {}, 7) for op in ("Add", "Sub", "Mul", "Div")],
    *[(op, [(2, 3, 4), (2, 1, 4)], {}) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")],
    *[(op, [(2, 3), (3,), array(2, 1)], {}) for op in ("Sum", "Mean", "Max", "Min")],
    ("Add", [(), (3, 2)], {}),
    ("Mul", [(1, 3, 4, 5), array(3, 1, 1)], {}),
    *[(op, [(3, 7)], {}) for op in ("Abs", "Ceil", "Cos", "Exp", "Floor", "Neg", "Sign", "Sin")],
    *[(op, [(3, 7)], {}) for op in ("Erf", "Round", "Reciprocal")],
    ("Identity", [(3, 7)], {}),
    ("Dropout", [(3, 7)], {"ratio": 0.3}, 7),
    ("Dropout", [(3, 7), one(0.3)], {}),
    ("Dropout", [(3, 7), one(0.3), np.array(False)], {}),
    ("Pow", [(3, 7), one(2.0)], {}),
    ("Pow", [(3, 7), np.array(3, np.int64)], {}),
    ("Pow", [(3, 7), one(3.0)], {}, 7),
    ("Pow", [(3, 7), array(1, 1, 7)], {"low": 0.1}),
    ("Pow", [(3, 7), one(0.5)], {"low": 0.1}),
    ("Pow", [(3, 7), (7,)], {"low": 0.1}),
    ("Log", [(3, 7)], {"low": 0.1, "high": 9.0}),
    ("Sqrt", [(3, 7)], {"low": 0.0, "high": 9.0}),
    ("Cast", [(3, 7)], {"to": 1}),
    ("CastLike", [(3, 7), (1,)], {}, 15),
]
ARRANGEMENT = [
    ("Reshape", [(2, 3, 4), ints(0, -1)], {}),
    ("Reshape", [(2, 3, 4), ints(4, 0, 2)], {}),
    ("Reshape", [(2, 0, 4), ints(0, 7)], {"allowzero": 1}, 14),
    ("Reshape", [(1, 1), ints()], {}),
    ("Flatten", [(2, 3, 4, 5)], {}),
    ("Flatten", [(2, 3, 4, 5)], {"axis": 0}),
    ("Flatten", [(2, 3, 4, 5)], {"axis": -1}),
    ("Flatten", [(2, 3, 4, 5)], {"axis": 4}),
    ("Transpose", [(2, 3, 4)], {}),
    ("Transpose", [(2, 3, 4, 5)], {"perm": [0, 2, 3, 1]}),
    ("Squeeze", [(2, 1, 4, 1)], {}),
    ("Squeeze", [(2, 1, 4, 1)], {"axes": [1]}, 11),
    ("Squeeze", [(2, 1, 4, 1), ints(-1)], {}),
    ("Unsqueeze", [(2, 4)], {"axes": [0, 3]}, 11),
    ("Unsqueeze", [(2, 4), ints(-1, 1)], {}),
    ("Expand", [(3, 1), ints(2, 1, 4)], {}),
    ("Expand", [(3, 4), ints(1, 1)], {}),
    ("Tile", [(2, 3), ints(2, 3)], {}),
    ("Tile", [(2, 3, 1), ints(1, 1, 5)], {}),
    ("Concat", [(2, 3), array(2, 2), (2, 1)], {"axis": 1}),
    ("Concat", [(2, 3), (4, 3)], {"axis": -2}),
    ("Concat", [(2, 3)], {"axis": 0}),
    ("Split", [(2, 6)], {"axis": 1, "outputs": 3}, 7),
    ("Split", [(2, 6)], {"axis": 1, "split": [1, 2, 3], "outputs": 3}, 11),
    ("Split", [(6, 2), ints(4, 2)], {"outputs": 2}),
    ("Split", [(7, 2)], {"outputs": 3, "num_outputs": 3}, 18),
    ("Split", [(7, 2)], {"axis": -2, "outputs": 2, "num_outputs": 2}, 18),
    ("DepthToSpace", [(2, 12, 3, 5)], {"blocksize": 2}),
    ("DepthToSpace", [(2, 12, 3, 5)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [(2, 3, 4, 6)], {"blocksize": 2}),
    ("Pad", [(1, 2, 3, 4)], {"pads": [0, 0, 1, 2, 0, 0, 3, 0]}, 7),
    ("Pad", [(1, 2, 5, 4)], {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "reflect"}, 10),
    ("Pad", [(1, 2, 5, 4)], {"pads": [0, 1, -1, 2, 0, 0, 3, 0], "value": 1.5}, 10),
    ("Pad", [(1, 2, 5, 4), ints(0, 0, 1, 2, 0, 1, 3, 0), one(2.5)], {}),
    ("Pad", [(1, 2, 5, 4), ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    ("Pad", [(1, 2, 5, 4), ints(1, 2, 0, 1), one(-1.0), ints(-1, 1)], {}, 18),
    ("Pad", [(5, 4), ints(-1, 0, -2, -1)], {}),
]
INDEXING = [
    ("Slice", [(5, 6)], {"starts": [1, -3], "ends": [4, 1000]}, 9),
    ("Slice", [(5, 6)], {"starts": [2], "ends": [-1], "axes": [1]}, 7),
    ("Slice", [(5, 6), ints(1), ints(4)], {}, 10),
    ("Slice", [(5, 6), ints(1, 0), ints(4, 5), ints(0, -1), ints(2, 3)], {}),
    ("Slice", [(5, 6), ints(-1), ints(-1000), ints(0), ints(-1)], {}),
    ("Slice", [(5, 6), ints(4), ints(0), ints(1), ints(-2)], {}),
    ("Slice", [(5, 6), ints(3), ints(2), ints(1)], {}),
    ("Slice", [(5, 6), np.array([1], np.int32), np.array([2**31 - 1], np.int32)], {}),
    ("Gather", [(5, 6), ints(0, 3, -1)], {}),
    ("Gather", [(5, 6), np.array(-2, np.int64)], {"axis": 1}),
    ("Gather", [(5, 6, 2), np.array([[0, 1], [4, 2]], np.int32)], {"axis": 1}),
    ("Gather", [(5, 6), ints(3)], {"axis": -1}),
]
REDUCTIONS = [
    *[(f"Reduce{k}", [(2, 3, 4, 5)], {"axes": [2, 3]}, 11) for k in ("Mean", "Sum", "Max", "Min")],
    *[(f"Reduce{k}", [(2, 3, 4)], {"axes": [-2], "keepdims": 0}, 11) for k in ("Mean", "L1", "L2")],
    *[(f"Reduce{k}", [(2, 3, 4)], {}, 12) for k in ("Mean", "Prod", "SumSquare", "LogSumExp")],
    ("ReduceLogSum", [(2, 3, 4)], {"axes": [1], "low": 0.1}, 11),
    ("ReduceLogSumExp", [(2, 3, 4)], {"axes": [1], "keepdims": 0, "low": 80.0, "high": 100.0}, 11),
    ("ReduceSum", [(2, 3, 4), ints(0, 2)], {"keepdims": 0}),
    ("ReduceSum", [(2, 3, 4)], {"noop_with_empty_axes": 1}),
    *[(f"Reduce{k}", [(2, 3, 4), ints(1, -1)], {}, 18) for k in ("Mean", "Max", "Min", "Prod")],
    ("ReduceMean", [(2, 3, 4)], {"noop_with_empty_axes": 0}, 18),
    *[(op, [(2, 3, 4)], {}, 11) for op in ("Softmax", "LogSoftmax")],
    *[(op, [(2, 3, 4, 2)], {"axis": 2}, 11) for op in ("Softmax", "LogSoftmax")],
    *[(op, [(2, 3, 4, 2)], {"axis": 3}, 7) for op in ("Softmax", "LogSoftmax")],
    *[(op, [(2, 3, 4)], {}) for op in ("Softmax", "LogSoftmax")],
    *[(op, [(2, 3, 4)], {"axis": 1}) for op in ("Softmax", "LogSoftmax")],
]
STATISTICS = [array(6, seed=s, low=0.5, high=1.5) for s in range(4)]
NORMALIZATION = [
    ("BatchNormalization", [(2, 6, 3, 4), *STATISTICS], {"epsilon": 1e-3}, 9),
    ("BatchNormalization", [(2, 6, 3), *STATISTICS], {"momentum": 0.9}, 7),
    ("BatchNormalization", [(2, 6), *STATISTICS], {}, 15),
    ("InstanceNormalization", [(2, 6, 4, 5), array(6), array(6, seed=1)], {}),
    ("InstanceNormalization", [(2, 6, 9), array(6), array(6, seed=1)], {"epsilon": 0.01}),
    ("LayerNormalization", [(2, 3, 8), array(8), array(8, seed=1)], {}, 17),
    ("LayerNormalization", [(2, 3, 4, 5), array(4, 5)], {"axis": 2, "epsilon": 0.01}, 17),
    ("GroupNormalization", [(2, 6, 4, 5), array(3), array(3, seed=1)], {"num_groups": 3}, 18),
    ("GroupNormalization", [(2, 6, 4, 5), array(6), array(6, seed=1)], {"num_groups": 2}, 21),
    ("RMSNormalization", [(2, 3, 8), array(8)], {}, 23),
    ("LRN", [(2, 7, 3, 4)], {"size": 5, "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
    ("LRN", [(2, 7, 3, 4)], {"size": 3}),
    ("LpNormalization", [(2, 7, 3)], {"axis": 1, "p": 1}),
    ("LpNormalization", [(2, 7, 3)], {}),
    ("MeanVarianceNormalization", [(2, 3, 4, 5)], {}),
]
UP = np.array([1, 1, 2, 2], np.float32)
ODD = np.array([1, 1, 1.7, 0.6], np.float32)
NO = np.array([], np.float32)
RESAMPLING = [
    ("Upsample", [(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}, 7),
    ("Upsample", [(1, 2, 3, 4), UP], {"mode": "linear"}, 9),
    ("Resize", [(1, 2, 3, 4), UP], {"mode": "nearest"}, 10),
    ("Resize", [(1, 2, 5, 4), ODD], {"mode": "linear"}, 10),
    *[
        (
            "Resize",
            [(1, 2, 5, 7), NO, scales],
            {"mode": mode, "coordinate_transformation_mode": coordinates},
        )
        for scales in (UP, ODD)
        for mode in ("nearest", "linear", "cubic")
        for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    ],
    *[
        (
            "Resize",
            [(1, 2, 5, 7), NO, np.array([1, 1, 2.5, 0.5], np.float32)],
            {"nearest_mode": nearest, "coordinate_transformation_mode": coordinates},
        )
        for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        for coordinates in ("half_pixel", "asymmetric", "align_corners")
    ],
    ("Resize", [(1, 2, 5, 7), NO, NO, ints(1, 2, 8, 3)], {"mode": "linear"}),
    ("Resize", [(1, 2, 5, 7), None, None, ints(1, 2, 10, 14)], {"mode": "cubic"}),
    ("Resize", [(1, 2, 5, 7), NO, ODD], {"mode": "cubic", "cubic_coeff_a": -0.5}),
    ("Resize", [(1, 2, 7), NO, np.array([1, 1, 2], np.float32)], {"mode": "linear"}),
    ("Resize", [(1, 2, 5, 7), None, None, ints(8, 3)], {"axes": [2, 3]}, 18),
    (
        "Resize",
        [(1, 2, 5, 7), None, None, ints(9, 9)],
        {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger", "mode": "linear"},
        18,
    ),
]
CASES = [
    *CONVOLUTIONS,
    *PRODUCTS,
    *POOLS,
    *ACTIVATIONS,
    *ARITHMETIC,
    *ARRANGEMENT,
    *INDEXING,
    *REDUCTIONS,
    *NORMALIZATION,
    *RESAMPLING,
]
# onnxruntime computes these in another order or with approximations of its own.
LOOSE = {"LRN": 1e-5, "Erf": 5e-6, "Gelu": 5e-6, "ReduceProd": 1e-5, "Mish": 5e-6}


def label(case):
    op, operands, attributes, *opset = case
    sizes = ["x".join(map(str, getattr(o, "shape", o))) if o is not None else "-" for o in operands]
    extra = [f"{k}={v}" for k, v in attributes.items()]
    return " ".join([f"{op}{''.join(map(str, opset))}", *sizes, *extra]).replace("[", "(")


@pytest.mark.parametrize("case", CASES, ids=label)
def test_operator(case):
    op, operands, attributes, *opset = case
    attributes = {"low": -4.0, "high": 4.0} | attributes if case in ACTIVATIONS else attributes
    check_node(op, operands, *opset, relative=LOOSE.get(op, 2e-6), **attributes)


def test_every_operator_is_tested():
    """Those without data inputs of their own are tested in test_onnx_shapes.py."""
    from onebyone.onnx.operators import OPERATORS

    tested = {case[0] for case in CASES}
    elsewhere = {name for name, entry in OPERATORS.items() if entry.known_only}
    assert set(OPERATORS) == tested | elsewhere
