"""Arrays as parameters: converted from any library, copied, and read-only."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_numpy", "float_dtype", "frozen"]


def as_numpy(value: Any, name: str) -> np.ndarray:
    """Return ``value`` as a NumPy array, without a copy where there need be none.

    ``value`` is a NumPy array, a nested list of numbers, a torch tensor (on any device, with or
    without gradient), or anything with DLPack or the array interface. Raises TypeError that begins
    with ``name``.
    """
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            array = np.from_dlpack(value)
        else:
            array = np.asarray(value)
    except Exception as error:
        raise TypeError(
            f"{name}: cannot be read as a NumPy array: {error}; convert it to float32 or float64"
        ) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name}: expects an array of real numbers, got {type(value).__name__} of {array.dtype}"
        )
    return array


def frozen(value: np.ndarray) -> np.ndarray:
    """Return a C-contiguous copy that nobody can write to.

    It is a view of a read-only owner: ``setflags(write=True)`` on it fails.
    """
    owner = np.array(value, order="C")
    owner.flags.writeable = False
    return owner.view()


def float_dtype(dtype: Any, name: str) -> np.dtype:
    """Return "float32", "float64" or what NumPy takes for one of them as a NumPy dtype.

    Raises TypeError that begins with ``name``.
    """
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if dtype is None or result not in (np.float32, np.float64):
        raise TypeError(f"{name}: dtype must be float32 or float64, not {dtype!r}")
    return result
