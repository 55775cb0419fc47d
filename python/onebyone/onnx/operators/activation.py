"""Activations: those that the core has, and those composed from them."""

from __future__ import annotations

import math

import numpy as np

from ..node import Node
from .common import scalar
from .registry import Emitter, operator

__all__: list[str] = []

_NAMED = {"HardSwish": "hardswish", "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
_SIXTH = 5e-7
"""Files hold 1/6 rounded to seven digits: no further from it than float32 rounds the products."""


@operator(*_NAMED)
def named(node: Node) -> Emitter:
    kind = _NAMED[node.op]

    def emit(g, x):
        return g.activation(x, kind)

    return emit


@operator("LeakyRelu")
def leaky_relu(node: Node) -> Emitter:
    slope = node.float("alpha", 0.01)

    def emit(g, x):
        return g.activation(x, ("leaky_relu", slope))

    return emit


@operator("PRelu", either={1})
def prelu(node: Node) -> Emitter:
    """max(x, 0) + slope * min(x, 0); one slope for all is the core's own."""

    def emit(g, x, slope):
        if isinstance(slope, np.ndarray):
            if slope.size == 1 and slope.ndim <= g.rank(x):
                return g.activation(x, ("leaky_relu", float(scalar(slope, "slope"))))
            slope = g.constant(slope)
        negative = g.binary(g.binary(x, g.number(0), "min"), slope, "mul")
        return g.binary(g.activation(x, "relu"), negative, "add")

    return emit


@operator("Elu")
def elu(node: Node) -> Emitter:
    alpha = node.float("alpha", 1.0)

    def emit(g, x):
        return _elu(g, x, alpha, 1.0)

    return emit


@operator("Celu")
def celu(node: Node) -> Emitter:
    alpha = node.float("alpha", 1.0)

    def emit(g, x):
        return _elu(g, x, alpha, alpha)

    return emit


@operator("Selu")
def selu(node: Node) -> Emitter:
    """Klambauer et al., arXiv 1706.02515; the defaults are the file format's."""
    alpha = node.float("alpha", 1.67326319217681884765625)
    gamma = node.float("gamma", 1.05070102214813232421875)

    def emit(g, x):
        return g.binary(_elu(g, x, alpha, 1.0), g.number(gamma), "mul")

    return emit


def _elu(g, x, alpha: float, divisor: float):
    """max(x, 0) + alpha * (exp(min(x, 0) / divisor) - 1)."""
    if alpha == divisor == 1:
        return g.unary(x, "elu")
    negative = g.binary(x, g.number(0), "min")
    if divisor != 1:
        negative = g.binary(negative, g.number(divisor), "div")
    negative = g.binary(g.unary(negative, "elu"), g.number(alpha), "mul")
    return g.binary(g.activation(x, "relu"), negative, "add")


@operator("HardSigmoid")
def hard_sigmoid(node: Node) -> Emitter:
    """min(max(alpha * x + beta, 0), 1). The core's own has alpha 1/6 and beta 1/2.

    Of another alpha, x is scaled first, which a convolution before it does with its weights.
    """
    alpha, beta = node.float("alpha", 0.2), node.float("beta", 0.5)

    def emit(g, x):
        if beta == 0.5:
            same = abs(alpha - 1 / 6) < _SIXTH
            x = x if same else g.binary(x, g.number(6 * alpha), "mul")
            return g.activation(x, "hardsigmoid")
        line = g.binary(g.binary(x, g.number(alpha), "mul"), g.number(beta), "add")
        return g.activation(line, ("clip", 0.0, 1.0))

    return emit


@operator("Clip", constants={1, 2})
def clip(node: Node) -> Emitter:
    """The bounds are attributes before opset 11, inputs from then on; either may be absent."""
    if node.opset < 11:
        bounds = node.float("min", -math.inf), node.float("max", math.inf)
    else:
        bounds = -math.inf, math.inf

    def emit(g, x, low=None, high=None):
        lo = bounds[0] if low is None else float(scalar(low, "min"))
        hi = bounds[1] if high is None else float(scalar(high, "max"))
        lo = min(lo, hi)
        if math.isfinite(lo) and math.isfinite(hi):
            return g.activation(x, "relu6" if (lo, hi) == (0, 6) else ("clip", lo, hi))
        if lo == 0:
            return g.activation(x, "relu")
        x = x if lo == -math.inf else g.binary(x, g.number(lo), "max")
        return x if hi == math.inf else g.binary(x, g.number(hi), "min")

    return emit


@operator("Gelu")
def gelu(node: Node) -> Emitter:
    """Hendrycks and Gimpel, arXiv 1606.08415: exact, or by tanh."""
    approximate = node.choice("approximate", "none", "tanh")

    def emit(g, x):
        if approximate == "none":
            return g.activation(x, "gelu")
        # x / 2 * (1 + tanh(c (x + 0.044715 x^3))) = x * sigmoid(2 c x (1 + 0.044715 x^2))
        cubic = g.binary(g.binary(x, x, "mul"), g.number(0.044715), "mul")
        inner = g.binary(x, g.binary(cubic, g.number(1), "add"), "mul")
        inner = g.binary(inner, g.number(2 * math.sqrt(2 / math.pi)), "mul")
        return g.binary(x, g.activation(inner, "sigmoid"), "mul")

    return emit


@operator("Mish")
def mish(node: Node) -> Emitter:
    """x * tanh(softplus(x)). Misra, arXiv 1908.08681."""

    def emit(g, x):
        return g.unary(x, "mish")

    return emit


@operator("Swish")
def swish(node: Node) -> Emitter:
    """x * sigmoid(alpha * x)."""
    alpha = node.float("alpha", 1.0)

    def emit(g, x):
        if alpha == 1:
            return g.activation(x, "silu")
        gate = g.activation(g.binary(x, g.number(alpha), "mul"), "sigmoid")
        return g.binary(x, gate, "mul")

    return emit


@operator("Softsign")
def softsign(node: Node) -> Emitter:
    """x / (1 + |x|)."""

    def emit(g, x):
        return g.binary(x, g.binary(g.unary(x, "abs"), g.number(1), "add"), "div")

    return emit
