"""A network in torch: the functions that its author would have called, node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .fuse import with_gelu, with_silu
from .model import Model, NetworkError, Node

__all__ = ["Interpreter"]

_ALIASES = ("Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze", "Transpose")
"""Their results may share the input's memory."""

_IN_PLACE = ("Add", "Clip", "HardSwish", "LeakyRelu", "Relu", "Silu")
"""Written over their input where nobody reads it afterwards, as torchvision's networks have it."""


class Interpreter:
    """Runs a model eagerly; weights of convolutions lie in ``memory_format``.

    Raises NetworkError naming an operation that is not served.
    """

    def __init__(self, model: Model, memory_format: torch.memory_format) -> None:
        self._format = memory_format
        self._input, self._output = model.input, model.output
        self._constants: dict[str, torch.Tensor] = {}
        model = with_gelu(with_silu(model))
        uses = model.uses()
        owners = {o for n in model.nodes if n.op not in _ALIASES for o in n.outputs}
        aliased = {n.inputs[0] for n in model.nodes if n.op in _ALIASES}
        self._steps: list[tuple[Callable[..., Any], list[str], str, list[str]]] = []
        for node in model.nodes:
            make = _MAKERS.get(node.op)
            if make is None:
                raise NetworkError(f"{node.op} is not among the operations written for torch")
            x = node.inputs[0]
            own = x in owners and x not in aliased and uses[x] == 1
            if own and node.op in _IN_PLACE and model.shape(x) == model.shape(node.outputs[0]):
                node.attributes["inplace"] = True
            function, names = make(node, model)
            inputs = [self._keep(name, model) for name in names]
            self._steps.append((function, inputs, node.outputs[0], []))
        last: dict[str, int] = {}
        for i, (_, inputs, _, _) in enumerate(self._steps):
            last.update(dict.fromkeys(inputs, i))
        for name, i in last.items():
            if name not in self._constants and name != self._output:
                self._steps[i][3].append(name)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        values = {**self._constants, self._input: x}
        for function, inputs, output, dead in self._steps:
            values[output] = function(*[values[name] for name in inputs])
            for name in dead:
                del values[name]
        return values[self._output]

    def _keep(self, name: str, model: Model) -> str:
        if name in model.constants and name not in self._constants:
            tensor = torch.from_numpy(np.array(model.constants[name]))
            if tensor.dim() == 4:
                tensor = tensor.contiguous(memory_format=self._format)
            self._constants[name] = tensor
        return name


def _convolution(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    even = top == bottom and left == right
    strides, dilations = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    padding, groups = ([top, left] if even else 0), node.get("group", 1)

    def run(x: Any, weight: Any, bias: Any = None) -> Any:
        if not even:
            x = F.pad(x, (left, right, top, bottom))
        return torch.conv2d(x, weight, bias, strides, padding, dilations, groups)

    return run, node.inputs


def _transposed(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right) or "output_shape" in node.attributes:
        raise NetworkError("ConvTranspose with uneven padding is not served")
    arguments = (
        node.get("strides", [1, 1]),
        [top, left],
        node.get("output_padding", [0, 0]),
        node.get("group", 1),
        node.get("dilations", [1, 1]),
    )
    return lambda x, w, b=None: F.conv_transpose2d(x, w, b, *arguments), node.inputs


def _pool(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    even = (top, left) == (bottom, right)
    if not even and node.op != "MaxPool":
        raise NetworkError(f"{node.op} with uneven padding is not served")
    kernel, stride = node.attributes["kernel_shape"], node.get("strides", [1, 1])
    ceil = bool(node.get("ceil_mode", 0))
    if node.op == "MaxPool":
        dilation, padding = node.get("dilations", [1, 1]), ([top, left] if even else 0)

        def run(x: Any) -> Any:
            if not even:
                x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
            return F.max_pool2d(x, kernel, stride, padding, dilation, ceil)

        return run, node.inputs
    count = bool(node.get("count_include_pad", 0))
    return lambda x: F.avg_pool2d(x, kernel, stride, [top, left], ceil, count), node.inputs


def _gemm(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    if not node.get("transB", 0) or node.get("transA", 0):
        raise NetworkError("Gemm is served as a linear layer: transA=0, transB=1")
    return F.linear, node.inputs


def _norm(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    x, weight, bias, mean, var = node.inputs
    eps = node.get("epsilon", 1e-5)
    return (
        lambda x, mean, var, weight, bias: F.batch_norm(x, mean, var, weight, bias, eps=eps),
        [x, mean, var, weight, bias],
    )


def _clip(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    low, high = (
        float(model.constants[name]) if name else None for name in [*node.inputs[1:], "", ""][:2]
    )
    function = torch.clamp_ if node.get("inplace", False) else torch.clamp
    return lambda x: function(x, low, high), node.inputs[:1]


def _resize(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    how = (node.get("mode", b"nearest"), node.get("coordinate_transformation_mode", b""))
    if how != (b"nearest", b"asymmetric") or node.get("nearest_mode", b"") != b"floor":
        raise NetworkError("Resize is served for nearest pixels, asymmetric, floor")
    size = model.shape(node.outputs[0])[2:]
    return lambda x: F.interpolate(x, size, mode="nearest"), node.inputs[:1]


def _reshape(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
    shape = model.shape(node.outputs[0])
    return lambda x: x.reshape(shape), node.inputs[:1]


def _simple(function: Callable[[Node], Callable[..., Any]]) -> Callable[..., Any]:
    return lambda node, model: (function(node), node.inputs)


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def make(node: Node, model: Model) -> tuple[Callable[..., Any], list[str]]:
        inplace = node.get("inplace", False)
        return lambda x: function(x, inplace=inplace), node.inputs

    return make


_MAKERS: dict[str, Callable[[Node, Model], tuple[Callable[..., Any], list[str]]]] = {
    "Add": _simple(lambda node: torch.Tensor.add_ if node.get("inplace", False) else torch.add),
    "AveragePool": _pool,
    "BatchNormalization": _norm,
    "Clip": _clip,
    "Concat": _simple(lambda node: lambda *xs: torch.cat(xs, node.attributes["axis"])),
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Div": _simple(lambda node: torch.div),
    "Erf": _simple(lambda node: torch.erf),
    "Flatten": _reshape,
    "Gelu": _simple(lambda node: F.gelu),
    "Gemm": _gemm,
    "GlobalAveragePool": _simple(lambda node: lambda x: F.adaptive_avg_pool2d(x, 1)),
    "HardSigmoid": _simple(
        lambda node: lambda x: torch.clamp(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0, 1)
    ),
    "HardSwish": _in_place(F.hardswish),
    "Identity": _simple(lambda node: lambda x: x),
    "LeakyRelu": lambda node, model: (
        lambda x: F.leaky_relu(x, node.get("alpha", 0.01), node.get("inplace", False)),
        node.inputs,
    ),
    "MatMul": _simple(lambda node: torch.matmul),
    "MaxPool": _pool,
    "Mul": _simple(lambda node: torch.mul),
    "Relu": _in_place(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _simple(lambda node: torch.sigmoid),
    "Silu": _in_place(F.silu),
    "Softmax": _simple(lambda node: lambda x: F.softmax(x, node.get("axis", -1))),
    "Sub": _simple(lambda node: torch.sub),
    "Tanh": _simple(lambda node: torch.tanh),
    "Transpose": _simple(lambda node: lambda x: x.permute(node.attributes["perm"])),
}
