"""NumpyGraph: the core's graph on NumPy arrays, for values that are known before a network runs.

Shape arithmetic and what is computed from constants alone goes through the same emitters as the
rest of a network; only that they are handed this graph, in which values are arrays and every method
computes at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["Budget", "NumpyGraph"]


class Budget:
    """How many bytes may be computed before a network runs: hostile files ask for any number."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def take(self, shape: Sequence[int], dtype: np.dtype) -> None:
        """Raise ValueError if an array of that shape is more than what is left."""
        size = math.prod(shape) * dtype.itemsize
        if size > self._left:
            raise ValueError(
                f"constants computed from the model's own would take {size} bytes for shape "
                f"{tuple(shape)}, beyond the limit of {self._limit} for all of them"
            )
        self._left -= size


class NumpyGraph:
    """The part of ``_core.Graph`` that constants need. Integers and booleans work, too."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def take(self, shape: Sequence[int], dtype: np.dtype, name: str = "") -> None:
        """Count an array that is about to be computed; see :meth:`Budget.take`."""
        self._budget.take(shape, dtype)

    def shape(self, x: np.ndarray) -> tuple[int, ...]:
        return x.shape

    def constant(self, array: np.ndarray) -> np.ndarray:
        return array

    def unary(self, x: np.ndarray, kind: str, name: str = "") -> np.ndarray:
        self.take(x.shape, x.dtype)
        return _UNARY[kind](x)

    def binary(self, a: np.ndarray, b: np.ndarray, kind: str, name: str = "") -> np.ndarray:
        if a.dtype != b.dtype:
            raise ValueError(f"the operands are of {a.dtype} and {b.dtype}")
        self.take(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        with np.errstate(all="ignore"):
            return np.asarray(_BINARY[kind](a, b)).astype(a.dtype, copy=False)

    def reduce(
        self, x: np.ndarray, axes: Sequence[int], kind: str, keepdims: bool, name: str = ""
    ) -> np.ndarray:
        self.take(x.shape, x.dtype)
        with np.errstate(all="ignore"):
            y = _REDUCE[kind](x, axis=tuple(axes), keepdims=keepdims)
        return np.asarray(y).astype(x.dtype, copy=False)

    def reshape(self, x: np.ndarray, shape: Sequence[int], name: str = "") -> np.ndarray:
        return x.reshape(tuple(shape))

    def transpose(self, x: np.ndarray, perm: Sequence[int], name: str = "") -> np.ndarray:
        return x.transpose(tuple(perm))

    def expand(self, x: np.ndarray, shape: Sequence[int], name: str = "") -> np.ndarray:
        self.take(shape, x.dtype)
        return np.broadcast_to(x, tuple(shape))

    def slice(
        self,
        x: np.ndarray,
        starts: Sequence[int],
        sizes: Sequence[int],
        steps: Sequence[int],
        name: str = "",
    ) -> np.ndarray:
        parts = zip(starts, sizes, steps, strict=True)
        return x[tuple(slice(*_ends(*part)) for part in parts)]

    def concat(self, xs: Sequence[np.ndarray], axis: int, name: str = "") -> np.ndarray:
        if len({x.dtype for x in xs}) != 1:
            raise ValueError(f"the inputs are of {', '.join(str(x.dtype) for x in xs)}")
        self.take((sum(x.size for x in xs),), xs[0].dtype)
        return np.concatenate(xs, axis)

    def gather(self, x: np.ndarray, indices: np.ndarray, axis: int, name: str = "") -> np.ndarray:
        self.take((*x.shape[:axis], indices.size, *x.shape[axis + 1 :]), x.dtype)
        return np.take(x, indices, axis)

    def pad(
        self,
        x: np.ndarray,
        before: Sequence[int],
        after: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        name: str = "",
    ) -> np.ndarray:
        edges = list(zip(before, after, strict=True))
        shape = [n + max(b, 0) + max(a, 0) for n, (b, a) in zip(x.shape, edges, strict=True)]
        self.take(shape, x.dtype)
        crop = tuple(
            slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, edges, strict=True)
        )
        widths = [(max(b, 0), max(a, 0)) for b, a in edges]
        constant = {"constant_values": value} if mode == "constant" else {}
        return np.pad(x[crop], widths, mode, **constant)  # type: ignore[call-overload]


def _ends(start: int, size: int, step: int) -> tuple[int, int | None, int]:
    if size == 0:
        return 0, 0, 1
    stop = start + size * step
    return start, None if stop < 0 else stop, step


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers as in C, towards 0."""
    if a.dtype.kind == "f":
        return a / b
    if not np.all(b):
        raise ValueError("division of an integer by zero")
    quotient = a // b
    return quotient + ((quotient < 0) & (quotient * b != a))


def _quiet(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def quiet(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(x)

    return quiet


_UNARY = {
    "abs": np.abs,
    "neg": np.negative,
    "sign": np.sign,
    "exp": _quiet(np.exp),
    "log": _quiet(np.log),
    "sqrt": _quiet(np.sqrt),
    "reciprocal": _quiet(np.reciprocal),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sin": _quiet(np.sin),
    "cos": _quiet(np.cos),
}
_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
}


def _l1(x: np.ndarray, **axes) -> np.ndarray:
    return np.sum(np.abs(x), **axes)


def _sum_square(x: np.ndarray, **axes) -> np.ndarray:
    return np.sum(x * x, **axes)


def _l2(x: np.ndarray, **axes) -> np.ndarray:
    return np.sqrt(_sum_square(x, **axes))


_REDUCE = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "l1": _l1,
    "l2": _l2,
    "sum_square": _sum_square,
}
