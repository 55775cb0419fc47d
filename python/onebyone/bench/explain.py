"""One layer by every algorithm that serves it: what each does, should cost and did cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .engines import LAYOUTS, ours
from .layers import Layer
from .problem import LayerProblem
from .results import LayerResult
from .runner import Pace, measure
from .table import milliseconds

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["explain"]


def explain(console: Console, layer: Layer, threads: int, pace: Pace, *, cold: bool) -> None:
    """Measure the layer with every algorithm in both layouts, and print a table of them."""
    algorithms = [name for name in _core.algorithms() if name != "reference"]
    specs = [
        ours(layout, algorithm, f"ours {layout} {algorithm}")
        for layout in LAYOUTS
        for algorithm in algorithms
    ]
    (result,) = measure(
        [LayerProblem(layer)], specs, threads, pace, cold=cold, say=lambda result: None
    )
    macs, traffic = result.macs, result.bytes
    console.print(
        f"{layer.text}: {macs / 1e6:,.1f} M multiply-adds, {traffic / 1e6:,.2f} MB of tensors, "
        f"{2 * macs / traffic:,.1f} FLOP a byte; {threads} thread{'s' * (threads > 1)}, "
        f"at the FMA peak {milliseconds(2 * macs / result.peak)} ms",
        soft_wrap=True,
    )
    console.print("estimate: what the plan expects of one core at 3 GHz, in ms")
    _print(console, result)


def _print(console: Console, result: LayerResult) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("layout", "algorithm", "plan"):
        table.add_column(title)
    for title in ("estimate", "ms", "best ms", "of peak", "error"):
        table.add_column(title, justify="right")
    for name, m in result.engines.items():
        _, layout, algorithm = name.split()
        plan, _, rest = m.note.partition(" estimate=")
        estimate, _, threads = rest.partition("ms")
        table.add_row(
            layout,
            algorithm,
            plan + threads,
            estimate,
            milliseconds(m.median),
            milliseconds(m.best),
            f"{result.share(name):.0%}",
            f"{m.error:.0e}",
        )
    console.print(table)
    for name, why in result.refused.items():
        console.print(f"{name.removeprefix('ours ')}: {why}", soft_wrap=True)
