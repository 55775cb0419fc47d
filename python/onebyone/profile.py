"""The table of a profiled network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Row", "table"]

_TITLES = ("operation", "kind", "output", "time", "share", "GFLOP/s", "how")
_NUMBERS = range(3, 6)
_NAME = 40
"""Characters of a name that are shown: exporters join whole paths into one."""


class Row(NamedTuple):
    """What the core tells of one operation."""

    name: str
    kind: str
    output: str
    plan: str
    seconds: float
    multiply_adds: int


def table(rows: Iterable[Sequence[object]]) -> str:
    """Return the operations as text, with a line of totals; a multiply-add counts as two FLOPs."""
    operations = [Row(*row) for row in rows]  # type: ignore[arg-type]
    total = sum(row.seconds for row in operations)
    work = sum(row.multiply_adds for row in operations)
    lines = [_cells(row, total) for row in (*operations, Row("total", "", "", "", total, work))]
    widths = [max(map(len, column)) for column in zip(_TITLES, *lines, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    body = [_line(line, widths) for line in lines]
    return "\n".join([_line(_TITLES, widths), rule, *body[:-1], rule, body[-1]])


def _cells(row: Row, total: float) -> tuple[str, ...]:
    name = row.name if len(row.name) <= _NAME else "…" + row.name[1 - _NAME :]
    share = f"{row.seconds / total:.1%}" if total else ""
    rate = 2 * row.multiply_adds / row.seconds / 1e9 if row.seconds else 0
    return (
        name,
        row.kind,
        row.output,
        f"{row.seconds * 1e3:,.3f} ms",
        share,
        f"{rate:,.1f}" if rate else "",
        row.plan,
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.rjust(width) if i in _NUMBERS else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
