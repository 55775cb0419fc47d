"""Modules as ONNX files: what ``Module.lower`` emits, written down instead of compiled.

Peers fold and fuse by themselves, so batch norms and activations stay nodes of their own, as an
exporter writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ..layers import same_padding

if TYPE_CHECKING:
    from ..._core import Activation, Padding, Size
    from ...nn import Module

__all__ = ["Recorder", "export_onnx"]

_OPSET, _IR = 20, 9
"""The first with Gelu; onnxruntime 1.17 and OpenVINO 2024 read it."""

Shape = tuple[int, ...]
_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
_PLAIN = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "gelu": ("Gelu", {}),
}


def export_onnx(module: Module, input_shape: Sequence[int], name: str = "network") -> bytes:
    """The module for inputs of one shape (N, C, H, W) as an ONNX file, in float32.

    Raises TypeError if a layer cannot be compiled, or uses an operation that is not recorded.
    """
    recorder = Recorder()
    x = recorder.input("x", input_shape)
    recorder.output("y", module.lower(recorder, x, "", "NCHW"))
    return recorder.model(name).SerializeToString()


class Recorder:
    """Stands for ``_core.Graph`` where a module lowers itself; values are ids, images NCHW.

    Serves the operations that the layers of ``onebyone.nn`` emit.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._shapes: list[Shape] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        raise TypeError(f"the operation {name!r} cannot be exported to ONNX for a benchmark")

    def model(self, name: str) -> Any:
        """What was recorded, an onnx.ModelProto."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR)

    def input(self, name: str, shape: Sequence[int], layout: str = "NCHW") -> int:
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self._value(name, tuple(shape))

    def output(self, name: str, value: int, layout: str = "NCHW") -> None:
        shape = self._shapes[value]
        self._nodes.append(helper.make_node("Identity", [self._names[value]], [name], name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def shape(self, value: int) -> Shape:
        return self._shapes[value]

    def constant(self, array: np.ndarray) -> int:
        return self._value(self._constant(array), array.shape)

    def conv2d(
        self,
        x: int,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        activation: Activation = None,
        name: str = "",
    ) -> int:
        n, _, *size = self._shapes[x]
        kernel, strides, dilations = weight.shape[2:], _pair(stride), _pair(dilation)
        axes = list(zip(size, kernel, strides, dilations, strict=True))
        edges = _edges(padding, axes)
        out = [
            (i + sum(e) - d * (k - 1) - 1) // s + 1
            for (i, k, s, d), e in zip(axes, edges, strict=True)
        ]
        arrays = [weight] if bias is None else [weight, bias]
        y = self._node(
            "Conv",
            [x],
            (n, weight.shape[0], *out),
            name,
            arrays,
            kernel_shape=kernel,
            strides=strides,
            pads=_pads(edges),
            dilations=dilations,
            group=groups,
        )
        return self.activation(y, activation, name=name)

    def linear(
        self,
        x: int,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        activation: Activation = None,
        name: str = "",
    ) -> int:
        shape = (*self._shapes[x][:-1], weight.shape[0])
        if len(shape) == 2:
            arrays = [weight] if bias is None else [weight, bias]
            y = self._node("Gemm", [x], shape, name, arrays, transB=1)
        else:
            y = self._node("MatMul", [x], shape, name, [np.ascontiguousarray(weight.T)])
            if bias is not None:
                y = self._node("Add", [y], shape, name, [bias])
        return self.activation(y, activation, name=name)

    def batch_norm(
        self,
        x: int,
        weight: np.ndarray,
        bias: np.ndarray,
        mean: np.ndarray,
        var: np.ndarray,
        eps: float,
        name: str = "",
    ) -> int:
        arrays = [weight, bias, mean, var]
        return self._node(
            "BatchNormalization", [x], self._shapes[x], name, arrays, epsilon=float(eps)
        )

    def max_pool2d(
        self,
        x: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        dilation: Size = 1,
        ceil_mode: bool = False,
        name: str = "",
    ) -> int:
        return self._pool("MaxPool", x, kernel_size, stride, padding, dilation, ceil_mode, name)

    def avg_pool2d(
        self,
        x: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        name: str = "",
    ) -> int:
        if divisor_override is not None:
            raise TypeError(f"{name}: ONNX has no average with a divisor_override")
        include = int(count_include_pad)
        return self._pool(
            "AveragePool",
            x,
            kernel_size,
            stride,
            padding,
            1,
            ceil_mode,
            name,
            count_include_pad=include,
        )

    def adaptive_avg_pool2d(self, x: int, output_size: Size, name: str = "") -> int:
        n, c, *size = self._shapes[x]
        out = _pair(output_size)
        if out == (1, 1):
            return self._node("GlobalAveragePool", [x], (n, c, 1, 1), name)
        if any(i % o for i, o in zip(size, out, strict=True)):
            raise TypeError(f"{name}: ONNX cannot average {size} to {out}: sizes do not divide")
        kernel = tuple(i // o for i, o in zip(size, out, strict=True))
        return x if kernel == (1, 1) else self.avg_pool2d(x, kernel, kernel, 0, name=name)

    def activation(self, x: int, activation: Activation, name: str = "") -> int:
        if activation is None:
            return x
        kind, *numbers = (activation,) if isinstance(activation, str) else activation
        shape = self._shapes[x]
        if kind == "relu6":
            kind, numbers = "clip", [0.0, 6.0]
        if kind == "clip":
            limits = [np.array(v, np.float32) for v in numbers]
            return self._node("Clip", [x], shape, name, limits)
        if kind == "leaky_relu":
            return self._node("LeakyRelu", [x], shape, name, alpha=float((*numbers, 0.01)[0]))
        if kind == "silu":
            factor = self._node("Sigmoid", [x], shape, name)
            return self._node("Mul", [x, factor], shape, name)
        op, attributes = _PLAIN[kind]
        return self._node(op, [x], shape, name, **attributes)

    def binary(self, a: int, b: int, kind: str, name: str = "") -> int:
        shape = np.broadcast_shapes(self._shapes[a], self._shapes[b])
        return self._node(_BINARY[kind], [a, b], shape, name)

    def concat(self, values: Sequence[int], axis: int, name: str = "") -> int:
        shape = list(self._shapes[values[0]])
        shape[axis] = sum(self._shapes[v][axis] for v in values)
        return self._node("Concat", values, tuple(shape), name, axis=axis)

    def softmax(self, x: int, axis: int, log: bool = False, name: str = "") -> int:
        op = "LogSoftmax" if log else "Softmax"
        return self._node(op, [x], self._shapes[x], name, axis=axis)

    def reshape(self, x: int, shape: Sequence[int], name: str = "") -> int:
        target = np.array(shape, np.int64)
        return self._node("Reshape", [x], tuple(map(int, shape)), name, [target])

    def transpose(self, x: int, perm: Sequence[int], name: str = "") -> int:
        shape = tuple(self._shapes[x][axis] for axis in perm)
        return self._node("Transpose", [x], shape, name, perm=list(perm))

    def _pool(
        self,
        op: str,
        x: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        dilation: Size,
        ceil_mode: bool,
        name: str,
        **attributes: Any,
    ) -> int:
        n, c, *size = self._shapes[x]
        kernel, strides, dilations = _pair(kernel_size), _pair(stride), _pair(dilation)
        if op == "MaxPool":
            attributes["dilations"] = dilations
        axes = list(zip(size, kernel, strides, dilations, strict=True))
        edges = _edges(padding, axes)
        out = []
        for (i, k, s, d), (begin, end) in zip(axes, edges, strict=True):
            room = i + begin + end - d * (k - 1) - 1
            count = (-(-room // s) if ceil_mode else room // s) + 1
            # No window begins beyond the image and its first edge.
            out.append(count - (ceil_mode and (count - 1) * s >= i + begin))
        return self._node(
            op,
            [x],
            (n, c, *out),
            name,
            kernel_shape=kernel,
            strides=strides,
            pads=_pads(edges),
            ceil_mode=int(ceil_mode),
            **attributes,
        )

    def _node(
        self,
        op: str,
        values: Sequence[int],
        shape: Shape,
        name: str,
        arrays: Sequence[np.ndarray] = (),
        **attributes: Any,
    ) -> int:
        """A node that reads the values, then the arrays."""
        inputs = [self._names[v] for v in values] + [self._constant(a) for a in arrays]
        output = f"v{len(self._names)}"
        self._nodes.append(
            helper.make_node(op, inputs, [output], f"{len(self._nodes)} {name}", **attributes)
        )
        return self._value(output, shape)

    def _value(self, name: str, shape: Shape) -> int:
        self._names.append(name)
        self._shapes.append(tuple(map(int, shape)))
        return len(self._names) - 1

    def _constant(self, array: np.ndarray) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name


def _pair(size: Size) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else size
    return int(h), int(w)


def _edges(padding: Padding, axes: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """(begin, end) of height and width; ``axes`` has (size, kernel, stride, dilation) of each."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        return [same_padding(*axis) for axis in axes]
    if isinstance(padding, int):
        padding = (padding, padding)
    return [(p, p) if isinstance(p, int) else tuple(p) for p in padding]


def _pads(edges: Sequence[tuple[int, int]]) -> list[int]:
    """As ONNX has them: all begins, then all ends."""
    return [edge[side] for side in (0, 1) for edge in edges]
