"""An ONNX file of one input and one output, read for the engines that cannot read it themselves."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from ..layers import same_padding

__all__ = ["Model", "NetworkError", "Node"]


class NetworkError(Exception):
    """A network that cannot be measured, or not by an engine; the text says why."""


@dataclass
class Node:
    """One operation; absent optional inputs are empty names."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)


@dataclass
class Model:
    """Nodes in an order in which they can run."""

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    """Of all values whose sizes are known."""

    input: str
    output: str

    @classmethod
    def read(cls, proto: onnx.ModelProto) -> Model:
        """Raises NetworkError if there is not exactly one input and one output."""
        graph = shape_inference.infer_shapes(proto, data_prop=True).graph
        constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        inputs = [i for i in graph.input if i.name not in constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise NetworkError(
                f"has {len(inputs)} inputs and {len(graph.output)} outputs; one of each is measured"
            )
        nodes = []
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant" and "value" in attributes:
                constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            elif node.op_type == "Identity" and node.input[0] in constants:
                constants[node.output[0]] = constants[node.input[0]]
            else:
                nodes.append(Node(node.op_type, list(node.input), list(node.output), attributes))
        shapes = {name: a.shape for name, a in constants.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
            if all(sizes) and value.type.tensor_type.HasField("shape"):
                shapes[value.name] = tuple(sizes)
        model = cls(nodes, constants, shapes, inputs[0].name, graph.output[0].name)
        for node in nodes:
            model._spell_out(node)
        return model

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise NetworkError(f"the shape of {name!r} is not known")
        return self.shapes[name]

    def unknown(self) -> list[str]:
        """Values whose shapes are not known."""
        return [v for node in self.nodes for v in node.outputs if v and v not in self.shapes]

    def uses(self) -> Counter[str]:
        """How many inputs read a value; the network's output counts as one."""
        return Counter([name for node in self.nodes for name in node.inputs] + [self.output])

    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products by the direct method."""
        return sum(self._macs(node) for node in self.nodes)

    def bytes(self) -> int:
        """Of input, weights and output in float32."""
        values = sum(a.size for a in self.constants.values() if a.dtype == np.float32)
        values += math.prod(self.shape(self.input)) + math.prod(self.shape(self.output))
        return 4 * values

    def _spell_out(self, node: Node) -> None:
        """Write paddings that have a name as numbers, a mean of whole images as pooling."""
        auto = node.attributes.pop("auto_pad", b"NOTSET")
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            ones = [1, 1]
            kernel = node.attributes.get("kernel_shape") or self.shape(node.inputs[1])[2:]
            size, strides = self.shape(node.inputs[0])[2:], node.get("strides", ones)
            axes = zip(size, kernel, strides, node.get("dilations", ones), strict=True)
            begins, ends = zip(*(same_padding(*axis) for axis in axes), strict=True)
            first, last = (begins, ends) if auto == b"SAME_UPPER" else (ends, begins)
            node.attributes["pads"] = [*first, *last]
        if node.op == "ReduceMean" and node.get("keepdims", 1):
            axes = node.get("axes", None)
            if axes is None and len(node.inputs) > 1:
                axes = self.constants.get(node.inputs[1], np.array([])).tolist()
            if axes is not None and sorted(axes) in ([2, 3], [-2, -1]):
                node.op, node.inputs, node.attributes = "GlobalAveragePool", node.inputs[:1], {}

    def _macs(self, node: Node) -> int:
        if node.op == "Conv":
            return math.prod(self.shape(node.outputs[0])) * math.prod(
                self.shape(node.inputs[1])[1:]
            )
        if node.op == "ConvTranspose":
            return math.prod(self.shape(node.inputs[0])) * math.prod(self.shape(node.inputs[1])[1:])
        if node.op in ("Gemm", "MatMul"):
            a = self.shape(node.inputs[0])
            return math.prod(self.shape(node.outputs[0])) * a[-2 if node.get("transA", 0) else -1]
        return 0
