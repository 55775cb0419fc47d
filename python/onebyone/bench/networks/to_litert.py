"""A network as LiteRT's flatbuffer, channels last, activations in the operators that take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..engines.litert_format import Edges, FlatModel
from .fuse import ACTIVATION, with_activations, with_gelu
from .model import Model, NetworkError, Node

__all__ = ["write_litert"]

_BINARY = {"Add": ("ADD", "AddOptions"), "Sub": ("SUB", "SubOptions"), "Mul": ("MUL", "MulOptions")}
_BINARY["Div"] = ("DIV", "DivOptions")
_PLAIN = {"Sigmoid": ("LOGISTIC", ""), "Tanh": ("TANH", ""), "HardSwish": ("HARD_SWISH", "")}
_PLAIN |= {"Relu": ("RELU", ""), "Gelu": ("GELU", "GeluOptions")}
_TAKING = ("Conv", "Gemm", "BatchNormalization", *_BINARY)
_NONE, _RELU, _RELU6 = (
    getattr(schema.ActivationFunctionType, n) for n in ("NONE", "RELU", "RELU6")
)


def write_litert(model: Model, path: Path) -> None:
    """Raises NetworkError naming an operation that is not served."""
    model = with_activations(with_gelu(model), _TAKING, ("Relu", "Clip"))
    path.write_bytes(_Writer(model).bytes())


class _Writer:
    def __init__(self, model: Model) -> None:
        self._model, self._flat = model, FlatModel()
        self._positive: set[int] = set()
        """Tensors without values below zero."""
        self._flattened: dict[int, tuple[int, int, int]] = {}
        """Vectors made of images, and the images' height, width and channels."""
        self._tensors = {model.input: self._flat.tensor(self._shape(model.input))}
        for node in model.nodes:
            self._tensors[node.outputs[0]] = self._node(node)

    def bytes(self) -> bytes:
        model = self._model
        return self._flat.bytes(self._tensors[model.input], self._tensors[model.output])

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._model.shape(name)
        return tuple(shape[axis] for axis in (0, 2, 3, 1)) if len(shape) == 4 else shape

    def _constant(self, name: str) -> np.ndarray:
        if name not in self._model.constants:
            raise NetworkError("weights that are computed are not written for LiteRT")
        return self._model.constants[name]

    def _operand(self, name: str) -> int:
        """A value, or a constant that is broadcast to one."""
        if name in self._tensors:
            return self._tensors[name]
        a = self._constant(name)
        if a.ndim in (3, 4):
            a = np.moveaxis(a, -3, -1)
        elif a.size > 1:
            raise NetworkError("constants are written for LiteRT where they are images or numbers")
        return self._flat.constant(np.ascontiguousarray(a))

    def _node(self, node: Node) -> int:
        activation = self._activation(node.attributes.get(ACTIVATION))
        y = self._operation(node, activation)
        if activation != _NONE or node.op in ("Relu", "Sigmoid"):
            self._positive.add(y)
        return y

    def _activation(self, node: Node | None) -> int:
        if node is None:
            return _NONE
        if node.op == "Relu":
            return _RELU
        limits = [self._constant(n).item() for n in node.inputs[1:] if n]
        if limits != [0, 6]:
            raise NetworkError("Clip is written for LiteRT from 0 to 6")
        return _RELU6

    def _operation(self, node: Node, activation: int) -> int:
        flat, shape = self._flat, self._shape(node.outputs[0])
        if node.op == "Conv":
            return self._conv(node, activation)
        if node.op == "ConvTranspose":
            return self._transposed(node, shape)
        if node.op == "Gemm":
            return self._linear(node, activation)
        if node.op in _BINARY:
            inputs = [self._operand(name) for name in node.inputs]
            name, options = _BINARY[node.op]
            return flat.operator(name, options, inputs, shape, fusedActivationFunction=activation)
        if node.op == "Concat":
            if node.attributes["axis"] != 1 or len(shape) != 4:
                raise NetworkError("Concat is written for LiteRT for channels")
            inputs = [self._tensors[name] for name in node.inputs]
            y = flat.operator("CONCATENATION", "ConcatenationOptions", inputs, shape, axis=3)
            if self._positive.issuperset(inputs):
                self._positive.add(y)
            return y
        x = self._tensors[node.inputs[0]]
        if node.op == "BatchNormalization":
            return self._norm(node, x, activation)
        if node.op in ("MaxPool", "AveragePool"):
            return self._pool(node, x)
        if node.op == "GlobalAveragePool":
            axes = flat.constant(np.array([1, 2], np.int32))
            return flat.operator("MEAN", "ReducerOptions", [x, axes], shape, keepDims=True)
        if node.op in ("Flatten", "Reshape"):
            return self._flatten(x, shape)
        if node.op == "Identity":
            return x
        if node.op == "Softmax" and len(shape) == 2:
            return flat.operator("SOFTMAX", "SoftmaxOptions", [x], shape, beta=1.0)
        if node.op == "Clip":
            self._activation(node)
            return flat.operator("RELU6", "", [x], shape)
        if node.op == "HardSigmoid":
            return self._hard_sigmoid(node, x)
        if node.op == "Resize":
            return self._resize(node, x, shape)
        if node.op in _PLAIN:
            return flat.operator(*_PLAIN[node.op], [x], shape)
        raise NetworkError(f"{node.op} is not among the operations written for LiteRT")

    def _conv(self, node: Node, activation: int) -> int:
        weight, *bias = [self._constant(name) for name in node.inputs[1:]]
        if not bias:
            bias = [np.zeros(weight.shape[0], np.float32)]
        return self._flat.convolution(
            self._tensors[node.inputs[0]],
            weight,
            *bias,
            node.get("strides", [1, 1]),
            _edges(node),
            node.get("dilations", [1, 1]),
            node.get("group", 1),
            activation,
        )

    def _transposed(self, node: Node, shape: tuple[int, ...]) -> int:
        weight, *bias = [self._constant(name) for name in node.inputs[1:]]
        stride, kernel = node.get("strides", [1, 1]), list(weight.shape[2:])
        plain = {*node.get("pads", [0]), *node.get("output_padding", [0])} == {0}
        if node.get("group", 1) > 1 or stride != kernel or not plain:
            raise NetworkError("ConvTranspose is written for LiteRT where windows do not overlap")
        size = self._flat.constant(np.array(shape, np.int32))
        arrays = [np.ascontiguousarray(np.moveaxis(weight, 0, -1)), *bias]
        filters, *biases = [self._flat.constant(a) for a in arrays]
        return self._flat.operator(
            "TRANSPOSE_CONV",
            "TransposeConvOptions",
            [size, filters, self._tensors[node.inputs[0]], *biases],
            shape,
            version=3,
            padding=schema.Padding.VALID,
            strideH=stride[0],
            strideW=stride[1],
        )

    def _hard_sigmoid(self, node: Node, x: int) -> int:
        """As relu6(6 * (alpha * x + beta)) / 6: LiteRT has no such operator."""
        flat, shape = self._flat, self._flat.shapes[x]
        slope, shift = 6 * node.get("alpha", 0.2), 6 * node.get("beta", 0.5)
        numbers = [flat.constant(np.array([v], np.float32)) for v in (slope, shift, 1 / 6)]
        y = flat.operator("MUL", "MulOptions", [x, numbers[0]], shape)
        y = flat.operator(
            "ADD", "AddOptions", [y, numbers[1]], shape, fusedActivationFunction=_RELU6
        )
        return flat.operator("MUL", "MulOptions", [y, numbers[2]], shape)

    def _resize(self, node: Node, x: int, shape: tuple[int, ...]) -> int:
        how = (node.get("mode", b"nearest"), node.get("coordinate_transformation_mode", b""))
        if how != (b"nearest", b"asymmetric") or node.get("nearest_mode", b"") != b"floor":
            raise NetworkError("Resize is written for nearest pixels, asymmetric, floor")
        size = self._flat.constant(np.array(shape[1:3], np.int32))
        return self._flat.operator(
            "RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions", [x, size], shape
        )

    def _linear(self, node: Node, activation: int) -> int:
        if not node.get("transB", 0):
            raise NetworkError("Gemm is written as a linear layer: transA=0, transB=1")
        x = self._tensors[node.inputs[0]]
        weight, *bias = [self._constant(name) for name in node.inputs[1:]]
        if x in self._flattened:
            # The columns count channels first.
            h, w, c = self._flattened[x]
            weight = np.moveaxis(weight.reshape(-1, c, h, w), 1, -1).reshape(weight.shape)
        inputs = [x, *(self._flat.constant(np.ascontiguousarray(a)) for a in (weight, *bias))]
        return self._flat.operator(
            "FULLY_CONNECTED",
            "FullyConnectedOptions",
            inputs,
            self._shape(node.outputs[0]),
            fusedActivationFunction=activation,
        )

    def _norm(self, node: Node, x: int, activation: int) -> int:
        weight, bias, mean, var = [self._constant(name) for name in node.inputs[1:]]
        factor = weight / np.sqrt(var + np.float32(node.get("epsilon", 1e-5)))
        flat, shape = self._flat, self._flat.shapes[x]
        y = flat.operator("MUL", "MulOptions", [x, flat.constant(factor)], shape)
        inputs = [y, flat.constant(bias - mean * factor)]
        return flat.operator("ADD", "AddOptions", inputs, shape, fusedActivationFunction=activation)

    def _pool(self, node: Node, x: int) -> int:
        kernel, stride = node.attributes["kernel_shape"], node.get("strides", [1, 1])
        if set(node.get("dilations", [1])) != {1}:
            raise NetworkError("pooling with dilation is not written for LiteRT")
        n, *size, c = self._shape(node.outputs[0])
        largest = node.op == "MaxPool"
        edges = self._reached(node, x, kernel, stride, size)
        padded, padding, _ = self._flat.window(x, kernel, stride, edges)
        if largest and padded != x and x not in self._positive:
            raise NetworkError(
                "padding of negative values before MaxPool is not written for LiteRT"
            )
        if not largest and sum(map(sum, edges)):
            # SAME leaves the edges out of the average.
            if not node.get("count_include_pad", 0):
                if padded != x:
                    raise NetworkError("AveragePool has padding that LiteRT cannot leave out")
            elif padded == x:
                padded, padding = self._flat.pad(x, edges), schema.Padding.VALID
        y = self._flat.operator(
            "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D",
            "Pool2DOptions",
            [padded],
            (n, *size, c),
            padding=padding,
            strideH=stride[0],
            strideW=stride[1],
            filterHeight=kernel[0],
            filterWidth=kernel[1],
        )
        if x in self._positive:
            self._positive.add(y)
        return y

    def _reached(
        self, node: Node, x: int, kernel: list[int], stride: list[int], size: list[int]
    ) -> Edges:
        """The edges without what no window reads, and with what ceil_mode adds."""
        begins = [begin for begin, _ in _edges(node)]
        spans = zip(self._flat.shapes[x][1:3], kernel, stride, size, begins, strict=True)
        ends = [max(0, (o - 1) * s + k - i - b) for i, k, s, o, b in spans]
        return tuple(zip(begins, ends, strict=True))

    def _flatten(self, x: int, shape: tuple[int, ...]) -> int:
        image = self._flat.shapes[x]
        if len(shape) != 2 or len(image) != 4 or shape[0] != image[0]:
            raise NetworkError("Reshape is written for LiteRT where it makes vectors of images")
        target = self._flat.constant(np.array(shape, np.int32))
        y = self._flat.operator("RESHAPE", "", [x, target], shape)
        if image[1:3] != (1, 1):
            self._flattened[y] = image[1:]
        return y


def _edges(node: Node) -> Edges:
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    return (top, bottom), (left, right)
