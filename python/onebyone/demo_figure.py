"""The demo's picture: the photograph beside its feature maps before and after the projection."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure, SubFigure

__all__ = ["draw"]

_GRID = 4
_INK, _QUIET, _ACCENT, _PALE = "#1b1f24", "#6a737d", "#c8553d", "#c9ced6"


def draw(
    path: str,
    photograph: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    multiply_adds: dict[str, int],
) -> None:
    """Write the picture to ``path`` as PNG.

    ``photograph`` is (H, W, 3) in [0, 1]; ``before`` and ``after`` are feature maps (K, H, W), of
    which the 16 strongest are shown; ``multiply_adds`` is drawn as bars. Raises OSError if the file
    cannot be written.
    """
    figure = Figure(figsize=(17, 6.9), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subfigures(1, 3, squeeze=False, width_ratios=[1, 1.18, 1.18])[0]
    _photograph_and_bars(left, photograph, multiply_adds)
    maps, reduced = before.shape[0], after.shape[0]
    _maps(
        middle,
        before,
        f"3×3 convolution: {maps} maps",
        "the 16 strongest distinct ones, each scaled to its own range",
    )
    _maps(
        right,
        after,
        f"1×1 projection: {maps} → {reduced} maps",
        "each mixes six of the maps before: adds four, subtracts two",
    )
    figure.savefig(path, format="png")


def _photograph_and_bars(
    panel: SubFigure, photograph: np.ndarray, multiply_adds: dict[str, int]
) -> None:
    height, width, _ = photograph.shape
    _titles(panel, "Photograph", f"{width} × {height} pixels, 3 channels")
    picture = panel.add_axes((0.07, 0.29, 0.86, 0.58))
    picture.imshow(photograph, interpolation="lanczos")
    picture.set_anchor("NW")
    _bare(picture)

    bars = panel.add_axes((0.07, 0.035, 0.86, 0.175))
    labels, values = list(multiply_adds), np.array(list(multiply_adds.values())) / 1e9
    bars.barh(range(len(values)), values, color=[_PALE, _ACCENT], height=0.34)
    for row, (label, value) in enumerate(zip(labels, values, strict=True)):
        bars.text(0, row - 0.28, label, color=_QUIET, fontsize=9.5, va="bottom")
        bars.text(
            value + 0.02 * values.max(),
            row,
            f"{value:,.0f} G",
            color=_INK,
            fontsize=10,
            va="center",
        )
    bars.set_xlim(0, values.max() * 1.2)
    bars.set_ylim(len(values) - 0.6, -0.75)
    bars.set_title(
        "Multiply-adds of a 7×7 layer here", loc="left", fontsize=11, color=_INK, weight="bold"
    )
    _bare(bars)


def _maps(panel: SubFigure, maps: np.ndarray, title: str, note: str) -> None:
    _titles(panel, title, note)
    grid = panel.subplots(
        _GRID,
        _GRID,
        gridspec_kw={
            "left": 0.03,
            "right": 0.97,
            "bottom": 0.035,
            "top": 0.87,
            "wspace": 0.05,
            "hspace": 0.05,
        },
    )
    for axes, index in zip(grid.flat, _strongest(maps, _GRID * _GRID), strict=True):
        axes.imshow(maps[index], cmap="magma", norm=PowerNorm(0.7, 0, _bright(maps[index])))
        axes.text(
            0.03,
            0.965,
            f"{index}",
            transform=axes.transAxes,
            va="top",
            fontsize=7.5,
            color="white",
            bbox={"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 1.2},
        )
        _bare(axes)


def _titles(panel: SubFigure, title: str, note: str) -> None:
    x = 0.07 if title == "Photograph" else 0.03
    panel.text(x, 0.95, title, fontsize=15, weight="bold", color=_INK, va="center")
    panel.text(x, 0.905, note, fontsize=10, color=_QUIET, va="center")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bright(values: np.ndarray) -> float:
    return max(float(np.percentile(values, 99)), 1e-6)


def _strongest(maps: np.ndarray, count: int) -> list[int]:
    """Return the maps that vary most over the picture, leaving out those that repeat another."""
    thumbnails = maps[:, ::4, ::4].reshape(len(maps), -1).astype(np.float64)
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    strength = np.linalg.norm(thumbnails, axis=1)
    directions = thumbnails / np.maximum(strength, 1e-12)[:, None]
    ranked = [int(i) for i in np.argsort(-strength)]
    chosen: list[int] = []
    for limit in (0.75, 0.95, np.inf):
        for i in ranked:
            if len(chosen) == count:
                return chosen
            if i not in chosen and (directions[chosen] @ directions[i] < limit).all():
                chosen.append(i)
    return chosen
