"""Emission: a graph as the emitter of one node sees it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["Emission"]


class Emission:
    """A graph's methods with the node's name filled in, and constants of the dtype of its values.

    ``graph`` is a ``_core.Graph`` or a NumpyGraph.
    """

    def __init__(self, graph: Any, dtype: np.dtype, name: str) -> None:
        self._graph = graph
        self._name = name
        self.dtype = dtype

    def __getattr__(self, method: str) -> Any:
        return functools.partial(getattr(self._graph, method), name=self._name)

    def shape(self, x: Any) -> tuple[int, ...]:
        return tuple(self._graph.shape(x))

    def rank(self, x: Any) -> int:
        return len(self._graph.shape(x))

    def constant(self, array: np.ndarray) -> Any:
        """Return an array as a value of the graph. It must have the graph's dtype."""
        if array.dtype != self.dtype:
            raise ValueError(f"a constant of {array.dtype} among values of {self.dtype}")
        return self._graph.constant(array)

    def number(self, value: float) -> Any:
        return self._graph.constant(np.asarray(value, self.dtype))
