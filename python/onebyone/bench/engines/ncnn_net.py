"""ncnn: a net of one layer or a network's files, float32, its other options at their defaults."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import ncnn
import numpy as np

from ..layers import Layer
from ..problem import Arrays
from . import Prepared
from .ncnn_format import RAW_FLOAT32, convolution

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["Ncnn"]

_LESS_THAN_FLOAT32 = (
    "use_bf16_packed",
    "use_bf16_storage",
    "use_fp16_arithmetic",
    "use_fp16_packed",
    "use_fp16_storage",
)


class Ncnn:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        if layer.batch != 1:
            raise ValueError("takes one image at a time")
        net = self._net()
        _load(net, layer, arrays)
        return _bind(net, arrays.x)

    def prepare_network(self, network: Network) -> Prepared:
        param, weights = network.files("ncnn")
        net = self._net()
        if net.load_param(str(param)) or net.load_model(str(weights)):
            raise RuntimeError("the network did not load")
        return _bind(net, network.input())

    def _net(self) -> ncnn.Net:
        net = ncnn.Net()
        net.opt.num_threads = self.threads
        for option in _LESS_THAN_FLOAT32:
            setattr(net.opt, option, False)
        return net


def _bind(net: ncnn.Net, image: np.ndarray) -> Prepared:
    x = ncnn.Mat(image[0]).clone()  # with its channels 16 bytes aligned
    result = None

    def run() -> None:
        nonlocal result
        extractor = net.create_extractor()
        extractor.input("x", x)
        failed, result = extractor.extract("y")
        if failed:
            raise RuntimeError(f"extract returned {failed}")

    return Prepared(run, lambda: np.array(result)[None])


def _load(net: ncnn.Net, layer: Layer, arrays: Arrays) -> None:
    kind, numbers = convolution(
        layer.oc,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        arrays.weight.size,
        bias=True,
    )
    keys = " ".join(f"{key}={value}" for key, value in numbers.items())
    net.load_param_mem(f"7767517\n2 2\nInput x 0 1 x\n{kind} conv 1 1 x y {keys}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.bin")
        path.write_bytes(RAW_FLOAT32 + arrays.weight.tobytes() + arrays.bias.tobytes())
        if net.load_model(str(path)):
            raise RuntimeError("the weights did not load")
