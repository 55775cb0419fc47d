"""LiteRT with XNNPACK, channels last: a model of one convolution, or a network's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..layers import Layer
from ..problem import Arrays
from . import Prepared
from .litert_format import FlatModel

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["LiteRT"]


class LiteRT:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        return self._prepare(arrays.x, model_content=_model(layer, arrays))

    def prepare_network(self, network: Network) -> Prepared:
        return self._prepare(network.input(), model_path=str(*network.files("litert")))

    def _prepare(self, image: np.ndarray, **model: Any) -> Prepared:
        interpreter = Interpreter(num_threads=self.threads, **model)
        interpreter.allocate_tensors()
        operators = [o["op_name"] for o in interpreter._get_ops_details()]
        if not any("XNNPack" in name or name == "DELEGATE" for name in operators):
            raise RuntimeError(f"XNNPACK does not take this ({', '.join(operators)})")
        x = interpreter.get_input_details()[0]["index"]
        y = interpreter.get_output_details()[0]["index"]
        interpreter.set_tensor(x, np.ascontiguousarray(np.moveaxis(image, 1, -1)))

        def output() -> np.ndarray:
            a = interpreter.get_tensor(y)
            return np.moveaxis(a, -1, 1) if a.ndim == 4 else a

        return Prepared(interpreter.invoke, output)


def _model(layer: Layer, arrays: Arrays) -> bytes:
    model = FlatModel()
    x = model.tensor((layer.batch, layer.ih, layer.iw, layer.ic))
    y = model.convolution(
        x,
        arrays.weight,
        arrays.bias,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    )
    return model.bytes(x, y)
