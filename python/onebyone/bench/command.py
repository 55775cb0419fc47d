"""What ``onebyone bench`` does with its arguments."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from .. import _core
from ..files import check_writable
from .compare import report
from .engines import LAYOUTS, find_peers, ours
from .errors import BenchError, MissingExtra
from .layers import Layer, parse_layer, read_layers, set_names
from .machine import describe_machine, measure_bandwidth
from .markdown import write_markdown
from .progress import Progress
from .results import Run, load_run, save_run
from .runner import Pace, measure
from .table import print_run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run"]

_CANNOT_USE_INPUT = 2
_QUICK = Pace(rounds=3, seconds=0.01)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    try:
        if arguments.list_sets:
            for name in set_names():
                print(f"{name:<18}{len(read_layers(name)):>4} layers")
            return 0
        if arguments.compare:
            return int(report(*map(load_run, arguments.compare)))
        if arguments.explain is not None:
            return _explain(arguments)
        return _measure(arguments)
    except BenchError as error:
        print(f"{arguments.prog}: error: {error}", file=sys.stderr)
        return _CANNOT_USE_INPUT


def _explain(arguments: argparse.Namespace) -> int:
    from .explain import explain

    console = _console()
    layer = _layer("--explain", arguments.explain)
    for threads in arguments.threads:
        explain(console, layer, threads, _pace(arguments), cold=arguments.cold)
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    layers = _layers(arguments)
    _check_algorithm(arguments.algorithm)
    specs = [ours(layout, arguments.algorithm) for layout in LAYOUTS]
    specs += find_peers(arguments.against)
    _check_outputs(arguments)
    console = _console()
    pace = _pace(arguments)
    run = Run(
        machine=describe_machine(),
        command=shlex.join(["onebyone", *sys.argv[1:]]),
        settings={
            "rounds": pace.rounds,
            "burst seconds": pace.seconds,
            "cold": arguments.cold,
            "algorithm": arguments.algorithm,
        },
        bandwidth={str(n): measure_bandwidth(n) for n in arguments.threads},
    )
    total = len(layers) * len(arguments.threads)
    with Progress(total) as progress:
        for threads in arguments.threads:
            run.layers += measure(
                layers, specs, threads, pace, cold=arguments.cold, say=progress.step
            )
    print_run(console, run)
    _write(arguments, run)
    return 0


def _pace(arguments: argparse.Namespace) -> Pace:
    return _QUICK if arguments.quick else Pace(rounds=arguments.rounds)


def _write(arguments: argparse.Namespace, run: Run) -> None:
    if arguments.json:
        save_run(run, arguments.json)
    if arguments.markdown:
        write_markdown(run, arguments.markdown)
    if arguments.plot:
        from .plot import draw

        draw(run, arguments.plot)


def _layers(arguments: argparse.Namespace) -> list[Layer]:
    layers = []
    for text in arguments.layer:
        layers.append(_layer("--layer", text))
    names = [name for names in arguments.set for name in names]
    for name in names or ([] if layers else ["layers"]):
        layers += read_layers(name)
    layers = list({layer.text: layer for layer in layers}.values())
    if arguments.filter is not None:
        layers = [layer for layer in layers if arguments.filter.search(layer.text)]
    if not layers:
        raise BenchError(f"--filter {arguments.filter.pattern!r} leaves no layer")
    return layers


def _layer(option: str, text: str) -> Layer:
    try:
        return parse_layer(text)
    except BenchError as error:
        raise BenchError(f"{option} {text!r}: {error}") from None


def _check_algorithm(name: str) -> None:
    if name not in _core.algorithms():
        raise BenchError(f"--algorithm takes {', '.join(_core.algorithms())}, not {name!r}")


def _check_outputs(arguments: argparse.Namespace) -> None:
    """A run of an hour should not end with a file that cannot be written."""
    if arguments.plot is not None:
        if not arguments.plot.lower().endswith(".png"):
            raise BenchError(f"--plot must end in .png, not {arguments.plot!r}")
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise _missing(error) from error
    for path in (arguments.json, arguments.plot, arguments.markdown):
        if path is not None:
            try:
                check_writable(path)
            except OSError as error:
                raise BenchError(f"{path} cannot be written: {error.strerror}") from error


def _missing(error: ImportError) -> MissingExtra:
    package = (error.name or "a package").partition(".")[0]
    return MissingExtra(f'{package} is missing; install it with: pip install "onebyone[bench]"')


def _console() -> Console:
    try:
        from rich.console import Console
    except ImportError as error:
        raise _missing(error) from error
    console = Console(markup=False, highlight=False)
    # A pipe has no width, and a table is of no use with its columns cut.
    return console if console.is_terminal else Console(markup=False, highlight=False, width=250)
