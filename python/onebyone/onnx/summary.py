"""The table of an ONNX model's operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from .analysis import Step
    from .model import Graph

__all__ = ["summary"]

_TITLES = ("Operation (operator)", "Output shape", "Param #", "Multiply-adds")


def summary(
    graph: Graph,
    steps: Sequence[Step],
    static: Mapping[str, np.ndarray],
    input_shapes: Sequence[Sequence[int]] | None,
) -> str:
    """Return the text that :meth:`onebyone.onnx.Graph.summary` documents."""
    shapes = _shapes(graph) if input_shapes is None else [tuple(s) for s in input_shapes]
    measured = _measured(graph, shapes) if shapes is not None else {}
    counted: set[str] = set()
    rows, total, products = [], 0, 0
    for step in steps:
        if step.known:
            continue
        own = {name for name in step.inputs if name in static} - counted
        counted |= own
        parameters = sum(static[name].size for name in own)
        shape, multiply_adds = measured.get(id(step), (None, 0))
        total, products = total + parameters, products + multiply_adds
        rows.append(
            (
                f"{step.node.name} ({step.node.op})",
                "?" if shape is None else str(shape),
                f"{parameters:,}",
                "?" if shape is None else f"{multiply_adds:,}",
            )
        )
    return _table(graph, rows, shapes, total, products)


def _shapes(graph: Graph) -> list[tuple[int, ...]] | None:
    """Return the inputs' shapes with a batch of 1, or None if other sizes are free."""
    result = []
    for value in graph.inputs:
        if value.shape is None:
            return None
        shape = [1 if i == 0 and not isinstance(n, int) else n for i, n in enumerate(value.shape)]
        if not all(isinstance(n, int) for n in shape):
            return None
        result.append(tuple(shape))
    return result  # type: ignore[return-value]


def _measured(graph: Graph, shapes: Sequence[Sequence[int]]) -> dict[int, tuple[Any, int]]:
    """Return the first output's shape and the multiply-adds of each step, by identity."""
    core, found = _core.Graph(graph.dtype), {}

    def visit(step: Step, inputs: list[Any], results: list[Any]) -> None:
        if not step.known:
            shape = tuple(core.shape(results[0]))
            sizes = [
                v.shape if isinstance(v, np.ndarray) else v if v is None else tuple(core.shape(v))
                for v in inputs
            ]
            found[id(step)] = shape, _multiply_adds(step, shape, sizes)

    graph.lower(core, shapes, visit=visit)
    return found


def _multiply_adds(step: Step, shape: tuple[int, ...], inputs: list[Any]) -> int:
    """Count by the direct method, as :meth:`onebyone.nn.Module.summary`."""
    op = step.node.op
    if op == "Conv":
        return math.prod(shape) * math.prod(inputs[1][1:])
    if op == "ConvTranspose":
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if op == "MatMul":
        return math.prod(shape) * inputs[0][-1]
    if op == "Gemm":
        return math.prod(inputs[0]) * shape[-1]
    return 0


def _table(graph, rows, shapes, total: int, products: int) -> str:
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    heavy = "=" * (sum(widths) + 6)
    if shapes is None:
        sizes = ["Sizes of the inputs are free: shapes are shown for given ones"]
    else:
        sizes = [
            f"Input {value.name}: {shape}"
            for value, shape in zip(graph.inputs, shapes, strict=True)
        ] + [f"Multiply-adds: {products:,}"]
    lines = [_line(_TITLES, widths), heavy, *(_line(row, widths) for row in rows), heavy]
    return "\n".join([*lines, *sizes, f"Total params: {total:,}"])


def _line(cells, widths) -> str:
    first, *rest = cells
    padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *padded])
