"""Lowering: the steps of a graph, run into a core graph for inputs of known shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .analysis import named_results
from .emission import Emission
from .numpy_graph import Budget, NumpyGraph

if TYPE_CHECKING:
    from .._core import Graph as CoreGraph
    from .analysis import Step

__all__ = ["Lowering"]

_LARGEST = 2**31
"""Elements of one tensor: 8 GB of float32."""


class Lowering:
    """``values`` holds what each name stands for: an array if it is known, else a core's value."""

    def __init__(
        self,
        core: CoreGraph,
        dtype: np.dtype,
        static: Mapping[str, np.ndarray],
        budget: Budget,
    ) -> None:
        self.values: dict[str, Any] = dict(static)
        self._core, self._dtype = core, dtype
        self._numpy = NumpyGraph(budget)
        self._constants: dict[str, Any] = {}

    def run(self, step: Step) -> tuple[list[Any], list[Any]]:
        """Emit one step; return its inputs and results.

        Raises ValueError that names the node.
        """
        try:
            inputs = [self._operand(step, i, name) for i, name in enumerate(step.inputs)]
            results = step.emitter(self._graph(step, inputs), *inputs)
            named = dict(named_results(step.node, results))
            for value in named.values():
                if not step.known and math.prod(self._core.shape(value)) > _LARGEST:
                    raise ValueError(f"its result {self._core.shape(value)} is too large")
        except (ArithmeticError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{step.node}: {error}") from error
        self.values.update(named)
        return inputs, list(named.values())

    def as_value(self, name: str) -> Any:
        """Return a name's value in the core; a known array becomes a constant there."""
        value = self.values[name]
        if not isinstance(value, np.ndarray):
            return value
        if name not in self._constants:
            self._constants[name] = Emission(self._core, self._dtype, name).constant(value)
        return self._constants[name]

    def _operand(self, step: Step, position: int, name: str) -> Any:
        """Return an input as the emitter expects it."""
        if not name:
            return None
        as_array = position in step.operator.constants or position in step.operator.either
        return self.values[name] if step.known or as_array else self.as_value(name)

    def _graph(self, step: Step, inputs: list[Any]) -> Emission:
        """Return where to compute: known steps with NumPy, but for the shape of a core's value."""
        if step.known and isinstance(inputs[0], np.ndarray):
            return Emission(self._numpy, inputs[0].dtype, step.node.name)
        return Emission(self._core, self._dtype, step.node.name)
