"""Pooling over windows, in one and two dimensions, and over whole images."""

from __future__ import annotations

from ..errors import Unsupported
from ..node import Node
from .registry import Emitter, operator
from .window import Window, as_image, as_sequence

__all__: list[str] = []


@operator("MaxPool")
def max_pool(node: Node) -> Emitter:
    """storage_order matters to the indices only, which are not supported."""
    window, ceil_mode = Window.of(node), bool(node.int("ceil_mode", 0))
    node.ignore("storage_order")
    node.only_first_output()
    _check_kernel(node, window)

    def emit(g, x):
        def pool(image, kernel, stride, padding):
            dilation = window.pair(window.dilations)
            return g.max_pool2d(image, kernel, stride, padding, dilation, ceil_mode)

        return _pooled(g, x, window, pool)

    return emit


@operator("AveragePool")
def average_pool(node: Node) -> Emitter:
    window, ceil_mode = Window.of(node), bool(node.int("ceil_mode", 0))
    include = bool(node.int("count_include_pad", 0))
    _check_kernel(node, window)
    if max(window.dilations or (1,)) > 1:
        raise Unsupported(f"dilations {window.dilations}")

    def emit(g, x):
        def pool(image, kernel, stride, padding):
            return g.avg_pool2d(image, kernel, stride, padding, ceil_mode, include)

        return _pooled(g, x, window, pool)

    return emit


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Emitter:
    kind = "mean" if node.op == "GlobalAveragePool" else "max"

    def emit(g, x):
        return g.reduce(x, list(range(2, g.rank(x))), kind, True)

    return emit


def _check_kernel(node: Node, window: Window) -> None:
    if window.kernel is None:
        raise ValueError(f"{node}: attribute 'kernel_shape' is missing")


def _pooled(g, x, window: Window, pool):
    rank = g.rank(x)
    window.check_rank(rank - 2)
    image, kernel = as_image(g, x), window.pair(window.kernel)
    padding = window.padding(g.shape(image)[2:], kernel)
    return as_sequence(g, pool(image, kernel, window.pair(window.strides), padding), rank)
