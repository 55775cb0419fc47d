"""How far a run is, on stderr: a bar on a terminal, else a line a layer."""

from __future__ import annotations

from types import TracebackType

from .results import LayerResult

__all__ = ["Progress"]


class Progress:
    """A context that counts layers up to ``total``."""

    def __init__(self, total: int) -> None:
        from rich import progress
        from rich.console import Console

        self._console = Console(stderr=True, markup=False, highlight=False)
        self._total, self._done = total, 0
        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, result: LayerResult) -> None:
        """A layer is done. Engines that failed are named at once."""
        self._done += 1
        ratio = result.ratio()
        line = f"{result.layer} on {result.threads}" + (f": {ratio:.2f} x" if ratio else "")
        self._bar.update(self._task, advance=1, description=line)
        if not self._console.is_terminal:
            self._console.print(f"[{self._done}/{self._total}] {line}", soft_wrap=True)
        for engine, why in result.refused.items():
            self._console.print(f"  {engine} does not count: {why}", soft_wrap=True)
