"""Engines take turns: each one's result is checked first, then bursts A B C A B C ..."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .. import _core
from .engines import EngineSpec
from .layers import Layer
from .problem import TOLERANCE, error, expected
from .results import LayerResult, Measurement
from .worker import Burst, Worker, WorkerError

__all__ = ["Pace", "Seat", "measure", "measure_layer"]

_PEAK_SECONDS = 0.01
_REST_SECONDS = 0.008
"""After the peak was measured by several threads: this process's OpenMP team spins for about 5 ms,
as the engines' do (worker.py)."""


@dataclass(frozen=True)
class Pace:
    """How many turns each engine has, and how long a turn is."""

    rounds: int = 7
    seconds: float = 0.03


class Seat(Protocol):
    """What takes turns: a Worker, or what stands for one in a test."""

    spec: EngineSpec

    def prepare(self, layer: Layer) -> tuple[np.ndarray, str]: ...
    def burst(self, seconds: float) -> Burst: ...


def measure(
    layers: Sequence[Layer],
    specs: Sequence[EngineSpec],
    threads: int,
    pace: Pace,
    *,
    cold: bool,
    say: Callable[[LayerResult], None],
) -> list[LayerResult]:
    """Measure every layer; ``say`` hears of each result as it comes."""
    workers = [Worker(spec, threads, cold) for spec in specs]
    results = []
    try:
        for layer in layers:
            results.append(measure_layer(layer, workers, threads, pace))
            say(results[-1])
    finally:
        for worker in workers:
            worker.close()
    return results


def measure_layer(layer: Layer, seats: Sequence[Seat], threads: int, pace: Pace) -> LayerResult:
    """Check every engine on one layer, then time those that are right."""
    result = LayerResult(layer.text, layer.kind, threads, layer.macs, layer.bytes, 0.0)
    want = expected(layer, _core.get_num_threads())
    turns: dict[str, list[Burst]] = {}
    checked: dict[str, tuple[float, str]] = {}
    racing = []
    for seat in seats:
        name = seat.spec.name
        try:
            rows, note = seat.prepare(layer)
        except WorkerError as problem:
            result.refused[name] = str(problem)
            continue
        wrong = error(rows, want)
        if wrong > TOLERANCE:
            result.refused[name] = f"wrong: off by {wrong:.1e} of the largest output"
            continue
        racing.append(seat)
        turns[name], checked[name] = [], (wrong, note)
    for round_ in range(pace.rounds + 1):
        for seat in list(racing):
            try:
                burst = seat.burst(pace.seconds)
            except WorkerError as problem:
                result.refused[seat.spec.name] = str(problem)
                racing.remove(seat)
                continue
            if round_ > 0:  # before, allocators and predictors settle: ncnn is three times as slow
                turns[seat.spec.name].append(burst)
        result.peak = max(result.peak, _core.measure_peak(threads, _PEAK_SECONDS))
        if threads > 1:
            time.sleep(_REST_SECONDS)
    for seat in racing:
        name = seat.spec.name
        result.engines[name] = _summary(turns[name], *checked[name])
    return result


def _summary(bursts: list[Burst], wrong: float, note: str) -> Measurement:
    medians = [b.median for b in bursts]
    return Measurement(
        medians, statistics.median(medians), min(b.best for b in bursts), wrong, note
    )
