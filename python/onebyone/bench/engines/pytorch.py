"""torch: ``conv2d``, or a network's functions, in inference mode, contiguous or channels_last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..layers import Layer
from ..problem import Arrays
from . import Prepared

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["Torch"]


class Torch:
    def __init__(self, threads: int, layout: str) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.autograd.grad_mode.inference_mode(True).__enter__()  # for this process
        last = layout == "NHWC"
        self.format = torch.channels_last if last else torch.contiguous_format

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        x, weight = (
            torch.from_numpy(a).clone().contiguous(memory_format=self.format)
            for a in (arrays.x, arrays.weight)
        )
        bias = torch.from_numpy(arrays.bias).clone()
        (top, bottom), (left, right) = layer.padding
        even = top == bottom and left == right
        arguments = (
            weight,
            bias,
            layer.stride,
            (top, left) if even else 0,
            layer.dilation,
            layer.groups,
        )
        result = None

        def run() -> None:
            nonlocal result
            image = x if even else F.pad(x, (left, right, top, bottom))
            result = torch.conv2d(image, *arguments)

        return Prepared(run, lambda: result.contiguous().numpy())

    def prepare_network(self, network: Network) -> Prepared:
        import onnx

        from ..networks.interpret import Interpreter
        from ..networks.model import Model

        call = Interpreter(Model.read(onnx.load(*network.files("onnx"))), self.format)
        x = torch.from_numpy(network.input()).contiguous(memory_format=self.format)
        result = None

        def run() -> None:
            nonlocal result
            result = call(x)

        return Prepared(run, lambda: result.contiguous().numpy())
