"""onnxruntime: a model of one Conv node or a network's, bound to memory that is reused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..layers import Layer
from ..problem import Arrays
from . import Prepared

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    def __init__(self, threads: int) -> None:
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        prepared = self._prepare(_model(layer, arrays), arrays.x)
        return prepared._replace(kept=(*prepared.kept, arrays))

    def prepare_network(self, network: Network) -> Prepared:
        return self._prepare(str(*network.files("onnx")), network.input())

    def _prepare(self, model: str | bytes, image: np.ndarray) -> Prepared:
        session = onnxruntime.InferenceSession(
            model, self.options, providers=["CPUExecutionProvider"]
        )
        (x_name, _), (y_name, shape) = [
            (v.name, v.shape) for v in (*session.get_inputs(), *session.get_outputs())
        ]
        x = onnxruntime.OrtValue.ortvalue_from_numpy(image)
        binding = session.io_binding()
        binding.bind_ortvalue_input(x_name, x)
        if not all(isinstance(size, int) for size in shape):
            # Known only when it has run.
            binding.bind_output(y_name)
            session.run_with_iobinding(binding)
            shape = binding.get_outputs()[0].shape()
        y = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, "float32")
        binding.bind_ortvalue_output(y_name, y)
        return Prepared(lambda: session.run_with_iobinding(binding), y.numpy, kept=(x, image))


def _model(layer: Layer, arrays: Arrays) -> bytes:
    (top, bottom), (left, right) = layer.padding
    node = helper.make_node(
        "Conv",
        ["x", "weight", "bias"],
        ["y"],
        kernel_shape=layer.kernel,
        strides=layer.stride,
        pads=[top, left, bottom, right],
        dilations=layer.dilation,
        group=layer.groups,
    )
    shapes = {"x": arrays.x.shape, "y": (layer.batch, layer.oc, layer.oh, layer.ow)}
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()}
    constants = [
        numpy_helper.from_array(arrays.weight, "weight"),
        numpy_helper.from_array(arrays.bias, "bias"),
    ]
    graph = helper.make_graph([node], "layer", [values["x"]], [values["y"]], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()
