"""What converters do to a network before an engine sees it: fewer, larger operations."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from .model import Model, Node

__all__ = ["ACTIVATION", "with_activations", "with_gelu", "with_silu"]

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


def with_gelu(model: Model) -> Model:
    """Make one node, Gelu, of x * (erf(x / sqrt(2)) + 1) * 0.5."""
    uses = model.uses()
    makers = {n.outputs[0]: n for n in model.nodes}
    nodes, gone = [], set()
    for node in model.nodes:
        chain = _gelu_chain(node, makers, model.constants)
        if chain and all(uses[inner.outputs[0]] == 1 for inner in chain):
            gone.update(inner.outputs[0] for inner in chain)
            node = Node("Gelu", chain[-1].inputs[:1], node.outputs)
        nodes.append(node)
    return replace(model, nodes=[node for node in nodes if node.outputs[0] not in gone])


def _gelu_chain(
    half: Node, makers: dict[str, Node], constants: dict[str, np.ndarray]
) -> list[Node] | None:
    """The nodes before the last, ``half``, from it to the division; None if it is no Gelu."""

    def before(node: Node | None, side: int, op: str) -> Node | None:
        found = makers.get(node.inputs[side]) if node else None
        return found if found and found.op == op else None

    def has(node: Node | None, value: float) -> bool:
        a = constants.get(node.inputs[1]) if node else None
        return a is not None and a.size == 1 and abs(a.item() - value) < 1e-5

    product = before(half, 0, "Mul") if half.op == "Mul" and has(half, 0.5) else None
    one = before(product, 1, "Add")
    erf = before(one, 0, "Erf")
    root = before(erf, 0, "Div")
    if not (has(one, 1) and has(root, 2**0.5) and product.inputs[0] == root.inputs[0]):
        return None
    return [product, one, erf, root]


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
