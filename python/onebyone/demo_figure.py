"""The demo's picture: photograph, feature maps before and after the projection, and savings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure, SubFigure

if TYPE_CHECKING:
    from .demo_savings import Saving

__all__ = ["draw"]

_GRID = 4
_MARGIN = 0.035
_INK, _QUIET, _ACCENT, _PALE = "#1b1f24", "#6a737d", "#c8553d", "#c9ced6"


def draw(
    path: str,
    photograph: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    savings: list[Saving],
) -> None:
    """Write the picture to ``path`` as PNG.

    ``photograph`` is (H, W, 3) in [0, 1]; ``before`` and ``after`` are feature maps (K, H, W), of
    which the 16 strongest are shown; of ``savings`` the multiply-adds are drawn as bars. Raises
    OSError if the file cannot be written.
    """
    figure = Figure(figsize=(17, 8.6), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    top, bottom = figure.subfigures(2, 1, height_ratios=[6.3, 2.3])
    left, middle, right = top.subfigures(1, 3)
    _photograph(left, photograph)
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
    panels = bottom.subfigures(1, len(savings), squeeze=False)[0]
    for panel, saving in zip(panels, savings, strict=True):
        _bars(panel, saving)
    figure.savefig(path, format="png")


def _photograph(panel: SubFigure, photograph: np.ndarray) -> None:
    height, width, _ = photograph.shape
    _titles(panel, "Photograph", f"{width} × {height} pixels, 3 channels")
    picture = panel.add_axes((_MARGIN, 0.01, 1 - 2 * _MARGIN, 0.86))
    picture.imshow(photograph, interpolation="lanczos")
    picture.set_anchor("NW")
    _bare(picture)


def _bars(panel: SubFigure, saving: Saving) -> None:
    comparison, sides = saving
    timed = comparison.timed_size == comparison.size
    _titles(panel, comparison.title, "multiply-adds" + (" and time measured" if timed else ""))
    bars = panel.add_axes((_MARGIN, 0.05, 1 - 2 * _MARGIN, 0.6))
    values = [side.multiply_adds for side in sides]
    bars.barh(range(len(sides)), values, color=[_PALE, _ACCENT], height=0.28)
    for row, side in enumerate(sides):
        label = side.label.replace("x", "×").replace("->", "→")
        bars.text(0, row - 0.22, label, color=_QUIET, fontsize=9.5, va="bottom")
        text = _count(side.multiply_adds)
        if timed:
            text += f" in {side.seconds * 1e3:,.1f} ms"
        bars.text(
            side.multiply_adds + 0.015 * max(values),
            row,
            text,
            color=_INK,
            fontsize=10,
            va="center",
        )
    bars.set_xlim(0, max(values) * 1.32)
    bars.set_ylim(len(sides) - 0.8, -0.55)
    _bare(bars)


def _count(multiply_adds: int) -> str:
    scale, unit = (1e9, "G") if multiply_adds >= 1e9 else (1e6, "M")
    value = multiply_adds / scale
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:,.1f} {unit}"


def _maps(panel: SubFigure, maps: np.ndarray, title: str, note: str) -> None:
    _titles(panel, title, note)
    grid = panel.subplots(
        _GRID,
        _GRID,
        gridspec_kw={
            "left": _MARGIN,
            "right": 1 - _MARGIN,
            "bottom": 0.01,
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
    height = panel.bbox.height / panel.figure.dpi
    for text, inches, style in (
        (title, 0.32, {"fontsize": 15, "weight": "bold", "color": _INK}),
        (note, 0.6, {"fontsize": 10, "color": _QUIET}),
    ):
        panel.text(_MARGIN, 1 - inches / height, text, va="center", **style)


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
