"""Engines take turns: each one's result is checked first, then bursts A B C A B C ..."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .. import _core
from .engines import EngineSpec
from .problem import Problem, error
from .results import LayerResult, Measurement
from .worker import Burst, Worker, WorkerError

__all__ = ["Pace", "Seat", "measure", "race"]

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

    def prepare(self, problem: Problem) -> tuple[np.ndarray, str]: ...
    def burst(self, seconds: float) -> Burst: ...
    def memory(self) -> int | None: ...


def measure(
    problems: Iterable[Problem],
    specs: Sequence[EngineSpec],
    threads: int,
    pace: Pace,
    *,
    cold: bool,
    say: Callable[[LayerResult], None],
) -> list[LayerResult]:
    """Measure every layer or network; ``say`` hears of each result as it comes."""
    workers = [Worker(spec, threads, cold) for spec in specs]
    results = []
    try:
        for problem in problems:
            if problem.alone:
                _close(workers)
            results.append(race(problem, workers, threads, pace))
            say(results[-1])
    finally:
        _close(workers)
    return results


def _close(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.close()


def race(problem: Problem, seats: Sequence[Seat], threads: int, pace: Pace) -> LayerResult:
    """Check every engine on one problem, then time those that are right."""
    result = LayerResult(problem.text, problem.kind, threads, problem.macs, problem.bytes, 0.0)
    want = problem.expected()
    turns: dict[str, list[Burst]] = {}
    checked: dict[str, tuple[float, str]] = {}
    racing = []
    for seat in seats:
        name = seat.spec.name
        try:
            output, note = seat.prepare(problem)
        except WorkerError as failure:
            result.refused[name] = str(failure)
            continue
        wrong = error(output, want)
        if wrong > (problem.tolerance if seat.spec.ours else problem.peers_tolerance):
            result.refused[name] = f"wrong: off by {wrong:.1e} of the largest output"
            continue
        racing.append(seat)
        turns[name], checked[name] = [], (wrong, note)
    for round_ in range(pace.rounds + 1):
        for seat in list(racing):
            try:
                burst = seat.burst(pace.seconds)
            except WorkerError as failure:
                result.refused[seat.spec.name] = str(failure)
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
        if problem.alone:
            result.engines[name].memory = seat.memory()
    return result


def _summary(bursts: list[Burst], wrong: float, note: str) -> Measurement:
    medians = [b.median for b in bursts]
    return Measurement(
        medians, statistics.median(medians), min(b.best for b in bursts), wrong, note
    )
