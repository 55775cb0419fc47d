"""A network as ncnn's two files, activations in the layers that take them, as its converter has it.

ncnn's blobs have one reader each and no batch: (C, H, W) images, vectors after global pooling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..engines.ncnn_format import RAW_FLOAT32, convolution
from .fuse import ACTIVATION, with_activations, with_gelu, with_silu
from .model import Model, NetworkError, Node

__all__ = ["write_ncnn"]

_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Max": 4, "Min": 5}
_MAX_POOLING, _AVERAGE_POOLING = 0, 1
_FLOOR = 1
"""Pooling's pad_mode "valid": windows that begin and end in the padded image; 0 is ONNX's ceil."""


def write_ncnn(model: Model, param: Path, weights: Path) -> None:
    """Raises NetworkError naming an operation that is not served."""
    if model.shape(model.input)[0] != 1:
        raise NetworkError("ncnn takes one image at a time")
    model = with_gelu(with_silu(model))
    model = with_activations(
        model, ("Conv", "ConvTranspose", "Gemm"), ("Relu", "Clip", "LeakyRelu")
    )
    with weights.open("wb") as file:
        writer = _Writer(model, file.write)
        param.write_text(writer.text(), "utf-8")


class _Writer:
    def __init__(self, model: Model, write: Callable[[bytes], object]) -> None:
        self._model, self._write = model, write
        self._lines: list[str] = []
        self._blobs = 0
        self._copies: dict[str, list[str]] = {}
        """The names under which a value is still to be read."""
        self._uses = model.uses()
        self._line("Input", [], ["x"], {})
        self._copies["x"] = ["x"]
        self._layer("Noop", ["x"], model.input, {})
        for node in model.nodes:
            self._node(node)
        self._layer("Noop", [model.output], "y", {})

    def text(self) -> str:
        return "\n".join(["7767517", f"{len(self._lines)} {self._blobs}", *self._lines, ""])

    def _layer(self, kind: str, inputs: list[str], output: str, numbers: dict[int, object]) -> None:
        names = [self._copies[name].pop() for name in inputs]
        self._line(kind, names, [output], numbers)
        count = self._uses[output]
        self._copies[output] = [output]
        if count > 1:
            self._copies[output] = [f"{output}_{i}" for i in range(count)]
            self._line("Split", [output], self._copies[output], {})

    def _line(
        self, kind: str, inputs: list[str], outputs: list[str], numbers: dict[int, object]
    ) -> None:
        keys = " ".join(f"{key}={value}" for key, value in numbers.items())
        counts = f"{len(inputs)} {len(outputs)}"
        names = " ".join([*inputs, *outputs])
        self._lines.append(f"{kind} l{len(self._lines)} {counts} {names} {keys}")
        self._blobs += len(outputs)

    def _constant(self, name: str) -> np.ndarray:
        if name not in self._model.constants:
            raise NetworkError("weights that are computed are not written for ncnn")
        return self._model.constants[name]

    def _node(self, node: Node) -> None:
        x, y, get = node.inputs[0], node.outputs[0], node.get
        if node.op == "Conv" and self._is_linear(node):
            weight = self._constant(node.inputs[1])
            self._linear(node, weight.reshape(weight.shape[:2]))
        elif node.op in ("Conv", "ConvTranspose"):
            self._conv(node)
        elif node.op == "Gemm":
            if not get("transB", 0):
                raise NetworkError("Gemm is written as a linear layer: transA=0, transB=1")
            self._linear(node, self._constant(node.inputs[1]))
        elif node.op == "BatchNormalization":
            scale, bias, mean, var = [self._constant(name) for name in node.inputs[1:]]
            self._layer("BatchNorm", [x], y, {0: scale.size, 1: get("epsilon", 1e-5)})
            for array in (scale, mean, var, bias):
                self._write(array.astype(np.float32).tobytes())
        elif node.op in ("MaxPool", "AveragePool"):
            self._pool(node)
        elif node.op == "GlobalAveragePool":
            self._layer("Pooling", [x], y, {0: _AVERAGE_POOLING, 4: 1})
        elif node.op == "Resize":
            self._resize(node)
        elif node.op in _BINARY:
            self._binary(node)
        elif node.op == "Concat":
            if node.attributes["axis"] != 1:
                raise NetworkError("Concat is written for channels")
            self._layer("Concat", node.inputs, y, {0: 0})
        elif node.op in ("Flatten", "Reshape"):
            if len(self._model.shape(y)) != 2:
                raise NetworkError(f"{node.op} is written for ncnn where it makes a vector")
            self._layer("Flatten", [x], y, {})
        elif node.op == "Softmax":
            self._layer("Softmax", [x], y, {0: 0, 1: 1})
        elif node.op in ("Relu", "LeakyRelu"):
            slope = get("alpha", 0.01) if node.op == "LeakyRelu" else 0.0
            self._layer("ReLU", [x], y, {0: slope})
        elif node.op == "Clip":
            low, high = self._limits(node)
            self._layer("Clip", [x], y, {0: low, 1: high})
        elif node.op in ("HardSwish", "HardSigmoid"):
            alpha, beta = (1 / 6 if node.op == "HardSwish" else get("alpha", 0.2)), get("beta", 0.5)
            self._layer(node.op, [x], y, {0: alpha, 1: beta})
        elif node.op in _SAME:
            self._layer(_SAME[node.op], [x], y, {})
        else:
            raise NetworkError(f"{node.op} is not among the operations written for ncnn")

    def _is_linear(self, node: Node) -> bool:
        """Whether a convolution is of one pixel: ncnn has vectors there after global pooling."""
        _, _, *size = self._model.shape(node.inputs[0])
        one = size == [1, 1] == list(self._model.shape(node.inputs[1])[2:])
        return one and node.get("group", 1) == 1 and not any(node.get("pads", []))

    def _linear(self, node: Node, weight: np.ndarray) -> None:
        bias = [self._constant(name) for name in node.inputs[2:]]
        numbers = {0: weight.shape[0], 1: len(bias), 2: weight.size, **self._activation(node)}
        self._layer("InnerProduct", node.inputs[:1], node.outputs[0], numbers)
        self._weights(weight, *bias)

    def _conv(self, node: Node) -> None:
        weight, *bias = [self._constant(name) for name in node.inputs[1:]]
        transposed, groups = node.op == "ConvTranspose", node.get("group", 1)
        if transposed:
            if groups > 1 or "output_shape" in node.attributes:
                raise NetworkError("ConvTranspose with groups or output_shape is not written")
            weight = np.moveaxis(weight, 1, 0)
        top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
        kind, numbers = convolution(
            weight.shape[0],
            weight.shape[2:],
            node.get("strides", [1, 1]),
            ((top, bottom), (left, right)),
            node.get("dilations", [1, 1]),
            groups,
            weight.size,
            bool(bias),
        )
        if transposed:
            below, right = node.get("output_padding", [0, 0])
            kind, numbers = "Deconvolution", {**numbers, 18: right, 19: below}
        numbers.update(self._activation(node))
        self._layer(kind, node.inputs[:1], node.outputs[0], numbers)
        self._weights(weight, *bias)

    def _resize(self, node: Node) -> None:
        how = (node.get("mode", b"nearest"), node.get("coordinate_transformation_mode", b""))
        before, after = (self._model.shape(v)[2:] for v in (node.inputs[0], node.outputs[0]))
        scales = [a / b for a, b in zip(after, before, strict=True)]
        if how != (b"nearest", b"asymmetric") or not all(map(float.is_integer, scales)):
            raise NetworkError("Resize is written for ncnn where it repeats pixels")
        self._layer("Interp", node.inputs[:1], node.outputs[0], {0: 1, 1: scales[0], 2: scales[1]})

    def _weights(self, weight: np.ndarray, *bias: np.ndarray) -> None:
        self._write(RAW_FLOAT32)
        for array in (weight, *bias):
            self._write(np.ascontiguousarray(array, np.float32).tobytes())

    def _pool(self, node: Node) -> None:
        (kh, kw), (sh, sw) = node.attributes["kernel_shape"], node.get("strides", [1, 1])
        top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
        numbers = {
            0: _MAX_POOLING if node.op == "MaxPool" else _AVERAGE_POOLING,
            1: kw,
            11: kh,
            2: sw,
            12: sh,
            3: left,
            13: top,
            14: right,
            15: bottom,
            5: 0 if node.get("ceil_mode", 0) else _FLOOR,
            6: node.get("count_include_pad", 0),
        }
        self._layer("Pooling", node.inputs, node.outputs[0], numbers)

    def _binary(self, node: Node) -> None:
        a, b = node.inputs
        if a in self._model.constants and node.op in ("Add", "Mul"):
            a, b = b, a
        kind = _BINARY[node.op]
        scalar = self._model.constants.get(b)
        if scalar is not None and scalar.size == 1:
            self._layer("BinaryOp", [a], node.outputs[0], {0: kind, 1: 1, 2: scalar.item()})
        elif a in self._model.constants:
            raise NetworkError(f"{node.op} of a constant by a value is not written for ncnn")
        else:
            if scalar is not None:
                self._memory(b, scalar)
            self._layer("BinaryOp", [a, b], node.outputs[0], {0: kind})

    def _memory(self, name: str, image: np.ndarray) -> None:
        """Make an array a value for one reader."""
        if image.ndim not in (3, 4) or image.size != math.prod(image.shape[-3:]):
            raise NetworkError("constants are written for ncnn where they are images or numbers")
        c, h, w = image.shape[-3:]
        blob = f"{name}_{len(self._lines)}"
        self._line("MemoryData", [], [blob], {0: w, 1: h, 2: c})
        self._copies.setdefault(name, []).append(blob)
        self._write(np.ascontiguousarray(image, np.float32).tobytes())

    def _limits(self, node: Node) -> tuple[float, float]:
        low, high = ([*node.inputs[1:], "", ""])[:2]
        return (
            self._constant(low).item() if low else -np.finfo(np.float32).max.item(),
            self._constant(high).item() if high else np.finfo(np.float32).max.item(),
        )

    def _activation(self, node: Node) -> dict[int, object]:
        activation = node.attributes.get(ACTIVATION)
        if activation is None:
            return {}
        if activation.op == "Relu":
            return {9: 1}
        if activation.op == "LeakyRelu":
            return {9: 2, -23310: f"1,{activation.get('alpha', 0.01)}"}
        low, high = self._limits(activation)
        return {9: 3, -23310: f"2,{low},{high}"}


_SAME = {
    "Gelu": "GELU",
    "Identity": "Noop",
    "Sigmoid": "Sigmoid",
    "Silu": "Swish",
    "Tanh": "TanH",
}
"""ONNX's names and ncnn's."""
