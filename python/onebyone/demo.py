"""``onebyone demo``: a 3x3 layer and 1x1 projections on a photograph, checked, timed and drawn.

The weights are explained in ``demo_filters``; ``demo_savings`` compares modules with and without
1x1 layers; ``demo_figure`` draws the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _core, nn
from .config import get_num_threads, isa, threads
from .demo_filters import filter_bank, mixtures
from .demo_savings import Saving, compare, comparisons, median_seconds, print_comparison
from .files import check_writable
from .functional import conv2d

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["DemoError", "run"]

_MAPS = 512
_REDUCED = 64
_PROJECTIONS = (("keeps", _MAPS), ("reduces", _REDUCED), ("expands", 1024))


class DemoError(Exception):
    """What the user gave, or what is installed, does not suffice; the text says what to do."""


class _Timing(NamedTuple):
    seconds: float
    flops: int
    algorithm: str


def run(image: str | None, *, layout: str, num_threads: int | None, out: str, size: int) -> None:
    """Run the demo on ``image`` and write a picture to ``out``.

    ``image`` is a file, or None for a photograph that comes with matplotlib; it is cropped to
    ``size`` x ``size`` pixels. Raises DemoError if an extra is missing, the image cannot be read or
    the picture cannot be written.
    """
    console = _console()
    _check_writable(out)
    photograph, source = _photograph(image, size)
    with threads(num_threads or get_num_threads()):
        _Demo(console, photograph, layout).run(source, out)


class _Demo:
    def __init__(self, console: Console, photograph: np.ndarray, layout: str) -> None:
        self.console, self.photograph, self.layout = console, photograph, layout
        self.size = photograph.shape[0]
        self.x = self._in_layout(photograph.transpose(2, 0, 1)[None])
        self.timings: list[tuple[str, _Timing]] = []
        self.peak = 0.0

    def run(self, source: str, out: str) -> None:
        self.console.print(
            f"Photograph: {source}, cropped to {self.size} x {self.size}; layout {self.layout}, "
            f"{isa()}, threads {get_num_threads()}"
        )
        self._measure_peak()
        first = nn.Conv2d(3, _MAPS, 3, padding="same", activation="relu")
        first.weight, first.bias = filter_bank(_MAPS), np.zeros(_MAPS, np.float32)
        maps = self._timed(f"3x3     3 -> {_MAPS:>5,}", first, self.x)
        for verb, channels in _PROJECTIONS:
            projection = nn.Conv1x1(_MAPS, channels, activation="relu")
            projection.weight = mixtures(_MAPS, channels)
            projection.bias = np.zeros(channels, np.float32)
            projected = self._timed(f"1x1   {_MAPS} -> {channels:>5,}", projection, maps)
            if channels == _REDUCED:
                reduction, reduced = projection, projected
            self._heading(f"1x1 layer that {verb} the number of maps: {_MAPS} -> {channels:,}")
            model = nn.Sequential(first, projection)
            self.console.print(model.summary(self.x.shape[1:], self.layout), soft_wrap=True)
        self._print_timings()
        self._check(maps, reduction)
        savings = self._savings(maps, reduction)
        with self._working("Drawing the feature maps"):
            self._draw(out, maps, reduced, savings)
        self.console.print(f"\nWrote {out}", soft_wrap=True)

    def _measure_peak(self) -> None:
        # Again after every layer, because clocks change and other programs interfere; with one
        # thread too, because several wait for the one that another program interrupts.
        with self._working("Measuring the FMA peak of this machine"):
            for count in {1, get_num_threads()}:
                self.peak = max(self.peak, _core.measure_peak(num_threads=count, seconds=0.05))

    def _timed(self, title: str, layer: nn.Conv2d, x: np.ndarray) -> np.ndarray:
        with self._working(f"Running {title}"):
            output, timing = _time(layer, x, self.layout)
        self.timings.append((title, timing))
        self._measure_peak()
        return output

    def _print_timings(self) -> None:
        from rich import box
        from rich.table import Table

        self._heading("Time of each layer")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("layer", "algorithm"):
            table.add_column(title)
        for title in ("time", "GFLOP/s", "of FMA peak"):
            table.add_column(title, justify="right")
        for title, timing in self.timings:
            rate = timing.flops / timing.seconds
            table.add_row(
                title,
                timing.algorithm,
                f"{timing.seconds * 1e3:,.1f} ms",
                f"{rate / 1e9:,.0f}",
                f"{rate / self.peak:.0%}",
            )
        self.console.print(table)
        self.console.print(
            "Median of up to 5 runs after a warm-up, bias and ReLU included, output memory reused. "
            "FLOPs are those of the direct method. "
            f"Peak measured in this run: {self.peak / 1e9:,.0f} GFLOP/s."
        )
        if any(
            t.algorithm != "winograd" and t.flops > t.seconds * self.peak for _, t in self.timings
        ):
            self.console.print(
                "Shares above 100%: the machine was busy when its peak was measured."
            )

    def _check(self, maps: np.ndarray, projection: nn.Conv1x1) -> None:
        self._heading("A 1x1 convolution is one matrix product for every pixel")
        with self._working("Comparing with numpy.tensordot"):
            matrix = projection.weight[:, :, 0, 0]
            ours = conv2d(maps, projection.weight, layout=self.layout)
            if self.layout == "NCHW":
                reference = np.tensordot(matrix, maps[0], axes=(1, 0))[None]
            else:
                reference = np.tensordot(maps, matrix, axes=(-1, 1))
            error = np.abs(ours - reference).max() / np.abs(reference).max()
        self.console.print(
            f"Largest difference from numpy.tensordot on {self.size**2:,} pixels, {_MAPS} -> "
            f"{len(matrix)}: {error:.1e} of the largest value (float32 resolves 1.2e-07)."
        )

    def _savings(self, maps: np.ndarray, reduction: nn.Conv1x1) -> list[Saving]:
        savings = []
        for comparison in comparisons(_MAPS, reduction, self.size):
            self._heading(comparison.heading)
            with self._working(f"Running {' and '.join(comparison.modules)}"):
                sides = compare(comparison, maps, self.layout)
            print_comparison(self.console, sides, comparison.note)
            savings.append((comparison, sides))
        return savings

    def _draw(self, out: str, maps: np.ndarray, reduced: np.ndarray, savings: list[Saving]) -> None:
        from .demo_figure import draw

        try:
            draw(
                out,
                self.photograph,
                self._channels_first(maps),
                self._channels_first(reduced),
                savings,
            )
        except OSError as error:
            raise DemoError(f"{out} cannot be written: {error.strerror or error}") from error

    def _in_layout(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x if self.layout == "NCHW" else x.transpose(0, 2, 3, 1))

    def _channels_first(self, x: np.ndarray) -> np.ndarray:
        return x[0] if self.layout == "NCHW" else x[0].transpose(2, 0, 1)

    def _heading(self, text: str) -> None:
        self.console.print(f"\n{text}", style="bold")

    @contextmanager
    def _working(self, text: str) -> Iterator[None]:
        """Show what goes on: a spinner on a terminal, otherwise a line that is flushed at once."""
        if self.console.is_terminal:
            with self.console.status(text, spinner="line"):
                yield
        else:
            print(f"{text} ...", flush=True)
            yield


def _time(layer: nn.Conv2d, x: np.ndarray, layout: str) -> tuple[np.ndarray, _Timing]:
    """Return the layer's output and the median time of a few runs that write to the same memory."""
    plan = layer.plan(x.shape, layout)
    output = np.empty(plan.output_shape, x.dtype)
    seconds = median_seconds(lambda: plan(x, out=output))
    return output, _Timing(seconds, plan.flops, plan.algorithm)


