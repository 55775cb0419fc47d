"""The table of a profiled network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["table"]

_TITLES = ("operation", "time", "share", "GFLOP/s", "algorithm")


def table(rows: Iterable[tuple[str, float, int, str]]) -> str:
    """Return (operation, seconds, FLOPs, algorithm) as text, with a line of totals."""
    rows = list(rows)
    total = sum(seconds for _, seconds, _, _ in rows)
    work = sum(flops for _, _, flops, _ in rows)
    lines = [_cells(*row, total) for row in rows]
    lines.append(_cells("total", total, work, "", total))
    widths = [max(map(len, column)) for column in zip(_TITLES, *lines, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    body = [_line(line, widths) for line in lines]
    return "\n".join([_line(_TITLES, widths), rule, *body[:-1], rule, body[-1]])


def _cells(name: str, seconds: float, flops: int, algorithm: str, total: float) -> tuple[str, ...]:
    share = f"{seconds / total:.1%}" if total else ""
    rate = f"{flops / seconds / 1e9:,.1f}" if flops and seconds else ""
    return name, f"{seconds * 1e3:,.3f} ms", share, rate, algorithm


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, algorithm = cells
    aligned = [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
    return "  ".join([name.ljust(widths[0]), *aligned, algorithm]).rstrip()
