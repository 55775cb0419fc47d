"""Random initial weights, as torch draws them by default."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["manual_seed", "uniform"]

_generator: np.random.Generator | None = None


def manual_seed(seed: int) -> None:
    """Make the weights of layers constructed from here on repeatable.

    Without a call they differ from process to process. Raises ValueError if ``seed`` is negative,
    TypeError if it is no integer.
    """
    global _generator
    _generator = np.random.default_rng(seed)


def uniform(shape: tuple[int, ...], fan_in: int, dtype: np.dtype) -> np.ndarray:
    """Draw an array of ``shape`` from the uniform distribution on ±1/sqrt(fan_in).

    The bound is torch's default for convolutions and linear layers: Kaiming-uniform with
    a = sqrt(5) (He et al., "Delving Deep into Rectifiers", arXiv 1502.01852).
    """
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    bound = 1 / math.sqrt(fan_in)
    values = _generator.random(shape, dtype=dtype)
    values *= 2 * bound
    values -= bound
    return values
