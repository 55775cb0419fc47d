"""Layers that do nothing at inference; they keep a network's numbering as it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import arguments
from .module import Module, Shape

if TYPE_CHECKING:
    from .._core import Array, Graph

__all__ = ["Dropout", "Identity"]


class Identity(Module):
    """The input itself, not a copy."""

    def forward(self, x: Array, layout: str) -> Array:
        return x

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        return tuple(input_shape)

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        return x


class Dropout(Identity):
    """The identity: dropout acts in training alone. Srivastava et al., JMLR 15 (2014).

    ``p`` is the share that training drops. Raises ValueError unless it is from 0 to 1, TypeError if
    it is no number.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = arguments.real(p, "Dropout: p")
        if not 0 <= self.p <= 1:
            raise ValueError(f"Dropout: p must be from 0 to 1, not {p!r}")

    def extra_repr(self) -> str:
        return f"p={self.p}"
