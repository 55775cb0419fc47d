"""The table of operators: what reads a node at load and emits it into a graph later.

An operator is a function of a :class:`Node`. It reads and checks the attributes, raises Unsupported
for what cannot be run, and returns an emitter: a function of the graph and the node's inputs that
returns the output or a tuple of outputs. An input that is left out is None. The inputs at the
positions ``constants`` must be known before the network runs and arrive as NumPy arrays; the others
are values of the graph, but those at ``either``, which are arrays if they are known.

An operator that ``folds`` calls only methods that NumpyGraph has: the same emitter computes it
there if all of its inputs are known. One that is ``known_only`` is computed there or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeAlias

from ..node import Node

__all__ = ["OPERATORS", "Emitter", "Operator", "operator"]

Emitter: TypeAlias = Callable[..., Any]


class Operator(NamedTuple):
    read: Callable[[Node], Emitter]
    constants: frozenset[int]
    either: frozenset[int]
    folds: bool
    known_only: bool


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str,
    constants: Collection[int] = (),
    either: Collection[int] = (),
    folds: bool = False,
    known_only: bool = False,
) -> Callable[[Callable[[Node], Emitter]], Callable[[Node], Emitter]]:
    """Register a function for the operators of those names."""

    def register(read: Callable[[Node], Emitter]) -> Callable[[Node], Emitter]:
        entry = Operator(
            read, frozenset(constants), frozenset(either), folds or known_only, known_only
        )
        for name in names:
            OPERATORS[name] = entry
        return read

    return register
