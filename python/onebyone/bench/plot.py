"""A run as a picture: for each layer the peers' times in ours, and the share of the peak."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

from .layers import KINDS
from .results import LayerResult, Run, geomean, is_ours

__all__ = ["draw"]

_ROW = 0.19
"""Inches of a layer."""

_LEAST, _MOST = 0.1, 15.0
"""Ratios beyond are drawn at the edge."""

_MARKS = (("o", "#d1495b"), ("s", "#edae49"), ("^", "#00798c"), ("D", "#8f5aa8"), ("v", "#5b8c3a"))
_MARKS += (("P", "#30638e"), ("X", "#9c6644"))
_OURS, _FASTER, _SLOWER = "#003d5b", "#e9f5ec", "#fbecec"


def draw(run: Run, path: str) -> None:
    """Write a PNG. Raises OSError."""
    order = [(r.layer, r.kind) for kind in KINDS for r in run.layers if r.kind == kind]
    order = list(dict.fromkeys(order))
    threads = run.threads()
    height = _ROW * (len(order) + 1)
    figure = Figure(figsize=(3.2 + 6.4 * len(threads), height + 1.7), dpi=110)
    # Margins in inches: the space of the texts does not grow with the number of layers.
    figure.subplots_adjust(
        left=3.0 / figure.get_figwidth(),
        right=1 - 0.2 / figure.get_figwidth(),
        bottom=0.85 / figure.get_figheight(),
        top=1 - 0.85 / figure.get_figheight(),
        wspace=0.06,
    )
    axes = figure.subplots(
        1, 2 * len(threads), sharey=True, squeeze=False, width_ratios=[3, 2] * len(threads)
    )[0]
    peers = [name for name in run.engine_names() if not is_ours(name)]
    for i, count in enumerate(threads):
        results = {r.layer: r for r in run.layers if r.threads == count}
        rows = [results.get(layer) for layer, _ in order]
        title = f"{count} thread{'s' * (count > 1)}"
        _draw_ratios(axes[2 * i], rows, peers, title)
        _draw_shares(axes[2 * i + 1], rows)
    _label_rows(axes, order)
    handles, labels = axes[0].get_legend_handles_labels()
    shares = axes[1].get_legend_handles_labels()
    figure.legend(
        [*handles, *shares[0]],
        [*labels, *shares[1]],
        loc="lower center",
        ncols=len(labels) + len(shares[1]),
        frameon=False,
        fontsize=8,
    )
    cpu = run.machine["CPU"].partition(",")[0]
    figure.suptitle(
        f"{cpu}, {run.machine['onebyone'].split(', ')[1]}, {run.machine['date'][:10]}",
        fontsize=10,
        y=1 - 0.12 / figure.get_figheight(),
        va="top",
    )
    figure.savefig(path, format="png")


def _draw_ratios(
    axes: Axes, rows: Sequence[LayerResult | None], peers: Sequence[str], title: str
) -> None:
    ratios = [r for row in rows if row and (r := row.ratio())]
    mean = f": {geomean(ratios):.2f} x the best peer (geomean)" if ratios else ""
    axes.set_title(title + mean, fontsize=9)
    axes.set_xlabel("time / ours, the better layout", fontsize=8)
    axes.set_xscale("log")
    low, high = 0.8, 2.5
    for name, (marker, color) in zip(peers, _MARKS, strict=False):
        points = [
            (min(max(row.engines[name].median / mine[1], _LEAST), _MOST), y)
            for y, row in enumerate(rows)
            if row and name in row.engines and (mine := row.fastest(ours=True))
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.scatter(xs, ys, s=13, marker=marker, color=color, label=name, zorder=3, lw=0)
            low, high = min(low, *xs), max(high, *xs)
    low, high = low / 1.1, high * 1.1
    axes.set_xlim(low, high)
    axes.axvspan(low, 1, color=_SLOWER, zorder=0)
    axes.axvspan(1, high, color=_FASTER, zorder=0)
    axes.axvline(1, color=_OURS, lw=1.2, zorder=2)
    ticks = [t for t in (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if low <= t <= high]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_shares(axes: Axes, rows: Sequence[LayerResult | None]) -> None:
    axes.set_title("share of the FMA peak", fontsize=9)
    axes.set_xlabel("direct arithmetic / peak", fontsize=8)
    for ours, label in ((True, "ours"), (False, "best peer")):
        points = [
            (row.share(first[0]), y)
            for y, row in enumerate(rows)
            if row and (first := row.fastest(ours=ours))
        ]
        if not points:
            continue
        xs, ys = zip(*points, strict=True)
        if ours:
            axes.barh(ys, xs, height=0.62, color=_OURS, alpha=0.75, label=label, zorder=2)
        else:
            axes.scatter(xs, ys, s=50, marker="|", color="#d1495b", lw=1.8, label=label, zorder=3)
    axes.axvline(1, color="black", lw=0.8, zorder=1)
    axes.set_xlim(0, max(1.05, axes.get_xlim()[1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _label_rows(axes: Sequence[Axes], order: Sequence[tuple[str, str]]) -> None:
    first = axes[0]
    first.set_yticks(range(len(order)), [layer for layer, _ in order], fontsize=7)
    first.set_ylim(len(order) - 0.4, -0.6)
    kinds = [kind for _, kind in order]
    for one in axes:
        one.tick_params(axis="x", labelsize=8)
        one.tick_params(axis="y", length=0)
        one.grid(axis="x", color="#cccccc", lw=0.5, zorder=1)
        for side in ("top", "right", "left"):
            one.spines[side].set_visible(False)
        for y in range(1, len(kinds)):
            if kinds[y] != kinds[y - 1]:
                one.axhline(y - 0.5, color="#888888", lw=0.7, zorder=1)
    for kind in dict.fromkeys(kinds):
        first.annotate(
            kind,
            (0, kinds.index(kind) - 0.42),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            color="#555555",
            va="top",
            style="italic",
            zorder=4,
        )