def _console() -> Console:
    try:
        import matplotlib.figure  # noqa: F401
        import PIL.Image  # noqa: F401
        from rich.console import Console
    except ImportError as error:
        missing = (error.name or "a package").partition(".")[0]
        raise DemoError(
            f'{missing} is missing; install it with: pip install "onebyone[demo]"'
        ) from error
    return Console(markup=False, highlight=False)


def _check_writable(out: str) -> None:
    if not out.lower().endswith(".png"):
        raise DemoError(f"--out must end in .png, not {out!r}")
    try:
        check_writable(out)
    except OSError as error:
        raise DemoError(f"{out} cannot be written: {error.strerror}") from error


def _photograph(image: str | None, size: int) -> tuple[np.ndarray, str]:
    """Return the photograph's middle, (size, size, 3) float32 in [0, 1], and what to call it."""
    from PIL import Image, ImageOps

    path, source = (image, image) if image is not None else (_sample(), "Grace Hopper, US Navy")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError:
        raise DemoError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DemoError(f"{path} is a folder, not an image") from None
    except PermissionError:
        raise DemoError(f"{path} cannot be read: permission denied") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DemoError(f"{path} cannot be read as an image") from error
    picture = ImageOps.fit(picture, (size, size), centering=(0.5, 0.15))
    return np.asarray(picture, np.float32) / 255, source


def _sample() -> str:
    from matplotlib import cbook

    try:
        return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    except OSError as error:
        raise DemoError("matplotlib came without its sample pictures; name an IMAGE") from error
