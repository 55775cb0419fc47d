"""What is computed before a network runs: constants, shapes, and the arithmetic on shapes."""

from __future__ import annotations

import math

import numpy as np

from ..errors import Unsupported
from ..node import Node
from ..tensors import DTYPES, type_name
from .common import axis_of, integers, scalar
from .registry import Emitter, operator

__all__: list[str] = []

_COMPARISONS = {
    "And": np.logical_and,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


@operator("Constant", known_only=True)
def constant(node: Node) -> Emitter:
    single = (
        (node.tensor("value"), None),
        (node.ints("value_ints"), np.int64),
        (node.floats("value_floats"), np.float32),
        (node.int("value_int", 0) if node.has("value_int") else None, np.int64),
        (node.float("value_float", 0.0) if node.has("value_float") else None, np.float32),
    )
    values = [np.asarray(value, dtype) for value, dtype in single if value is not None]
    if len(values) != 1:
        raise Unsupported("a value that is neither tensor nor numbers")

    def emit(g):
        return values[0]

    return emit


@operator("Shape", known_only=True)
def shape(node: Node) -> Emitter:
    start, end = node.int("start", 0), node.int("end", 2**31)

    def emit(g, x):
        return np.array(g.shape(x)[start:end], np.int64)

    return emit


@operator("Size", known_only=True)
def size(node: Node) -> Emitter:
    def emit(g, x):
        return np.array(math.prod(g.shape(x)), np.int64)

    return emit


@operator("Cast", folds=True)
def cast(node: Node) -> Emitter:
    return _cast(node, DTYPES.get(to := node.int("to", 0)), type_name(to))


@operator("CastLike", folds=True)
def cast_like(node: Node) -> Emitter:
    """What depends on the network's input is of the network's type already."""
    if not node.known:
        return _cast(node, node.dtype, str(node.dtype))

    def emit(g, x, like):
        g.take(x.shape, like.dtype)
        return x.astype(like.dtype)

    return emit


def _cast(node: Node, dtype: np.dtype | None, name: str) -> Emitter:
    node.ignore("saturate", "round_mode")
    if dtype is None or not (node.known or dtype == node.dtype):
        raise Unsupported(f"conversion to {name}")

    def emit(g, x, like=None):
        if not isinstance(x, np.ndarray) or x.dtype == dtype:
            return x
        g.take(x.shape, dtype)
        with np.errstate(all="ignore"):
            return x.astype(dtype)

    return emit


@operator("ConstantOfShape", known_only=True)
def constant_of_shape(node: Node) -> Emitter:
    value = node.tensor("value")
    value = np.zeros(1, np.float32) if value is None else value

    def emit(g, shape):
        sizes = integers(shape, "shape")
        if any(n < 0 for n in sizes):
            raise ValueError(f"{sizes} is no shape")
        g.take(sizes, value.dtype)
        return np.full(sizes, scalar(value, "value"), value.dtype)

    return emit


@operator("Range", known_only=True)
def range_(node: Node) -> Emitter:
    def emit(g, start, limit, delta):
        first, last, step = (scalar(v, "start, limit, delta") for v in (start, limit, delta))
        if not (step != 0 and np.isfinite([first, last, step]).all()):
            raise ValueError(f"no range from {first} to {last} by {step}")
        count = max(math.ceil((last - first) / step), 0)
        g.take((count,), start.dtype)
        return (first + np.arange(count) * step).astype(start.dtype)

    return emit


@operator(*_COMPARISONS, known_only=True)
def comparison(node: Node) -> Emitter:
    function = _COMPARISONS[node.op]

    def emit(g, a, b):
        g.take(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        return np.asarray(function(a, b))

    return emit


@operator("Not", known_only=True)
def logical_not(node: Node) -> Emitter:
    def emit(g, x):
        g.take(x.shape, x.dtype)
        return np.asarray(np.logical_not(x))

    return emit


@operator("Mod", known_only=True)
def modulo(node: Node) -> Emitter:
    """The sign is the divisor's, or the dividend's with ``fmod``."""
    function = np.fmod if node.int("fmod", 0) else np.mod

    def emit(g, a, b):
        g.take(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        if a.dtype.kind in "iu" and not np.all(b):
            raise ValueError("division of an integer by zero")
        return np.asarray(function(a, b)).astype(a.dtype, copy=False)

    return emit


@operator("Where", known_only=True)
def where(node: Node) -> Emitter:
    def emit(g, condition, a, b):
        g.take(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.dtype)
        return np.where(condition, a, b)

    return emit


@operator("NonZero", known_only=True)
def non_zero(node: Node) -> Emitter:
    def emit(g, x):
        g.take((x.ndim, x.size), np.dtype(np.int64))
        return np.array(np.nonzero(x), np.int64)

    return emit


@operator("CumSum", constants={1}, known_only=True)
def cumulative_sum(node: Node) -> Emitter:
    node.require("exclusive", 0)
    node.require("reverse", 0)

    def emit(g, x, axis):
        g.take(x.shape, x.dtype)
        return np.cumsum(x, axis_of(int(scalar(axis, "axis")), x.ndim), x.dtype)

    return emit
