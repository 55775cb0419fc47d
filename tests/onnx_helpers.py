"""What the ONNX tests share: models of one node or a few, run here and by onnxruntime."""

import numpy as np
import onebyone as ob
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8
"""Older than the packages by years: what matters here is the opset."""


def tensor_type(dtype):
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def model(nodes, inputs, outputs, constants=(), opset=13, dtype=np.float32):
    """A model's bytes. ``inputs``: name -> shape; ``constants``: name -> array."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, tensor_type(dtype), s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, tensor_type(dtype), None) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    proto = helper.make_model(graph, opset_imports=opsets)
    proto.ir_version = IR_VERSION if opset < 18 else 10
    return proto.SerializeToString()


def node_model(op, operands, opset=13, outputs=1, dtype=np.float32, free=False, **attributes):
    """A model of one node, and the shapes of its inputs.

    ``operands``: a shape is an input, an array a constant, None an input that is left out. ``free``
    leaves the inputs' sizes open.
    """
    names, inputs, constants = [], {}, {}
    for i, operand in enumerate(operands):
        names.append("" if operand is None else f"x{i}")
        if isinstance(operand, tuple):
            inputs[names[-1]] = operand
        elif operand is not None:
            constants[names[-1]] = operand
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, name="node", **attributes)
    shapes = list(inputs.values())
    if free:
        inputs = {
            name: [f"{name}_{axis}" for axis in range(len(shape))] for name, shape in inputs.items()
        }
    return model([node], inputs, results, constants, opset, dtype), shapes


def random_inputs(shapes, dtype=np.float32, low=-1.0, high=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(low, high, shape).astype(dtype) for shape in shapes]


def run_onnxruntime(data, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def run_here(data, inputs, layout="NCHW"):
    graph = ob.onnx.load(data)
    results = ob.compile(graph, [x.shape for x in inputs], layout=layout)(*inputs)
    return list(results) if isinstance(results, tuple) else [results]


def check(data, inputs, relative=2e-6, want=None):
    """Both give the same, up to ``relative`` of the largest number (of 1, if it is smaller)."""
    got = run_here(data, inputs)
    want = run_onnxruntime(data, inputs) if want is None else want
    assert len(got) == len(want)
    for y, z in zip(got, want, strict=True):
        assert y.shape == z.shape
        assert y.dtype == z.dtype
        finite = np.isfinite(z)
        assert np.array_equal(finite, np.isfinite(y))
        assert np.array_equal(y[~finite], z[~finite], equal_nan=True)
        largest = max(np.abs(z[finite]).max(initial=0), 1)
        worst = np.abs(y[finite] - z[finite]).max(initial=0)
        assert worst <= relative * largest, f"off by {worst:.3g}, largest {largest:.3g}"


def check_node(op, operands, opset=13, relative=2e-6, low=-1.0, high=1.0, **attributes):
    """One node against onnxruntime, in float32."""
    data, shapes = node_model(op, operands, opset, **attributes)
    check(data, random_inputs(shapes, low=low, high=high), relative)


__all__ = [
    "TensorProto",
    "check",
    "check_node",
    "helper",
    "model",
    "node_model",
    "numpy_helper",
    "onnx",
    "random_inputs",
    "run_here",
    "run_onnxruntime",
]
