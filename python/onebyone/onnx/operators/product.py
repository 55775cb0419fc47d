"""Matrix products. One with a known matrix is a linear layer, whose weights are packed once."""

from __future__ import annotations

import numpy as np

from ..node import Node
from .registry import Emitter, operator

__all__: list[str] = []


@operator("MatMul", either={0, 1})
def matmul(node: Node) -> Emitter:
    """As numpy.matmul: an operand of one dimension becomes a row or a column for a while."""

    def emit(g, a, b):
        if isinstance(b, np.ndarray) and b.ndim == 2 and not isinstance(a, np.ndarray):
            return g.linear(a, b.T)
        a, b = (g.constant(v) if isinstance(v, np.ndarray) else v for v in (a, b))
        a_shape, b_shape = g.shape(a), g.shape(b)
        if len(a_shape) == 1:
            a = g.reshape(a, (1, *a_shape))
        if len(b_shape) == 1:
            b = g.reshape(b, (*b_shape, 1))
        y = g.matmul(a, b)
        shape = list(g.shape(y))
        if len(b_shape) == 1:
            del shape[-1]
        if len(a_shape) == 1:
            del shape[-1 if len(b_shape) == 1 else -2]
        return y if len(shape) == len(g.shape(y)) else g.reshape(y, shape)

    return emit


@operator("Gemm", either={1, 2})
def gemm(node: Node) -> Emitter:
    """alpha * a' @ b' + beta * c, c broadcast to the product."""
    alpha, beta = node.float("alpha", 1.0), node.float("beta", 1.0)
    trans_a, trans_b = bool(node.int("transA", 0)), bool(node.int("transB", 0))

    def emit(g, a, b, c=None):
        a = g.transpose(a, (1, 0)) if trans_a else a
        if isinstance(b, np.ndarray):
            weight = b if trans_b else b.T
            weight = weight if alpha == 1 else (weight * g.dtype.type(alpha))
            if isinstance(c, np.ndarray) and _one_row(c, weight.shape[0]):
                bias = np.broadcast_to(c.reshape(-1), weight.shape[:1])
                return g.linear(a, weight, bias if beta == 1 else bias * g.dtype.type(beta))
            y = g.linear(a, weight)
        else:
            y = g.matmul(a, g.transpose(b, (1, 0)) if trans_b else b)
            y = y if alpha == 1 else g.binary(y, g.number(alpha), "mul")
        if c is None or beta == 0:
            return y
        c = g.constant(c) if isinstance(c, np.ndarray) else c
        c = c if beta == 1 else g.binary(c, g.number(beta), "mul")
        return g.binary(y, c, "add")

    return emit


def _one_row(c: np.ndarray, columns: int) -> bool:
    return c.size in (1, columns) and c.ndim <= 2 and (c.ndim < 2 or c.shape[0] == 1)
