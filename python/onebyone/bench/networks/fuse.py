"""What converters do to a network before an engine sees it: fewer, larger operations."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from .model import Model, Node

__all__ = ["ACTIVATION", "with_activations", "with_silu"]

ACTIVATION = "fused activation"
"""The attribute that holds the node which ``with_activations`` took in."""


def with_silu(model: Model) -> Model:
    """Make one node, Silu, of x * sigmoid(x)."""
    uses = model.uses()
    sigmoids = {n.outputs[0]: n.inputs[0] for n in model.nodes if n.op == "Sigmoid"}
    nodes, gone = [], set()
    for node in model.nodes:
        if node.op == "Mul":
            for x, y in (node.inputs, node.inputs[::-1]):
                if sigmoids.get(y) == x and uses[y] == 1:
                    gone.add(y)
                    node = Node("Silu", [x], node.outputs)
                    break
        nodes.append(node)
    return replace(model, nodes=[node for node in nodes if node.outputs[0] not in gone])


def with_activations(model: Model, into: Container[str], kinds: Container[str]) -> Model:
    """Take activations of the given kinds into the operation before, as its ACTIVATION."""
    uses = model.uses()
    makers: dict[str, Node] = {}
    nodes = []
    for node in model.nodes:
        before = makers.get(node.inputs[0]) if node.inputs else None
        if node.op in kinds and before is not None and uses[node.inputs[0]] == 1:
            before.attributes[ACTIVATION] = node
            before.outputs = node.outputs
            continue
        node = replace(node, outputs=node.outputs, attributes=dict(node.attributes))
        if node.op in into:
            makers[node.outputs[0]] = node
        nodes.append(node)
    return replace(model, nodes=nodes)
