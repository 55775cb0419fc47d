"""ncnn: a net of one layer, float32 throughout, its other optimisations at their defaults."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ncnn
import numpy as np

from ..layers import Layer
from ..problem import Arrays
from . import Prepared

__all__ = ["Ncnn"]

_LESS_THAN_FLOAT32 = (
    "use_bf16_packed",
    "use_bf16_storage",
    "use_fp16_arithmetic",
    "use_fp16_packed",
    "use_fp16_storage",
)
_RAW_FLOAT32 = b"\0\0\0\0"
"""Stands before weights that are stored as they are."""


class Ncnn:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        if layer.batch != 1:
            raise ValueError("takes one image at a time")
        net = ncnn.Net()
        net.opt.num_threads = self.threads
        for option in _LESS_THAN_FLOAT32:
            setattr(net.opt, option, False)
        _load(net, layer, arrays)
        x = ncnn.Mat(arrays.x[0]).clone()  # with its channels 16 bytes aligned
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
    (top, bottom), (left, right) = layer.padding
    numbers = {
        0: layer.oc,
        1: layer.kernel[1],
        11: layer.kernel[0],
        2: layer.dilation[1],
        12: layer.dilation[0],
        3: layer.stride[1],
        13: layer.stride[0],
        4: left,
        15: right,
        14: top,
        16: bottom,
        5: 1,  # there is a bias
        6: arrays.weight.size,
    }
    kind = "Convolution"
    if layer.groups > 1:
        kind, numbers[7] = "ConvolutionDepthWise", layer.groups
    keys = " ".join(f"{key}={value}" for key, value in numbers.items())
    net.load_param_mem(f"7767517\n2 2\nInput x 0 1 x\n{kind} conv 1 1 x y {keys}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.bin")
        path.write_bytes(_RAW_FLOAT32 + arrays.weight.tobytes() + arrays.bias.tobytes())
        if net.load_model(str(path)):
            raise RuntimeError("the weights did not load")
