"""What a run measured, what follows from it, and its JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from .errors import BenchError

__all__ = [
    "LayerResult",
    "Measurement",
    "Run",
    "geomean",
    "is_ours",
    "load_run",
    "save_run",
]

_FORMAT = 1


def is_ours(engine: str) -> bool:
    """Whether an engine of this name is this library's."""
    return engine.startswith("ours")


@dataclass
class Measurement:
    """One engine on one layer or network, in seconds a call."""

    bursts: list[float]
    """The median of each burst, in the order they took turns."""

    median: float
    """Of the bursts."""

    best: float
    """Of all calls."""

    error: float
    """The largest, in relation to the largest output."""

    note: str = ""
    """What the engine says about its choice."""

    memory: int | None = None
    """Bytes by which the engine's process had grown at most while it ran: weights, activations and
    workspace. Known of networks, where the system tells."""

    @property
    def noise(self) -> float:
        """The standard error of the median in relation to it, from the spread of the bursts."""
        middle = sorted(abs(b - self.median) for b in self.bursts)[len(self.bursts) // 2]
        return 1.25 * 1.48 * middle / self.median / math.sqrt(len(self.bursts))


@dataclass
class LayerResult:
    """All engines on one layer, or network, with one number of threads."""

    layer: str
    kind: str
    threads: int
    macs: int
    bytes: int
    peak: float
    """FLOP/s of FMAs on as many threads, measured between the engines' turns."""

    engines: dict[str, Measurement] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Engines that do not count, and why."""

    def fastest(self, *, ours: bool, figure: str = "median") -> tuple[str, float] | None:
        """The fastest of our engines, or of the peers, and its time."""
        times = {n: getattr(m, figure) for n, m in self.engines.items() if is_ours(n) == ours}
        return min(times.items(), key=lambda item: item[1], default=None)

    def ratio(self, figure: str = "median") -> float | None:
        """The best peer's time through ours: above 1, we are faster. None if a side is missing."""
        mine, theirs = (self.fastest(ours=ours, figure=figure) for ours in (True, False))
        return theirs[1] / mine[1] if mine and theirs else None

    def share(self, engine: str) -> float:
        """Of the FMA peak, counting the direct method's arithmetic."""
        return 2 * self.macs / self.engines[engine].median / self.peak


@dataclass
class Run:
    """A run of the command."""

    machine: dict[str, str]
    command: str
    settings: dict[str, object]
    bandwidth: dict[str, float]
    """Bytes a second read from memory, by number of threads."""

    layers: list[LayerResult] = field(default_factory=list)

    def engine_names(self) -> list[str]:
        """Those that measured something, in the order of the columns."""
        return list(dict.fromkeys(name for r in self.layers for name in r.engines))

    def threads(self) -> list[int]:
        return list(dict.fromkeys(r.threads for r in self.layers))


def geomean(values: Iterable[float]) -> float:
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def save_run(run: Run, path: str) -> None:
    """Raises OSError."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, **asdict(run)}, file, indent=1)
        file.write("\n")


def load_run(path: str) -> Run:
    """Raises BenchError if the file cannot be read or is no run of this command."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        if data.pop("format") != _FORMAT:
            raise BenchError(f"{path} was written by another version of onebyone bench")
        layers = [
            LayerResult(**{**r, "engines": {n: Measurement(**m) for n, m in r["engines"].items()}})
            for r in data.pop("layers")
        ]
        return Run(**data, layers=layers)
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is no JSON file of onebyone bench") from error
