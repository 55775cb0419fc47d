"""An engine in a process of its own, and the handle that the runner holds.

Memory and crashes of one library do not reach the others, and one process works at a time: the
next turn begins when the threads of the last one sleep.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .engines import EngineSpec, Prepared
from .layers import Layer, parse_layer
from .machine import l3_bytes
from .memory import Watch
from .problem import Problem, make_arrays

__all__ = ["Burst", "Worker", "WorkerError", "time_burst"]

_PATIENCE = 120.0
"""Seconds after which an engine is taken for hung."""

_LEAST_COLD_CALLS = 3
_WAKING_SECONDS = 0.004

_TICK_SECONDS = 0.006
"""Running threads' times are brought up to date by the kernel's clock, every 4 ms or less."""

_LONGEST_SPIN = 0.2


class WorkerError(Exception):
    """The engine does not serve the problem, crashed or hangs; the text says which, in one line."""


class Burst(NamedTuple):
    """Calls of one engine, one after the other; seconds a call."""

    median: float
    best: float
    calls: int


class Worker:
    """An engine's process. Starts at first use, and again after a crash."""

    def __init__(self, spec: EngineSpec, threads: int, cold: bool) -> None:
        self.spec, self._threads, self._cold = spec, threads, cold
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def prepare(self, problem: Problem) -> tuple[np.ndarray, str]:
        """Make it ready and run it once; return the part that is checked and the engine's note."""
        return self._ask("prepare", problem)

    def burst(self, seconds: float) -> Burst:
        """Run what is prepared for about so long."""
        return self._ask("burst", seconds)

    def memory(self) -> int | None:
        """By how many bytes the process grew for what is prepared, at most since it was made ready;
        None where the system does not tell. Asked of processes that prepared one thing."""
        return self._ask("memory")

    def close(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
            self._process = None

    def _ask(self, *request: object) -> object:
        if self._process is None:
            self._start()
        try:
            self._connection.send(request)
            if not self._connection.poll(_PATIENCE):
                self.close()
                raise WorkerError(f"gave no answer for {_PATIENCE:.0f} s")
            done, answer = self._connection.recv()
            if self._threads > 1:
                _settle(self._process.pid)
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            crash = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise WorkerError(f"crashed ({crash})") from None
        if not done:
            raise WorkerError(answer)
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self.spec, self._threads, self._cold), daemon=True
        )
        # Read by OpenMP and OpenBLAS when they are loaded.
        changed = {"OMP_NUM_THREADS": str(self._threads), "OPENBLAS_NUM_THREADS": "1"}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        theirs.close()


def _settle(pid: int) -> None:
    """Wait until no thread of the process runs.

    Idle teams spin on, OpenMP's for 5 ms and onnxruntime's for 45 ms after a call: they would take
    a CPU from the engine whose turn is next.
    """
    give_up = time.perf_counter() + _LONGEST_SPIN
    before = -1
    while before != (now := _cpu_time(pid)) and time.perf_counter() < give_up:
        before = now
        time.sleep(_TICK_SECONDS)


def _cpu_time(pid: int) -> int:
    """Nanoseconds that the process's threads have run."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            total += int(path.read_text().split()[0])
    return total


def _spread_threads(cpus: set[int]) -> None:
    """Give this thread a CPU of its own and all others of the process the rest.

    Left to the system, a team that wakes may share one CPU for more than a burst: 1.1 ms a call of
    LiteRT instead of 0.4. Undone by ``_gather_threads`` before new threads are made.
    """
    own = min(cpus)
    for thread in map(int, os.listdir("/proc/self/task")):
        with contextlib.suppress(OSError):  # the thread has ended
            os.sched_setaffinity(thread, {own} if thread == os.getpid() else cpus - {own})


def _gather_threads(cpus: set[int]) -> None:
    """Let this thread, and those that it makes, run anywhere."""
    os.sched_setaffinity(0, cpus)


def time_burst(run: Callable[[], object], seconds: float, between: Callable[[], object]) -> Burst:
    """Time single calls for about so long.

    Those of the first milliseconds wake the threads and do not count, but for one that is long
    enough for that not to matter.
    """
    start = time.perf_counter()
    run()
    waking = time.perf_counter() - start
    if waking > seconds and between is _nothing:
        return Burst(waking, waking, 1)
    while time.perf_counter() < start + _WAKING_SECONDS:
        run()
    times: list[float] = []
    least = 1 if between is _nothing else _LEAST_COLD_CALLS
    end = time.perf_counter() + seconds
    while True:
        between()
        start = time.perf_counter()
        run()
        stop = time.perf_counter()
        times.append(stop - start)
        if stop >= end and len(times) >= least:
            return Burst(float(np.median(times)), min(times), len(times))


def _nothing() -> None:
    pass


def _serve(connection: Connection, spec: EngineSpec, threads: int, cold: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner ends this process
    # Libraries that talk about themselves would write into the report.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    session = _Session(spec, threads, cold)
    while True:
        try:
            request, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = True, getattr(session, request)(*arguments)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            answer = False, " ".join([f"{type(error).__name__}:", *lines])[:300]
        connection.send(answer)


class _Session:
    """What the process answers."""

    def __init__(self, spec: EngineSpec, threads: int, cold: bool) -> None:
        self.spec, self.threads, self.cold = spec, threads, cold
        self.cpus = os.sched_getaffinity(0)
        self.engine = None
        self.prepared: Prepared | None = None
        self.sweep: Callable[[], object] = _nothing
        self.watch: Watch | None = None

    def prepare(self, problem: Problem) -> tuple[np.ndarray, str]:
        _gather_threads(self.cpus)
        if self.engine is None:
            self.engine = self.spec.load(self.threads)
            if self.cold:
                sweeper = sweeping_layer()
                self.sweep = self.engine.prepare(sweeper, make_arrays(sweeper)).run
        self.prepared = None  # its memory first
        self.watch = Watch() if problem.alone else None
        self.prepared = problem.prepare(self.engine)
        if self.watch is not None:
            self.watch.restart()
        self.prepared.run()
        if self.threads > 1:
            _spread_threads(self.cpus)
        return problem.checked(self.prepared.output()), self.prepared.note

    def burst(self, seconds: float) -> Burst:
        return time_burst(self.prepared.run, seconds, self.sweep)

    def memory(self) -> int | None:
        return self.watch.growth()


def sweeping_layer() -> Layer:
    """A layer that pushes everything else out of the caches; the engine runs it between cold calls.

    The caches then hold what another layer left there and the threads are awake, as in a network.
    """
    rows = -(-l3_bytes() * 5 // 4 // (64 * 256 * 4))
    return parse_layer(f"1x64x{rows}x256 -> 8 k1")
