"""Weighted: a layer with weights, and PlanCache: the plans that hold them packed."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from . import init
from .arrays import float_dtype
from .module import Module

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PlanCache", "Weighted"]

_LIMIT = 4
"""Each plan holds its own packed weights, and a network in use sees one or two shapes."""


class PlanCache:
    """At most 4 values by key; the oldest goes first. Safe to use from several threads.

    The dtype is no part of a layer's key: plans have that of the layer's weights, and refuse inputs
    of another.
    """

    __slots__ = ("_lock", "_plans")

    def __init__(self) -> None:
        self._plans: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        """Return the value for ``key``, or None."""
        return self._plans.get(key)

    def get_or_make(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value for ``key``, from ``make()`` if there is none.

        ``make`` reads the parameters under the lock that :meth:`clear` takes after they were
        replaced, so that no value made from old ones survives.
        """
        with self._lock:
            value = self._plans.get(key)
            if value is None:
                value = make()
                while len(self._plans) >= _LIMIT:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = value
            return value

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._plans.clear()

    def __reduce__(self) -> tuple[type[PlanCache], tuple[()]]:
        # Locks and plans cannot be copied; the copy of a layer makes its own.
        return (PlanCache, ())


class Weighted(Module):
    """A layer with a weight, perhaps a bias, and plans that hold them packed."""

    weight: np.ndarray
    bias: np.ndarray | None
    _fixed: tuple[str, ...]
    """Attributes that plans depend on, set once by the constructor."""

    def __init__(self) -> None:
        super().__init__()
        self._plans = PlanCache()

    def parameters_changed(self) -> None:
        self._plans.clear()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and name in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}.{name} is fixed at construction; make another layer"
            )
        super().__setattr__(name, value)

    def _create_weights(
        self, shape: tuple[int, ...], bias: bool, dtype: str | np.dtype | type
    ) -> None:
        dtype, fan_in = float_dtype(dtype, type(self).__name__), math.prod(shape[1:])
        self.register_parameter("weight", init.weight(shape, fan_in, dtype))
        self.register_parameter("bias", init.bias(shape[:1], fan_in, dtype) if bias else None)
