"""The demo's comparisons: modules that see all maps, and their like behind 1x1 reductions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from . import nn
from .network import compile as compile_network

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Comparison",
    "Saving",
    "Side",
    "compare",
    "comparisons",
    "median_seconds",
    "print_comparison",
]

_CROP = 48
"""Side of the crop on which 7x7 layers are timed: 1.7 TFLOP for 256 x 256 pixels is too long."""


class Side(NamedTuple):
    """One of the two modules compared, and what was found."""

    label: str
    parameters: int
    multiply_adds: int
    seconds: float


class Comparison(NamedTuple):
    """Two modules for the same maps, of which the second reduces them first.

    Maps are ``size`` x ``size`` pixels; runs are timed on a crop of ``timed_size``.
    """

    title: str
    heading: str
    modules: dict[str, nn.Module]
    channels: int
    size: int
    timed_size: int
    note: str


Saving: TypeAlias = tuple[Comparison, list[Side]]


def comparisons(maps: int, reduction: nn.Conv1x1, size: int) -> list[Comparison]:
    """Return the comparisons to make on ``maps`` feature maps of ``size`` x ``size`` pixels."""
    reduced, crop = reduction.out_channels, min(_CROP, size)
    return [
        Comparison(
            f"7×7 layer on {maps} maps, {size} × {size}",
            f"What a reduction to {reduced} maps saves before a 7x7 layer",
            {
                f"7x7 {maps} -> {maps}": nn.Conv2d(maps, maps, 7, padding="same"),
                f"1x1 {maps} -> {reduced}, 7x7 {reduced} -> {maps}": nn.Sequential(
                    reduction, nn.Conv2d(reduced, maps, 7, padding="same")
                ),
            },
            maps,
            size,
            crop,
            f"Multiply-adds are for the whole picture, {size} x {size}; the time was measured on a "
            f"{crop} x {crop} crop of its maps.",
        ),
        Comparison(
            "Inception module on 192 maps, 28 × 28",
            "What 1x1 reductions save in an Inception module",
            {
                "naive: 1x1, 3x3, 5x5, pooling": nn.NaiveInception(192, 64, 128, 32),
                "1x1 before 3x3 and 5x5, after pooling": nn.Inception(192, 64, 96, 128, 16, 32, 32),
            },
            192,
            28,
            28,
            "The first module of GoogLeNet, arXiv 1409.4842: 192 maps of 28 x 28 pixels. The naive "
            "one passes 416 maps on, the other 256.",
        ),
        Comparison(
            "Residual block on 256 maps, 56 × 56",
            "What a bottleneck saves in a residual block",
            {
                "plain: 3x3, 3x3": nn.BasicBlock(256, 256),
                "bottleneck: 1x1 to 64, 3x3, 1x1 to 256": nn.Bottleneck(256, 64),
            },
            256,
            56,
            56,
            "The first stage of ResNet-50, arXiv 1512.03385: 256 maps of 56 x 56 pixels, batch "
            "norm and ReLU included.",
        ),
    ]


def compare(comparison: Comparison, maps: np.ndarray, layout: str) -> list[Side]:
    """Run both modules, compiled, on a crop of ``maps``, one image in ``layout``."""
    shape = _shape(comparison.channels, comparison.size, layout)
    side, channels = comparison.timed_size, comparison.channels
    if layout == "NCHW":
        crop = maps[:, :channels, :side, :side]
    else:
        crop = maps[:, :side, :side, :channels]
    x = np.ascontiguousarray(crop)
    sides = []
    for label, module in comparison.modules.items():
        net = compile_network(module, x.shape, layout=layout)
        sides.append(
            Side(
                label,
                sum(parameter.size for parameter in module.parameters()),
                module.multiply_adds(shape, layout),
                median_seconds(lambda net=net: net(x)),
            )
        )
    return sides


def median_seconds(run: Callable[[], object]) -> float:
    """Return the median time of up to 5 runs within about a second, after a warm-up."""

    def once() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    once()
    runs = [once()]
    while len(runs) < 5 and sum(runs) < 1:
        runs.append(once())
    return statistics.median(runs)


def print_comparison(console: Console, sides: list[Side], note: str) -> None:
    """Print both sides as a table, how many times more the first takes, and ``note``."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layers")
    for title in ("parameters", "multiply-adds", "time"):
        table.add_column(title, justify="right")
    for side in sides:
        table.add_row(
            side.label,
            f"{side.parameters:,}",
            f"{side.multiply_adds:,}",
            f"{side.seconds * 1e3:,.1f} ms",
        )
    before, after = sides
    factors = (b / a for b, a in zip(before[1:], after[1:], strict=True))
    table.add_row("factor", *(f"{factor:.1f} x" for factor in factors))
    console.print(table)
    console.print(note)


def _shape(channels: int, size: int, layout: str) -> tuple[int, int, int, int]:
    return (1, channels, size, size) if layout == "NCHW" else (1, size, size, channels)
