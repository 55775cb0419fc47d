"""Flow: what a container's ``connect`` is run with, on arrays, on shapes or on a graph's values.

A container says once how its submodules are connected. Calling it, asking for its output's shape,
counting its multiply-adds and compiling it are that description run by one of the classes here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import _core
from .arguments import image_axes

if TYPE_CHECKING:
    from .._core import Activation, Array, Graph
    from .module import Module, Shape, Visit

__all__ = ["ArrayFlow", "Flow", "GraphFlow", "ShapeFlow"]

Value = TypeVar("Value")


class Flow(ABC, Generic[Value]):
    """Runs and joins a container's submodules; its values are opaque to ``connect``.

    ``layout`` is that of the arrays the network takes, and of the shapes in messages.
    """

    def __init__(self, container: Module, layout: str) -> None:
        self.container, self.layout = container, layout

    def __call__(self, x: Value, *names: str) -> Value:
        """Send ``x`` through the submodules of these names, one after the other."""
        for name in names:
            x = self._run(name, getattr(self.container, name), x)
        return x

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b, of equal shapes. Raises ValueError that names the container otherwise."""
        self._check_equal(a, b)
        return self._binary(a, b, "add")

    def scale(self, x: Value, factors: Value) -> Value:
        """Return x with each channel multiplied by its factor; ``factors`` is one pixel an image.

        Raises ValueError that names the container if the shapes do not fit.
        """
        shape, pixel = self._shape(x), list(self._shape(x))
        for axis in image_axes(shape, self.layout, self._title())[1:]:
            pixel[axis] = 1
        if self._shape(factors) != tuple(pixel):
            raise ValueError(
                f"{self._title()}: the factors of {shape} need shape {tuple(pixel)}, "
                f"not {self._shape(factors)}"
            )
        return self._binary(x, factors, "mul")

    def activate(self, x: Value, activation: Activation) -> Value:
        """Return the activation of x; None is the identity."""
        return x if activation is None else self._activate(x, activation)

    def concat(self, values: Sequence[Value]) -> Value:
        """Join values along the channels, or along the features of vectors.

        Raises ValueError that names the container if there are none, or if they differ in another
        axis.
        """
        shapes = [self._shape(value) for value in values]
        if not shapes:
            raise ValueError(f"{self._title()}: there is nothing to join")
        axis = self._channels(shapes[0])
        others = {(len(shape), *shape[:axis], *shape[axis + 1 :]) for shape in shapes}
        if len(others) > 1:
            raise ValueError(
                f"{self._title()}: shapes to join must be equal but for the channels "
                f"(axis {axis}, layout {self.layout}), not {', '.join(map(str, shapes))}"
            )
        return self._concat(values, axis) if len(shapes) > 1 else values[0]

    @abstractmethod
    def _run(self, name: str, module: Module, x: Value) -> Value: ...

    @abstractmethod
    def _shape(self, x: Value) -> Shape:
        """Return the shape in the network's layout."""

    @abstractmethod
    def _binary(self, a: Value, b: Value, kind: str) -> Value: ...

    @abstractmethod
    def _activate(self, x: Value, activation: Activation) -> Value: ...

    @abstractmethod
    def _concat(self, values: Sequence[Value], axis: int) -> Value: ...

    def _check_equal(self, a: Value, b: Value) -> None:
        if self._shape(a) != self._shape(b):
            raise ValueError(
                f"{self._title()}: cannot add shapes {self._shape(a)} and {self._shape(b)}; "
                "a shortcut must have the output's channels, height and width"
            )

    def _channels(self, shape: Shape) -> int:
        if len(shape) < 3:
            return len(shape) - 1
        return image_axes(shape, self.layout, self._title())[0]

    def _title(self) -> str:
        return type(self.container).__name__


class ArrayFlow(Flow["Array"]):
    """Computes: values are arrays of any library."""

    def _run(self, name: str, module: Module, x: Array) -> Array:
        return module(x, self.layout)

    def _shape(self, x: Array) -> Shape:
        return tuple(x.shape)

    def _binary(self, a: Array, b: Array, kind: str) -> Array:
        return _core.add(a, b) if kind == "add" else a * b

    def _activate(self, x: Array, activation: Activation) -> Array:
        return _core.activate(x, activation)

    def _concat(self, values: Sequence[Array], axis: int) -> Array:
        return _core.concat(list(values), axis)


class ShapeFlow(Flow["Shape"]):
    """Follows shapes: ``visit(name, module, shape)`` returns a submodule's output shape."""

    def __init__(self, container: Module, layout: str, visit: Visit) -> None:
        super().__init__(container, layout)
        self._visit = visit

    def _run(self, name: str, module: Module, x: Shape) -> Shape:
        return self._visit(name, module, x)

    def _shape(self, x: Shape) -> Shape:
        return tuple(x)

    def _binary(self, a: Shape, b: Shape, kind: str) -> Shape:
        return a

    def _activate(self, x: Shape, activation: Activation) -> Shape:
        return x

    def _concat(self, values: Sequence[Shape], axis: int) -> Shape:
        joined = list(values[0])
        joined[axis] = sum(shape[axis] for shape in values)
        return tuple(joined)


class GraphFlow(Flow[int]):
    """Compiles: values are ids in a graph, where images are (N, C, H, W) whatever the layout."""

    def __init__(self, container: Module, layout: str, graph: Graph, name: str) -> None:
        super().__init__(container, layout)
        self._graph, self._name = graph, name

    def _run(self, name: str, module: Module, x: int) -> int:
        return module.lower(self._graph, x, self._path(name), self.layout)

    def _shape(self, x: int) -> Shape:
        shape: Any = tuple(self._graph.shape(x))
        if self.layout == "NHWC" and len(shape) == 4:
            return tuple(shape[axis] for axis in (0, 2, 3, 1))
        return shape

    def _binary(self, a: int, b: int, kind: str) -> int:
        return self._graph.binary(a, b, kind, name=self._path(kind))

    def _activate(self, x: int, activation: Activation) -> int:
        return self._graph.activation(x, activation, name=self._path("activation"))

    def _concat(self, values: Sequence[int], axis: int) -> int:
        images = len(self._graph.shape(values[0])) == 4
        return self._graph.concat(list(values), 1 if images else axis, name=self._path("concat"))

    def _path(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name
