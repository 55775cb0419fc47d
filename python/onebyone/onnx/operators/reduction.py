"""Sums and their like along axes, and softmax."""

from __future__ import annotations

import math

from ..node import Node
from .common import axes_of, axis_of, integers
from .registry import Emitter, operator

__all__: list[str] = []

_KINDS = {
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceLogSum": "sum",
    "ReduceLogSumExp": "sum",
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
    "ReduceSumSquare": "sum_square",
}


@operator(*_KINDS, constants={1}, folds=True)
def reduce(node: Node) -> Emitter:
    """The axes are an attribute before opset 18 (ReduceSum: 13), an input from then on."""
    kind, keep = _KINDS[node.op], bool(node.int("keepdims", 1))
    as_input = node.opset >= (13 if node.op == "ReduceSum" else 18)
    given = None if as_input else node.ints("axes")
    no_axes_is_identity = bool(node.int("noop_with_empty_axes", 0)) if as_input else False

    def emit(g, x, axes=None):
        rank = g.rank(x)
        at = axes_of(given or () if axes is None else integers(axes, "axes"), rank)
        if not at and no_axes_is_identity:
            return x
        at = at or list(range(rank))
        if node.op == "ReduceLogSumExp":
            return _log_sum_exp(g, x, at, keep)
        y = g.reduce(x, at, kind, keep)
        return g.unary(y, "log") if node.op == "ReduceLogSum" else y

    return emit


def _log_sum_exp(g, x, axes, keep: bool):
    """The largest element goes before the exponential, which overflows otherwise."""
    largest = g.reduce(x, axes, "max", True)
    powers = g.unary(g.binary(x, largest, "sub"), "exp")
    y = g.binary(g.unary(g.reduce(powers, axes, "sum", True), "log"), largest, "add")
    if keep:
        return y
    return g.reshape(y, [n for axis, n in enumerate(g.shape(x)) if axis not in axes])


@operator("Softmax", "LogSoftmax")
def softmax(node: Node) -> Emitter:
    """Before opset 13 along all dimensions from ``axis`` on as one, from then on along one."""
    axis = node.int("axis", 1 if node.opset < 13 else -1)
    log = node.op == "LogSoftmax"

    def emit(g, x):
        shape = g.shape(x)
        at = axis_of(axis, len(shape))
        if node.opset >= 13 or at == len(shape) - 1:
            return g.softmax(x, at, log)
        flat = g.reshape(x, (math.prod(shape[:at]), math.prod(shape[at:])))
        return g.reshape(g.softmax(flat, 1, log), shape)

    return emit
