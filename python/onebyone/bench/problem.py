"""What engines are given to compute, and the result that every one of them must reach."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .. import _core
from ..plan import Conv2dPlan
from .layers import Layer

if TYPE_CHECKING:
    from .engines import Engine, Prepared

__all__ = [
    "Arrays",
    "LayerProblem",
    "Problem",
    "aligned",
    "checked_rows",
    "error",
    "expected",
    "make_arrays",
]


class Problem(Protocol):
    """A layer or a network. It is sent to the engines' processes, its arrays are made there."""

    @property
    def text(self) -> str:
        """Its name in every report."""

    @property
    def kind(self) -> str:
        """One of ``layers.KINDS``."""

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct method."""

    @property
    def bytes(self) -> int:
        """Of input, weights and output."""

    @property
    def tolerance(self) -> float:
        """How far our result may be off, in relation to the largest output."""

    @property
    def peers_tolerance(self) -> float:
        """The same of the peers' results."""

    @property
    def alone(self) -> bool:
        """Whether every engine gets a new process for it, whose memory is then measured."""

    def expected(self) -> np.ndarray:
        """What ``checked`` must return, but for ``tolerance``."""

    def prepare(self, engine: Engine) -> Prepared:
        """Make an engine ready for it. Raises any exception where the engine does not serve it."""

    def checked(self, output: np.ndarray) -> np.ndarray:
        """The part of an output that is compared."""


_CHECKED_MACS = 500_000_000
"""About half a second of the reference. Larger layers are checked in rows spread over the image."""

_LEAST_ROWS = 8


@dataclass(frozen=True)
class Arrays:
    """float32; x (N, C, H, W), weight (K, C/groups, R, S), bias (K)."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class LayerProblem:
    """A layer as a Problem."""

    layer: Layer

    tolerance = peers_tolerance = 5e-5
    """Sums of 3000 products err by some 1e-6, Winograd's with tiles of 6 x 6 by 1e-5; a wrong index
    by 1e-2 and more."""

    alone = False

    @property
    def text(self) -> str:
        return self.layer.text

    @property
    def kind(self) -> str:
        return self.layer.kind

    @property
    def macs(self) -> int:
        return self.layer.macs

    @property
    def bytes(self) -> int:
        return self.layer.bytes

    def expected(self) -> np.ndarray:
        return expected(self.layer, _core.get_num_threads())

    def prepare(self, engine: Engine) -> Prepared:
        return engine.prepare(self.layer, make_arrays(self.layer))

    def checked(self, output: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(output[:, :, checked_rows(self.layer)])


def aligned(a: np.ndarray) -> np.ndarray:
    """A contiguous copy at a multiple of 64 bytes: where torch and onnxruntime put theirs."""
    raw = np.empty(a.nbytes + 64, np.uint8)
    begin = -raw.ctypes.data % 64
    copy = raw[begin : begin + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def make_arrays(layer: Layer) -> Arrays:
    """The same data for the same layer, in every process."""
    rng = np.random.default_rng(zlib.crc32(layer.text.encode()))
    return Arrays(
        _values(rng, (layer.batch, layer.ic, layer.ih, layer.iw)),
        _values(rng, layer.weight_shape),
        _values(rng, (layer.oc,)),
    )


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    # Magnitudes from 2^-10 to 1 of either sign: no zeros, which could be skipped, nor denormals.
    a = rng.random(shape, np.float32)
    a *= 2
    a -= 1
    a += np.copysign(np.float32(2**-10), a)
    return a


def checked_rows(layer: Layer) -> np.ndarray:
    """The rows of the output that are compared: all of them unless that would take long."""
    count = max(_LEAST_ROWS, layer.oh * _CHECKED_MACS // layer.macs)
    return np.unique(np.linspace(0, layer.oh - 1, min(count, layer.oh)).round().astype(int))


def expected(layer: Layer, num_threads: int) -> np.ndarray:
    """The checked rows by the reference algorithm (float64 sums): (N, K, rows, OW)."""
    arrays, rows = make_arrays(layer), checked_rows(layer)
    if len(rows) == layer.oh:
        return _reference(layer, arrays, arrays.x, layer.padding[0], num_threads)
    bands = [_row(layer, arrays, int(row), num_threads) for row in rows]
    return np.concatenate(bands, axis=2)


def _row(layer: Layer, arrays: Arrays, row: int, num_threads: int) -> np.ndarray:
    first = row * layer.stride[0] - layer.padding[0][0]
    last = first + layer.dilation[0] * (layer.kernel[0] - 1)
    band = arrays.x[:, :, max(first, 0) : min(last + 1, layer.ih)]
    padding = (max(-first, 0), max(last + 1 - layer.ih, 0))
    return _reference(layer, arrays, band, padding, num_threads)


def _reference(
    layer: Layer, arrays: Arrays, x: np.ndarray, padding_h: tuple[int, int], num_threads: int
) -> np.ndarray:
    plan = Conv2dPlan(
        arrays.weight,
        arrays.bias,
        layer.stride,
        (padding_h, layer.padding[1]),
        layer.dilation,
        layer.groups,
        input_shape=x.shape,
        algorithm="reference",
        num_threads=num_threads,
    )
    return plan(x)


def error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference in relation to the largest output; infinite at a NaN."""
    if got.shape != want.shape:
        return float("inf")
    difference = float(np.abs(got - want).max() / np.abs(want).max())
    return difference if np.isfinite(difference) else float("inf")
