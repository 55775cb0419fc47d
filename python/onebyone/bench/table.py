"""The report on the terminal: a table of layers or networks, what they amount to by kind, the worst
of them, and the memory of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .layers import KINDS
from .results import LayerResult, Run, geomean, is_ours

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["by_kind", "memory_rows", "milliseconds", "print_run", "what"]

_WORST = 5


def print_run(console: Console, run: Run) -> None:
    """Everything there is to say about a run, one part per number of threads."""
    for title, value in run.machine.items():
        console.print(f"{title}: {value}", soft_wrap=True)
    for threads in run.threads():
        _print_part(console, run, [r for r in run.layers if r.threads == threads])


def _print_part(console: Console, run: Run, results: Sequence[LayerResult]) -> None:
    threads = results[0].threads
    peaks = [r.peak for r in results]
    console.print(
        f"\n{threads} thread{'s' * (threads > 1)}: FMA peak {max(peaks) / 1e9:.1f} GFLOP/s "
        f"(least {min(peaks) / 1e9:.1f}), memory {run.bandwidth[str(threads)] / 1e9:.1f} GB/s",
        style="bold",
        soft_wrap=True,
    )
    _print_layers(console, run.engine_names(), results)
    _print_kinds(console, results)
    _print_memory(console, run.engine_names(), results)
    compared = sorted((r for r in results if r.ratio()), key=lambda r: r.ratio())
    if compared:
        console.print("Worst:")
    for r in compared[:_WORST]:
        (mine, _), (theirs, _) = r.fastest(ours=True), r.fastest(ours=False)
        note = r.engines[mine].note
        console.print(f"  {r.ratio():.2f} x  {r.layer}  {mine} ({note}) / {theirs}", soft_wrap=True)
    for r in results:
        for engine, why in r.refused.items():
            console.print(f"Not counted: {engine} on {r.layer}: {why}", soft_wrap=True)


def _print_layers(console: Console, engines: Sequence[str], results: Sequence[LayerResult]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(what(results), no_wrap=True)
    for name in engines:
        table.add_column(name.replace(" ", "\n") + "\nms", justify="right")
    for title in ("of peak", "ratio", "best\nratio", "error"):
        table.add_column(title, justify="right")
    for r in results:
        mine, ratio = r.fastest(ours=True), r.ratio()
        firsts = {pair[0] for ours in (True, False) if (pair := r.fastest(ours=ours))}
        cells: list[Text | str] = [r.layer]
        for name in engines:
            text = milliseconds(r.engines[name].median) if name in r.engines else "-"
            cells.append(Text(text, style="bold" if name in firsts else ""))
        cells.append(f"{r.share(mine[0]):.0%}" if mine else "-")
        style = "" if ratio is None else "green" if ratio >= 1 else "red"
        for figure in ("median", "best"):
            value = r.ratio(figure)
            cells.append(Text("-" if value is None else f"{value:.2f}", style=style))
        errors = [m.error for name, m in r.engines.items() if is_ours(name)]
        cells.append(f"{max(errors):.0e}" if errors else "-")
        table.add_row(*cells)
    console.print(table)


def _print_kinds(console: Console, results: Sequence[LayerResult]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("kind")
    for title in ("count", "ratio, geomean", "least", "of peak, geomean"):
        table.add_column(title, justify="right")
    for row in by_kind(results):
        table.add_row(*row)
    console.print(table)
    console.print(
        "Ratio: the best peer's median time through ours, the better layout; above 1 we are "
        "faster. Shares of the FMA peak count the direct method's arithmetic."
    )


def _print_memory(console: Console, engines: Sequence[str], results: Sequence[LayerResult]) -> None:
    from rich import box
    from rich.table import Table

    rows = memory_rows(engines, results)
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("network")
    for name in engines:
        table.add_column(name.replace(" ", "\n") + "\nMB", justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(
        "Memory: how far an engine's process grew for the network, at most while it ran; weights, "
        "activations and workspace."
    )


def memory_rows(engines: Sequence[str], results: Sequence[LayerResult]) -> list[list[str]]:
    """A network and each engine's memory in MB; no rows where none was measured."""
    rows = []
    for r in results:
        sizes = [r.engines[name].memory if name in r.engines else None for name in engines]
        if any(size is not None for size in sizes):
            rows.append([r.layer, *("-" if s is None else f"{s / 2**20:.0f}" for s in sizes)])
    return rows


def what(results: Sequence[LayerResult]) -> str:
    """ "network" or "layer", whichever was measured."""
    return "network" if all(r.kind == "network" for r in results) else "layer"


def by_kind(results: Sequence[LayerResult]) -> list[tuple[str, str, str, str, str]]:
    """(kind, count, geomean of the ratios, least ratio, geomean of our shares of the peak)."""
    rows = []
    several = len({r.kind for r in results}) > 1
    for kind in (*KINDS, "all") if several else KINDS:
        chosen = [r for r in results if kind in (r.kind, "all")]
        if not chosen:
            continue
        ratios = [ratio for r in chosen if (ratio := r.ratio())]
        shares = [r.share(mine[0]) for r in chosen if (mine := r.fastest(ours=True))]
        rows.append(
            (
                kind,
                str(len(chosen)),
                f"{geomean(ratios):.2f}" if ratios else "-",
                f"{min(ratios):.2f}" if ratios else "-",
                f"{geomean(shares):.0%}" if shares else "-",
            )
        )
    return rows


def milliseconds(seconds: float) -> str:
    """Three digits at least."""
    ms = seconds * 1e3
    return f"{ms:.1f}" if ms >= 100 else f"{ms:.2f}" if ms >= 10 else f"{ms:.3f}"
