"""The table of a network's layers, as Keras prints it, with the multiply-adds beside it."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .arguments import check_layout

if TYPE_CHECKING:
    from .module import Module, Shape

__all__ = ["summary"]

_TITLES = ("Layer (type)", "Output shape", "Param #", "Multiply-adds")


class _Row(NamedTuple):
    layer: str
    shape: Shape
    parameters: int | None
    multiply_adds: int


def summary(module: Module, input_shape: Iterable[int | None], layout: str) -> str:
    """Return the text that :meth:`onebyone.nn.Module.summary` documents."""
    check_layout(layout, "summary")
    shape, batch = _with_batch(input_shape, layout)
    rows: list[_Row] = []
    _collect(module, "", shape, layout, rows, set())

    trainable = sum(array.size for array in module.parameters())
    fixed = sum(array.size for _, array in module.named_buffers())
    cells = [
        (
            row.layer,
            _shape_text(row.shape, batch),
            "shared" if row.parameters is None else f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_TITLES, *cells, strict=True)]
    heavy, light = ("=" * (sum(widths) + 6), "-" * (sum(widths) + 6))
    unit = "per image" if batch is None else f"for a batch of {batch}"
    return "\n".join(
        [
            _line(_TITLES, widths),
            heavy,
            *(_line(row, widths) for row in cells),
            light if cells else heavy,
            f"Input shape: {_shape_text(shape, batch)}, layout {layout}",
            f"Multiply-adds: {sum(row.multiply_adds for row in rows):,} {unit}",
            heavy,
            f"Total params: {trainable + fixed:,}",
            f"Trainable params: {trainable:,}",
            f"Non-trainable params: {fixed:,}",
        ]
    )


def _with_batch(input_shape: Iterable[Any], layout: str) -> tuple[Shape, int | None]:
    """Return the shape, with a batch of 1 where none was given, and the batch that was given."""
    try:
        sizes = tuple(input_shape)
    except TypeError:
        raise TypeError(f"summary: input_shape must be a tuple, not {input_shape!r}") from None
    if len(sizes) not in (1, 2, 3, 4):
        raise ValueError(
            f"summary: input_shape must be one image {layout[1:]}, a batch {layout}, "
            f"(features,) or (batch, features), not {sizes}"
        )
    first, rest = (None, sizes) if len(sizes) in (1, 3) else (sizes[0], sizes[1:])
    try:
        batch = None if first is None else operator.index(first)
        inner = tuple(operator.index(size) for size in rest)
    except TypeError:
        raise TypeError(f"summary: input_shape must hold integers, not {sizes}") from None
    if min(inner) < 1 or (batch is not None and batch < 1):
        raise ValueError(f"summary: input_shape must be positive, not {sizes}")
    return (1 if batch is None else batch, *inner), batch


def _collect(
    module: Module, name: str, shape: Shape, layout: str, rows: list[_Row], seen: set[int]
) -> Shape:
    def visit(child_name: str, child: Module, child_shape: Shape) -> Shape:
        path = f"{name}.{child_name}" if name else child_name
        return _collect(child, path, child_shape, layout, rows, seen)

    title = f"{name or type(module).__name__.lower()} ({type(module).__name__})"
    repeated = id(module) in seen
    seen.add(id(module))
    if trace := getattr(module, "trace", None):
        output = trace(shape, layout, visit)
        own, multiply_adds = _own_size(module), 0
        if not own:
            return output
    else:
        try:
            output = module.output_shape(shape, layout)
            multiply_adds = module.multiply_adds(shape, layout)
        except ValueError as error:
            raise ValueError(f"summary: layer {title}: {error}") from None
        own = sum(map(_own_size, module.modules()))
    rows.append(_Row(title, output, None if repeated and own else own, multiply_adds))
    return output


def _own_size(module: Module) -> int:
    arrays = (*module._parameters.values(), *module._buffers.values())
    return sum(array.size for array in arrays if array is not None)


def _shape_text(shape: Shape, batch: int | None) -> str:
    return str((None, *shape[1:]) if batch is None else shape)


def _line(cells: Iterable[str], widths: list[int]) -> str:
    layer, shape, *numbers = (
        f"{text:<{width}}" if i < 2 else f"{text:>{width}}"
        for i, (text, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([layer, shape, *numbers]).rstrip()
