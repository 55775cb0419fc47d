"""Patterns: activations that exporters write out as several nodes, recognised as one.

All of them are products of which one factor is x. A product is taken apart through the
multiplications and the divisions by numbers that nothing else uses, into other factors and one
number; what is left is compared with a short list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .node import Node
from .operators.registry import Emitter

__all__ = ["Patterns"]

_RELATIVE = 1e-6
"""Numbers in float32 files are rounded; 1/6 also to seven decimal digits."""


class Patterns:
    """Sees a graph's nodes in order. ``uses`` counts who reads each value."""

    def __init__(self, uses: Mapping[str, int], static: Mapping[str, np.ndarray]) -> None:
        self._uses, self._static = uses, static
        self._producer: dict[str, Node] = {}

    def match(self, node: Node) -> tuple[str, Emitter] | None:
        """Return the input and the emitter of the activation that ends at ``node``, or None."""
        for name in node.outputs[:1]:
            self._producer[name] = node
        if node.op not in ("Mul", "Div"):
            return None
        factors, number = self._factors(node)
        for kind, constant, recognise in (
            ("silu", 1.0, self._sigmoid),
            ("hardswish", 1.0, self._hard_sigmoid),
            ("hardswish", 1 / 6, self._clipped),
            ("gelu", 0.5, self._one_plus_erf),
            ("mish", 1.0, self._tanh_of_softplus),
        ):
            if len(factors) == 2 and _near(number, constant):
                for x, other in (factors, factors[::-1]):
                    if recognise(other) == x:
                        return x, _activation(kind)
        if len(factors) == 1 and _near(number, 1 / 6):
            x = self._clipped(factors[0])
            return None if x is None else (x, _activation("hardsigmoid"))
        return None

    def _factors(self, node: Node, depth: int = 3) -> tuple[list[str], float]:
        factors: list[str] = []
        number = 1.0
        for i, name in enumerate(node.inputs):
            value, inner = self._number(name), self._inner(name, "Mul", "Div")
            if node.op == "Div" and i == 1:
                # By anything but a number it is no product: the quotient is a factor of its own.
                if not value:
                    return [node.outputs[0]], 1.0
                number /= value
            elif value is not None:
                number *= value
            elif inner is None or depth == 0:
                factors.append(name)
            else:
                more, times = self._factors(inner, depth - 1)
                factors, number = factors + more, number * times
        return factors, number

    def _inner(self, name: str, *ops: str) -> Node | None:
        """Return the node that computes a value, if it is such a one and only one reads it."""
        node = self._producer.get(name)
        if node is None or node.op not in ops or self._uses[name] != 1:
            return None
        return node

    def _number(self, name: str) -> float | None:
        array = self._static.get(name)
        if array is None or array.size != 1 or array.ndim > 1 or array.dtype.kind != "f":
            return None
        return float(array.reshape(()))

    def _sigmoid(self, name: str) -> str | None:
        node = self._inner(name, "Sigmoid")
        return node.inputs[0] if node else None

    def _tanh_of_softplus(self, name: str) -> str | None:
        tanh = self._inner(name, "Tanh")
        node = self._inner(tanh.inputs[0], "Softplus") if tanh else None
        return node.inputs[0] if node else None

    def _hard_sigmoid(self, name: str) -> str | None:
        node = self._inner(name, "HardSigmoid")
        if node and _near(node.float("alpha", 0.2), 1 / 6) and node.float("beta", 0.5) == 0.5:
            return node.inputs[0]
        return None

    def _clipped(self, name: str) -> str | None:
        """min(max(x + 3, 0), 6) -> x."""
        node = self._inner(name, "Clip")
        if node is None:
            return None
        if node.opset < 11:
            bounds: list[Any] = [node.float("min", -math.inf), node.float("max", math.inf)]
        else:
            bounds = [self._number(name) for name in node.inputs[1:]]
        return self._plus(node.inputs[0], 3.0) if bounds == [0.0, 6.0] else None

    def _one_plus_erf(self, name: str) -> str | None:
        """1 + erf(x / sqrt(2)) -> x."""
        erf = self._inner(self._plus(name, 1.0) or "", "Erf")
        inner = self._inner(erf.inputs[0], "Mul", "Div") if erf else None
        if inner is None:
            return None
        factors, number = self._factors(inner, 0)
        return factors[0] if len(factors) == 1 and _near(number, math.sqrt(0.5)) else None

    def _plus(self, name: str, number: float) -> str | None:
        """x + number -> x."""
        node = self._inner(name, "Add")
        if node is None:
            return None
        for x, other in (node.inputs, node.inputs[::-1]):
            if self._number(other) == number:
                return x
        return None


def _near(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= _RELATIVE * wanted


def _activation(kind: str) -> Emitter:
    def emit(g, x):
        return g.unary(x, kind) if kind == "mish" else g.activation(x, kind)

    return emit
