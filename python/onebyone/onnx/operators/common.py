"""What the operators share: axes, integers from arrays, scalars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["axes_of", "axis_of", "integers", "scalar", "unsqueezed"]


def axis_of(axis: int, rank: int) -> int:
    """Return an axis, negative ones counted from the end, as 0 <= axis < rank."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank} dimensions")
    return axis % rank


def axes_of(axes: Sequence[int], rank: int) -> list[int]:
    """Return axes as :func:`axis_of`, sorted, each once."""
    result = sorted({axis_of(int(axis), rank) for axis in axes})
    if len(result) != len(axes):
        raise ValueError(f"axes {tuple(axes)} name one of {rank} dimensions twice")
    return result


def integers(array: np.ndarray, what: str) -> list[int]:
    """Return a list of integers that the file gives as a tensor of one dimension."""
    if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
        raise ValueError(f"{what} must be a list of integers, not {array.dtype} of {array.shape}")
    return [int(value) for value in np.ravel(array)]


def scalar(array: np.ndarray, what: str) -> Any:
    """Return the only element of a tensor."""
    if array.size != 1:
        raise ValueError(f"{what} must be one number, its shape is {array.shape}")
    return array.reshape(())[()]


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    """Return ``shape`` with axes of size 1 put in, so that they are at ``axes`` afterwards."""
    rank = len(shape) + len(axes)
    at, rest = set(axes_of(axes, rank)), iter(shape)
    return [1 if axis in at else next(rest) for axis in range(rank)]
