"""Two runs of the same layers: what got slower beyond the noise."""

from __future__ import annotations

import math
from typing import NamedTuple

from .errors import BenchError
from .results import LayerResult, Run, geomean, is_ours

__all__ = ["Change", "changes", "drift", "report"]

_FLOOR = 0.03
"""Smaller changes are noise whatever the bursts say: where data lies differs from run to run."""

_SIGMAS = 4.0
"""A few hundred comparisons a run should not find one by chance."""


class Change(NamedTuple):
    """One of our engines on one layer."""

    layer: str
    threads: int
    engine: str
    factor: float
    """New time through old time, the machine's own drift divided out."""

    noise: float
    """How far from 1 the factor may be by chance."""

    @property
    def slower(self) -> bool:
        return self.factor > 1 + self.noise

    @property
    def faster(self) -> bool:
        return self.factor < 1 / (1 + self.noise)


def drift(before: Run, after: Run) -> float:
    """The factor of the peers' times, which no change of ours can have caused; 1 without peers."""
    factors = [
        new.engines[name].median / old.engines[name].median
        for old, new in _pairs(before, after)
        for name in old.engines
        if not is_ours(name) and name in new.engines
    ]
    return geomean(factors) if factors else 1.0


def changes(before: Run, after: Run) -> list[Change]:
    """Every engine of ours on every layer that both runs have."""
    common = drift(before, after)
    found = []
    for old, new in _pairs(before, after):
        for name in old.engines:
            if is_ours(name) and name in new.engines:
                a, b = old.engines[name], new.engines[name]
                noise = max(_FLOOR, _SIGMAS * math.hypot(a.noise, b.noise))
                factor = b.median / a.median / common
                found.append(Change(old.layer, old.threads, name, factor, noise))
    return found


def _pairs(before: Run, after: Run) -> list[tuple[LayerResult, LayerResult]]:
    new = {(r.layer, r.threads): r for r in after.layers}
    return [(r, new[key]) for r in before.layers if (key := (r.layer, r.threads)) in new]


def report(before: Run, after: Run) -> bool:
    """Print what changed; return whether anything got slower.

    Raises BenchError if the runs have nothing in common or were made in different ways.
    """
    for setting in ("cold", "algorithm"):
        was, now = (run.settings.get(setting) for run in (before, after))
        if was != now:
            raise BenchError(f"the runs differ in --{setting}: {was} and {now}")
    found = changes(before, after)
    if not found:
        raise BenchError("the runs have no layer in common")
    print(f"before: {before.machine['date']}, {before.machine['CPU']}")
    print(f"after:  {after.machine['date']}, {after.machine['CPU']}")
    print(f"the peers' times changed by {drift(before, after) - 1:+.1%}, which is divided out")
    slower = sorted((c for c in found if c.slower), key=lambda c: -c.factor)
    faster = sorted((c for c in found if c.faster), key=lambda c: c.factor)
    for title, some in (("slower", slower), ("faster", faster)):
        print(f"\n{len(some)} of {len(found)} {title} beyond the noise")
        for c in some:
            threads = f"{c.threads} thread{'s' * (c.threads > 1)}"
            print(f"  {c.factor:5.2f} x (noise {c.noise:.0%})  {c.layer}  {c.engine}, {threads}")
    print(f"\nall: {geomean(c.factor for c in found):.3f} x the time, geomean")
    return bool(slower)
