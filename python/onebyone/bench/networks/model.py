"""An ONNX file of one input and one output, read for the engines that cannot read it themselves."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

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
            if all(sizes):
                shapes[value.name] = tuple(sizes)
        return cls(nodes, constants, shapes, inputs[0].name, graph.output[0].name)

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise NetworkError(f"the shape of {name!r} is not known")
        return self.shapes[name]

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
