"""Random initial weights: as torch draws them by default, or for deep networks of ReLU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

__all__ = ["bias", "for_deep_networks", "manual_seed", "weight"]

_generator: np.random.Generator | None = None
_deep: ContextVar[bool] = ContextVar("onebyone_deep", default=False)


def manual_seed(seed: int) -> None:
    """Make the weights of layers constructed from here on repeatable.

    Without a call they differ from process to process. Raises ValueError if ``seed`` is negative,
    TypeError if it is no integer.
    """
    global _generator
    _generator = np.random.default_rng(seed)


@contextmanager
def for_deep_networks() -> Iterator[None]:
    """Draw the weights of layers constructed within so that a signal keeps its size behind ReLU.

    Uniform on ±sqrt(6/fan_in), a variance of 2/fan_in, and biases of zero: He et al., "Delving Deep
    into Rectifiers", arXiv 1502.01852, equation 10. torch's default has a sixth of that variance; a
    signal would fade by 6 with every two layers.
    """
    token = _deep.set(True)
    try:
        yield
    finally:
        _deep.reset(token)


def weight(shape: tuple[int, ...], fan_in: int, dtype: np.dtype) -> np.ndarray:
    """Draw a weight of ``shape``, each output a sum of ``fan_in`` products.

    Uniform on ±1/sqrt(fan_in), torch's default for convolutions and linear layers, or as
    :func:`for_deep_networks` says.
    """
    return _uniform(shape, math.sqrt((6 if _deep.get() else 1) / fan_in), dtype)


def bias(shape: tuple[int, ...], fan_in: int, dtype: np.dtype) -> np.ndarray:
    """Draw a bias: as torch does, uniform on ±1/sqrt(fan_in), or zeros in deep networks."""
    if _deep.get():
        return np.zeros(shape, dtype)
    return _uniform(shape, 1 / math.sqrt(fan_in), dtype)


def _uniform(shape: tuple[int, ...], bound: float, dtype: np.dtype) -> np.ndarray:
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    values = _generator.random(shape, dtype=dtype)
    values *= 2 * bound
    values -= bound
    return values
