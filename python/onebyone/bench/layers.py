"""Layers to measure, read from text: the format and the rules of ``bench/layers.h``.

One layer a line, as a plan prints it; # begins a comment, empty lines are skipped::

    BATCHxICxIHxIW -> OC kKH[xKW] [sSH[xSW]] [pPH[xPW]|psame] [dDH[xDW]] [gGROUPS]
    1x64x56x56 -> 256 k1
    1x96x112x112 -> 96 k3 s2 p1 g96

One number serves height and width. Defaults: s1 p0 d1 g1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from .errors import BenchError

__all__ = ["KINDS", "Layer", "parse_layer", "read_layers", "same_padding", "set_names"]

_MAX_SIZE = 1 << 20
"""Sizes past this are a slip of the pen."""

KINDS = ("1x1", "1x1 on one pixel", "3x3 stride 1", "depthwise", "grouped", "other", "network")
"""What is measured, in the order of the reports. ``Layer.kind`` is one but the last."""


@dataclass(frozen=True)
class Layer:
    """One convolution: sizes as in a plan, padding as (top, bottom), (left, right)."""

    text: str
    batch: int
    ic: int
    ih: int
    iw: int
    oc: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    @property
    def oh(self) -> int:
        return self._out(0, self.ih)

    @property
    def ow(self) -> int:
        return self._out(1, self.iw)

    def _out(self, axis: int, size: int) -> int:
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + sum(self.padding[axis]) - span) // self.stride[axis] + 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(OC, IC / groups, KH, KW)."""
        return (self.oc, self.ic // self.groups, *self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct method, those on padding included."""
        taps = self.kernel[0] * self.kernel[1] * (self.ic // self.groups)
        return self.batch * self.oh * self.ow * self.oc * taps

    @property
    def bytes(self) -> int:
        """Of input, weights and output in float32: what a call must move if nothing is cached."""
        image = self.batch * (self.ic * self.ih * self.iw + self.oc * self.oh * self.ow)
        return 4 * (image + self.macs // (self.batch * self.oh * self.ow))

    @property
    def kind(self) -> str:
        if self.groups > 1:
            return "depthwise" if self.groups == self.ic else "grouped"
        if self.kernel == (1, 1):
            return "1x1 on one pixel" if self.oh == self.ow == 1 else "1x1"
        plain = self.stride == self.dilation == (1, 1)
        return "3x3 stride 1" if self.kernel == (3, 3) and plain and self.ic > 4 else "other"


def set_names() -> list[str]:
    """The sets that come with the package."""
    files = resources.files(__package__).joinpath("shapes").iterdir()
    return sorted(f.name.removesuffix(".txt") for f in files if f.name.endswith(".txt"))


def read_layers(name: str) -> list[Layer]:
    """The layers of a set of the package, or of a file. Raises BenchError naming file and line."""
    if name in set_names():
        text = resources.files(__package__).joinpath("shapes", f"{name}.txt").read_text("utf-8")
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"cannot read {name!r}: it is no text file, nor one of the sets "
                f"{', '.join(set_names())}"
            ) from error
    return list(_parse_lines(name, text.splitlines()))


def _parse_lines(name: str, lines: Iterable[str]) -> Iterable[Layer]:
    empty = True
    for number, line in enumerate(lines, 1):
        if line.partition("#")[0].strip():
            empty = False
            try:
                yield parse_layer(line)
            except BenchError as error:
                raise BenchError(f"{name}:{number}: {error}") from None
    if empty:
        raise BenchError(f"no layers in {name!r}")


def parse_layer(line: str) -> Layer:
    """One line of a file of shapes. Raises BenchError that says what is wrong with it."""
    words = line.partition("#")[0].split()
    if len(words) < 3 or words[1] != "->":
        raise BenchError("expected 'BATCHxICxIHxIW -> OC kKH[xKW] ...'")
    batch, ic, ih, iw = _sizes(words[0], 4)
    (oc,) = _sizes(words[2], 1)
    given: dict[str, str] = {}
    for word in words[3:]:
        key = word[0]
        if key not in "kspdg":
            raise BenchError(f"{word!r} begins with none of k, s, p, d, g")
        if key in given:
            raise BenchError(f"{key!r} is given twice")
        given[key] = word[1:]
    if "k" not in given:
        raise BenchError("the kernel (k1, k3, k1x7, ...) is missing")
    kernel, stride, dilation = (_pair(given.get(key, "1")) for key in "ksd")
    (groups,) = _sizes(given.get("g", "1"), 1)
    if min(*kernel, *stride, *dilation, groups) < 1:
        raise BenchError("kernel, stride, dilation and groups must be at least 1")
    if given.get("p") == "same":
        axes = zip((ih, iw), kernel, stride, dilation, strict=True)
        padding = tuple(same_padding(*axis) for axis in axes)
    else:
        padding = tuple((p, p) for p in _pair(given.get("p", "0")))
    layer = Layer(" ".join(words), batch, ic, ih, iw, oc, kernel, stride, padding, dilation, groups)
    if ic % groups or oc % groups:
        raise BenchError(f"{groups} groups do not divide {ic} -> {oc} channels")
    if layer.oh < 1 or layer.ow < 1:
        raise BenchError("the kernel does not fit into the padded image")
    if layer.macs == 0:
        raise BenchError("there is nothing to compute")
    return layer


def _sizes(text: str, count: int) -> list[int]:
    parts = text.split("x")
    if not all(re.fullmatch("[0-9]+", p) and int(p) <= _MAX_SIZE for p in parts):
        raise BenchError(f"{text!r} is not made of numbers from 0 to {_MAX_SIZE}, an x between")
    if len(parts) != count:
        raise BenchError(f"{text!r} has {len(parts)} numbers, expected {count}")
    return [int(p) for p in parts]


def _pair(text: str) -> tuple[int, int]:
    h, w = _sizes(text if "x" in text else f"{text}x{text}", 2)
    return h, w


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Edges that make the output ceil(size / stride), the odd one out at the end."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2
