"""OpenVINO: a model of one convolution and its bias or a network's, float32, bound once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino
from openvino import opset13 as ops

from ..layers import Layer
from ..problem import Arrays, aligned
from . import Prepared

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["OpenVino"]


class OpenVino:
    def __init__(self, threads: int) -> None:
        self.core = openvino.Core()
        self.config = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        prepared = self._prepare(_model(layer, arrays), arrays.x)
        return prepared._replace(kept=(*prepared.kept, arrays))

    def prepare_network(self, network: Network) -> Prepared:
        return self._prepare(str(*network.files("onnx")), network.input())

    def _prepare(self, model: str | openvino.Model, image: np.ndarray) -> Prepared:
        compiled = self.core.compile_model(model, "CPU", self.config)
        request = compiled.create_infer_request()
        x = aligned(image)
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        if compiled.output().partial_shape.is_dynamic:
            request.infer()
        y = aligned(np.zeros(tuple(request.get_output_tensor().shape), np.float32))
        request.set_output_tensor(openvino.Tensor(y, shared_memory=True))
        return Prepared(request.infer, lambda: y, kept=(x,))


def _model(layer: Layer, arrays: Arrays) -> openvino.Model:
    x = ops.parameter(arrays.x.shape, np.float32)
    begin, end = zip(*layer.padding, strict=True)
    geometry = (layer.stride, begin, end, layer.dilation)
    if layer.groups == 1:
        y = ops.convolution(x, ops.constant(arrays.weight), *geometry)
    else:
        # (groups, outputs of a group, inputs of a group, KH, KW)
        weight = arrays.weight.reshape(layer.groups, -1, *arrays.weight.shape[1:])
        y = ops.group_convolution(x, ops.constant(weight), *geometry)
    bias = ops.constant(arrays.bias.reshape(1, -1, 1, 1))
    return openvino.Model([ops.add(y, bias)], [x], "layer")
