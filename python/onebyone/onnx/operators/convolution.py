"""Convolution and its transpose, in one and two dimensions. A sequence is an image of one row."""

from __future__ import annotations

import numpy as np

from ..node import Node
from .registry import Emitter, operator
from .window import Window, as_image, as_sequence, edges, halves

__all__: list[str] = []


@operator("Conv", constants={1, 2})
def convolution(node: Node) -> Emitter:
    window, groups = Window.of(node), node.int("group", 1)

    def emit(g, x, weight, bias=None):
        rank = g.rank(x)
        weight = _filters(window, weight, rank)
        x = as_image(g, x)
        y = g.conv2d(
            x,
            weight,
            bias,
            stride=window.pair(window.strides),
            padding=window.padding(g.shape(x)[2:], weight.shape[2:]),
            dilation=window.pair(window.dilations),
            groups=groups,
        )
        return as_sequence(g, y, rank)

    return emit


@operator("ConvTranspose", constants={1, 2})
def transposed_convolution(node: Node) -> Emitter:
    window, groups = Window.of(node), node.int("group", 1)
    output_padding, output_shape = node.ints("output_padding"), node.ints("output_shape")

    def emit(g, x, weight, bias=None):
        rank = g.rank(x)
        weight = _filters(window, weight, rank)
        x = as_image(g, x)
        stride, dilation = window.pair(window.strides), window.pair(window.dilations)
        extra = _sides(output_padding or (0,) * (rank - 2), 0)
        padding, extra = _transposed_padding(
            window, output_shape, g.shape(x)[2:], weight.shape[2:], stride, dilation, extra
        )
        y = g.conv_transpose2d(
            x,
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=extra,
            dilation=dilation,
            groups=groups,
        )
        return as_sequence(g, y, rank)

    return emit


def _filters(window: Window, weight: np.ndarray, rank: int) -> np.ndarray:
    window.check_rank(rank - 2)
    if weight.ndim != rank:
        raise ValueError(f"weight of {weight.ndim} dimensions, the input has {rank}")
    if window.kernel is not None and window.kernel != weight.shape[2:]:
        raise ValueError(f"kernel_shape {window.kernel}, the weight has shape {weight.shape}")
    return weight if rank == 4 else weight[:, :, None]


def _sides(values, single: int) -> tuple[int, int]:
    return (single, values[0]) if len(values) == 1 else tuple(values)


def _transposed_padding(window, output_shape, size, kernel, stride, dilation, extra):
    """Return padding and output padding that give the output size the attributes ask for.

    The operator's description: output = stride * (size - 1) + extra + dilation * (kernel - 1) + 1 -
    total padding, and the total is split with an odd one at the end for SAME_UPPER, else at the
    beginning.
    """
    if output_shape is None and window.auto_pad in ("NOTSET", "VALID"):
        use_pads = window.auto_pad == "NOTSET" and window.pads is not None
        return (edges(window.pads) if use_pads else ((0, 0), (0, 0))), extra
    if output_shape is None:
        wanted = tuple(n * s for n, s in zip(size, stride, strict=True))
    else:
        # Some exporters give the batch and the channels, too.
        wanted = _sides(tuple(output_shape)[-2:] if len(output_shape) > 2 else output_shape, 1)
    padding, added = [], []
    for n, k, s, d, e, out in zip(size, kernel, stride, dilation, extra, wanted, strict=True):
        total = s * (n - 1) + e + d * (k - 1) + 1 - out
        padding.append(halves(max(total, 0), upper=window.auto_pad == "SAME_UPPER"))
        added.append(e + max(-total, 0))
    return tuple(padding), tuple(added)
