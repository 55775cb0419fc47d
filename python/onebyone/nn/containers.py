"""Container, a module made of others, and the three that connect them: in a row, beside, around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import arguments
from .flow import ArrayFlow, Flow, GraphFlow, ShapeFlow, Value
from .module import Module, Shape, Visit

if TYPE_CHECKING:
    from .._core import Activation, Array, Graph

__all__ = ["Concat", "Container", "Residual", "Sequential"]


class Container(Module):
    """A module whose output comes from its submodules alone.

    It implements :meth:`connect`; how to compute, which shape comes out, how much is multiplied and
    how it is compiled follow from that::

        class Gate(nn.Container):
            def __init__(self, channels):
                super().__init__()
                self.body = nn.Conv1x1(channels, channels)
                self.relu = nn.ReLU()

            def connect(self, x, run):
                return run(run.add(run(x, "body"), x), "relu")
    """

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        """Return the output for ``x``.

        ``run(x, "a", "b")`` sends a value through submodules, ``run.add(a, b)``,
        ``run.scale(x, factors)`` and ``run.concat(values)`` join values; see
        :class:`onebyone.nn.flow.Flow`. Values are arrays, shapes or a graph's ids.
        """
        raise NotImplementedError(f"{type(self).__name__} has no connect(x, run)")

    def forward(self, x: Array, layout: str) -> Array:
        return self.connect(x, ArrayFlow(self, layout))

    def trace(self, input_shape: Shape, layout: str, visit: Visit) -> Shape:
        """Send a shape through the submodules as :meth:`forward` sends an array.

        ``visit(name, submodule, shape)`` returns the submodule's output shape.
        """
        return self.connect(tuple(input_shape), ShapeFlow(self, layout, visit))

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        return self.trace(input_shape, layout, lambda _, m, shape: m.output_shape(shape, layout))

    def multiply_adds(self, input_shape: Shape, layout: str = "NCHW") -> int:
        total = 0

        def visit(_: str, module: Module, shape: Shape) -> Shape:
            nonlocal total
            total += module.multiply_adds(shape, layout)
            return module.output_shape(shape, layout)

        self.trace(input_shape, layout, visit)
        return total

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        return self.connect(x, GraphFlow(self, layout, graph, name))

    def _register_named(self, modules: tuple[Module | Mapping[str, Module], ...]) -> None:
        first = modules[0] if len(modules) == 1 else None
        named: Mapping[str, Any] = (
            first if isinstance(first, Mapping) else {str(i): m for i, m in enumerate(modules)}
        )
        for name, module in named.items():
            self.register_module(name, module)


class Sequential(Container):
    """Modules that run one after the other: ``Sequential(a, b)`` or ``Sequential({"name": a})``.

    Submodules are named "0", "1", ... or by the mapping's keys. Indexing, slicing, iteration and
    ``append`` work as on a list.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        self._register_named(modules)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        return run(x, *self._modules)

    def append(self, module: Module) -> Sequential:
        """Add a module at the end, named by its position; return self."""
        self.register_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        return list(self._modules.values())[index]


class Concat(Container):
    """Branches that run on the same input and are joined along the channels, in order.

    ``Concat(a, b)`` or ``Concat({"name": a})``; submodules are named as in :class:`Sequential`.
    Input (N, C, H, W), output (N, sum of the branches' channels, H', W'), or the NHWC twins; of
    vectors (N, F) the features are joined. Raises ValueError if there is no branch, and when called
    if the branches' outputs differ in height or width.
    """

    def __init__(self, *branches: Module | Mapping[str, Module]) -> None:
        super().__init__()
        self._register_named(branches)
        if not self._modules:
            raise ValueError(f"{type(self).__name__}: expects at least one branch")

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        return run.concat([run(x, name) for name in self._modules])


class Residual(Container):
    """``activation(body(x) + shortcut(x))``: a residual connection.

    He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385. What the body must
    learn is the difference from its input, and the gradient, like the signal, has a way past it.

    Parameters
    ----------
    body
        The module to go around.
    shortcut
        None for the identity, which asks for a body that keeps the shape; otherwise a module that
        gives the body's output shape: a 1x1 convolution, ``Conv1x1(C, K, stride=...)``, matches
        channels and size for C * K weights.
    activation
        As in :func:`onebyone.conv2d`, applied to the sum.

    Raises
    ------
    ValueError
        When called, if the two shapes differ.
    """

    def __init__(
        self, body: Module, shortcut: Module | None = None, activation: Activation = None
    ) -> None:
        super().__init__()
        self.register_module("body", body)
        if shortcut is not None:
            self.register_module("shortcut", shortcut)
        self.activation = arguments.activation(activation, type(self).__name__)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        shortcut = run(x, "shortcut") if "shortcut" in self._modules else x
        return run.activate(run.add(run(x, "body"), shortcut), self.activation)

    def extra_repr(self) -> str:
        return "" if self.activation is None else f"activation={self.activation!r}"
