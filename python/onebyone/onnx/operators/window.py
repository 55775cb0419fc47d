"""Windows that slide over images: kernel, strides, dilations and the forms of padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..errors import Unsupported
from ..node import Node

__all__ = ["Edges", "Window", "as_image", "as_sequence", "edges", "halves"]

Edges: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class Window(NamedTuple):
    """The attributes of a convolution or pooling, of one or two dimensions."""

    kernel: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    dilations: tuple[int, ...] | None
    pads: tuple[int, ...] | None
    auto_pad: str

    @classmethod
    def of(cls, node: Node, dilations: bool = True) -> Window:
        """Read the attributes. Raises Unsupported for three dimensions and more."""
        window = cls(
            node.ints("kernel_shape"),
            node.ints("strides"),
            node.ints("dilations") if dilations else None,
            node.ints("pads"),
            node.choice("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
        )
        lengths = {
            len(a) for a in (window.kernel, window.strides, window.dilations) if a is not None
        }
        if window.pads is not None and (window.auto_pad == "NOTSET" or any(window.pads)):
            lengths.add(len(window.pads) / 2)  # type: ignore[arg-type]
        if len(lengths) > 1:
            raise ValueError(f"{node}: kernel_shape, strides, dilations, pads differ in length")
        if lengths and not lengths <= {1, 2}:
            raise Unsupported(f"{lengths.pop()} spatial dimensions (1 and 2 are)")
        if window.pads and min(window.pads) < 0:
            raise Unsupported(f"negative pads {window.pads}")
        if min(window.strides or (1,)) < 1 or min(window.dilations or (1,)) < 1:
            raise ValueError(f"{node}: strides and dilations must be positive")
        return window

    def check_rank(self, spatial: int) -> None:
        """Raise ValueError unless the input has as many spatial dimensions as the attributes."""
        for values in (self.kernel, self.strides, self.dilations):
            if values is not None and len(values) != spatial:
                raise ValueError(f"{len(values)} spatial dimensions, the input has {spatial}")
        if spatial not in (1, 2):
            raise ValueError(f"{spatial} spatial dimensions are not supported, 1 and 2 are")

    def pair(self, values: Sequence[int] | None) -> tuple[int, int]:
        """Return sizes or steps for rows and columns; a sequence is an image of one row."""
        if values is None:
            return 1, 1
        return (1, values[0]) if len(values) == 1 else (values[0], values[1])

    def padding(self, size: Sequence[int], kernel: tuple[int, int]) -> Edges:
        """Return ((top, bottom), (left, right)) for an image of ``size``."""
        if self.auto_pad == "VALID" or (self.auto_pad == "NOTSET" and self.pads is None):
            return (0, 0), (0, 0)
        if self.auto_pad == "NOTSET":
            return edges(self.pads)
        strides, dilations = self.pair(self.strides), self.pair(self.dilations)
        result = []
        for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            result.append(halves(total, upper=self.auto_pad == "SAME_UPPER"))
        return result[0], result[1]


def edges(pads: Sequence[int]) -> Edges:
    """Return ONNX's pads, all beginnings before all ends, as ((top, bottom), (left, right))."""
    if len(pads) == 2:
        return (0, 0), (pads[0], pads[1])
    return (pads[0], pads[2]), (pads[1], pads[3])


def halves(total: int, upper: bool) -> tuple[int, int]:
    """Return ``total`` in two halves, an odd one with the second if ``upper``, else the first."""
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def as_image(g, x):
    """Return (N, C, L) as (N, C, 1, L), and (N, C, H, W) as it is."""
    shape = g.shape(x)
    return g.reshape(x, (*shape[:2], 1, shape[2])) if len(shape) == 3 else x


def as_sequence(g, y, rank: int):
    """Undo :func:`as_image` for an input that had ``rank``."""
    shape = g.shape(y)
    return g.reshape(y, (*shape[:2], shape[3])) if rank == 3 else y
