"""A run as a Markdown file: how it was made, the table by kind, that of layers or networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import LayerResult, Run
from .table import by_kind, memory_rows, milliseconds, what

__all__ = ["write_markdown"]


def write_markdown(run: Run, path: str) -> None:
    """Raises OSError."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(_lines(run)) + "\n")


def _lines(run: Run) -> Iterable[str]:
    yield f"# Measured {what(run.layers)}s"
    yield ""
    for title, value in run.machine.items():
        yield f"- {title}: {value}"
    yield f"- command: `{run.command}`"
    yield "- " + ", ".join(f"{name}: {value}" for name, value in run.settings.items())
    yield ""
    yield (
        "Median milliseconds a call, the fastest of each side in bold. Ratio: the best peer's time "
        "through ours, the better layout, by medians and by best calls; above 1 we are "
        "faster. Share: of the FMA peak measured in the same run, counting the direct method's "
        "arithmetic. Error: our largest, in relation to the largest output."
    )
    for threads in run.threads():
        yield from _part(run, [r for r in run.layers if r.threads == threads])


def _part(run: Run, results: Sequence[LayerResult]) -> Iterable[str]:
    threads, peaks = results[0].threads, [r.peak / 1e9 for r in results]
    yield ""
    yield f"## {threads} thread{'s' * (threads > 1)}"
    yield ""
    yield (
        f"FMA peak {max(peaks):.1f} GFLOP/s (least {min(peaks):.1f}), memory read at "
        f"{run.bandwidth[str(threads)] / 1e9:.1f} GB/s."
    )
    yield ""
    yield from _table(
        ("kind", "count", "ratio, geomean", "least", "of peak, geomean"), by_kind(results)
    )
    yield ""
    engines = run.engine_names()
    yield from _table(
        (what(results), *engines, "of peak", "ratio", "best ratio", "error", "note"),
        [_row(r, engines) for r in results],
    )
    memory = memory_rows(engines, results)
    if memory:
        yield ""
        yield (
            "Memory in MB: how far an engine's process grew for the network, at most while it ran; "
            "weights, activations and workspace."
        )
        yield ""
        yield from _table(("network", *engines), memory)
    refused = [(e, r.layer, why) for r in results for e, why in r.refused.items()]
    if refused:
        yield ""
    for engine, layer, why in refused:
        yield f"- {engine} does not count on {layer}: {why}"


def _row(r: LayerResult, engines: Sequence[str]) -> list[str]:
    firsts = {pair[0] for ours in (True, False) if (pair := r.fastest(ours=ours))}
    cells = [r.layer]
    for name in engines:
        text = milliseconds(r.engines[name].median) if name in r.engines else "-"
        cells.append(f"**{text}**" if name in firsts else text)
    mine = r.fastest(ours=True)
    if mine is None:
        return [*cells, "-", "-", "-", "-", "-"]
    best = r.engines[mine[0]]
    ratios = [f"{v:.2f}" if (v := r.ratio(f)) else "-" for f in ("median", "best")]
    note = f"{mine[0].removeprefix('ours').strip()} {best.note}".strip()
    return [*cells, f"{r.share(mine[0]):.0%}", *ratios, f"{best.error:.0e}", note]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
