"""Functions of single elements and of two tensors, with NumPy's broadcasting."""

from __future__ import annotations

import functools

import numpy as np

from ..node import Node
from .registry import Emitter, operator

__all__: list[str] = []

_UNARY = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Sqrt": "sqrt",
}
_BINARY = {"Add": "add", "Div": "div", "Mul": "mul", "Sub": "sub"}
_VARIADIC = {"Max": "max", "Min": "min", "Sum": "add", "Mean": "add"}


@operator(*_UNARY, folds=True)
def unary(node: Node) -> Emitter:
    kind = _UNARY[node.op]

    def emit(g, x):
        return g.unary(x, kind)

    return emit


@operator("Erf", "Softplus")
def unary_of_the_core(node: Node) -> Emitter:
    kind = node.op.lower()

    def emit(g, x):
        return g.unary(x, kind)

    return emit


@operator(*_BINARY, folds=True)
def binary(node: Node) -> Emitter:
    kind = _BINARY[node.op]

    def emit(g, a, b):
        return g.binary(a, b, kind)

    return emit


@operator(*_VARIADIC, folds=True)
def variadic(node: Node) -> Emitter:
    kind = _VARIADIC[node.op]

    def emit(g, *xs):
        result = functools.reduce(lambda a, b: g.binary(a, b, kind), xs)
        if node.op == "Mean" and len(xs) > 1:
            result = g.binary(result, g.number(len(xs)), "div")
        return result

    return emit


@operator("Pow", either={1}, folds=True)
def power(node: Node) -> Emitter:
    """The exponents 1/2 and 2 have cheaper equivalents; the type of the exponent may differ."""

    def emit(g, x, exponent):
        if not isinstance(exponent, np.ndarray):
            return g.binary(x, exponent, "pow")
        if exponent.size == 1 and exponent.ndim <= len(g.shape(x)):
            if exponent == 2:
                return g.binary(x, x, "mul")
            if exponent == 0.5 and g.dtype.kind == "f":
                return g.unary(x, "sqrt")
        return g.binary(x, g.constant(exponent.astype(g.dtype)), "pow")

    return emit
