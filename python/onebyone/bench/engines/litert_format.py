"""LiteRT's flatbuffers, written with the schema's classes that come with it; images are NHWC."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..layers import same_padding

__all__ = ["Edges", "FlatModel"]

Edges = tuple[tuple[int, int], tuple[int, int]]
"""(top, bottom), (left, right)."""

_ZERO = (0, 0)
_NONE: Edges = (_ZERO, _ZERO)


class FlatModel:
    """Collects tensors and operators. Tensors are indices, ``shapes`` has theirs."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._buffers = [schema.BufferT()]  # the first is empty, for tensors without constants
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[Any] = []
        self._code_of: dict[str, int] = {}

    def bytes(self, x: int, y: int) -> bytes:
        """The file of a model from tensor x to tensor y."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = [x], [y]
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = self._codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def tensor(self, shape: tuple[int, ...], constant: np.ndarray | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self._tensors)}"
        tensor.shape = np.array(shape, np.int32)
        tensor.type = schema.TensorType.FLOAT32
        tensor.buffer = 0
        if constant is not None:
            if constant.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(tensor)
        self.shapes.append(tuple(map(int, shape)))
        return len(self._tensors) - 1

    def constant(self, a: np.ndarray) -> int:
        return self.tensor(a.shape, a)

    def operator(
        self,
        name: str,
        options: str,
        inputs: list[int],
        shape: tuple[int, ...],
        version: int = 1,
        **fields: Any,
    ) -> int:
        """Add an operator; return its output. ``options`` and ``fields`` are the schema's."""
        if name not in self._code_of:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, name)
            # Numbers past 127 stand in the newer field alone.
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = version
            self._code_of[name] = len(self._codes)
            self._codes.append(code)
        output = self.tensor(shape)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_of[name]
        operator.inputs, operator.outputs = inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self._operators.append(operator)
        return output

    def pad(self, image: int, edges: Edges) -> int:
        amounts = np.array([_ZERO, *edges, _ZERO], np.int32)
        shape = tuple(np.array(self.shapes[image]) + amounts.sum(axis=1))
        return self.operator("PAD", "PadOptions", [image, self.constant(amounts)], shape)

    def convolution(
        self,
        image: int,
        weight: np.ndarray,
        bias: np.ndarray,
        stride: tuple[int, int],
        edges: Edges,
        dilation: tuple[int, int],
        groups: int,
        activation: int = schema.ActivationFunctionType.NONE,
    ) -> int:
        """``weight`` (K, C/groups, R, S).

        Padding that TensorFlow's SAME would not choose becomes a PAD before it, which XNNPACK folds
        into the convolution.
        """
        channels = self.shapes[image][3]
        image, padding, size = self.window(image, weight.shape[2:], stride, edges, dilation)
        shape = (self.shapes[image][0], *size, weight.shape[0])
        fields = {
            "padding": padding,
            "strideH": stride[0],
            "strideW": stride[1],
            "dilationHFactor": dilation[0],
            "dilationWFactor": dilation[1],
            "fusedActivationFunction": activation,
        }
        if groups == channels > 1:
            inputs = [image, self.constant(np.moveaxis(weight, 0, -1)), self.constant(bias)]
            return self.operator(
                "DEPTHWISE_CONV_2D",
                "DepthwiseConv2DOptions",
                inputs,
                shape,
                depthMultiplier=weight.shape[0] // channels,
                **fields,
            )
        inputs = [image, self.constant(np.moveaxis(weight, 1, -1)), self.constant(bias)]
        return self.operator("CONV_2D", "Conv2DOptions", inputs, shape, **fields)

    def window(
        self,
        image: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        edges: Edges,
        dilation: tuple[int, int] = (1, 1),
    ) -> tuple[int, int, tuple[int, int]]:
        """What an operator with these windows reads: the image, padded if need be, which padding
        the operator then has, and its output's height and width."""
        size = self.shapes[image][1:3]
        axes = list(zip(size, kernel, stride, dilation, strict=True))
        out = tuple(
            (i + sum(e) - d * (k - 1) - 1) // s + 1
            for (i, k, s, d), e in zip(axes, edges, strict=True)
        )
        if edges == tuple(same_padding(*axis) for axis in axes):
            return image, schema.Padding.SAME, out
        if edges != _NONE:
            image = self.pad(image, edges)
        return image, schema.Padding.VALID, out
