"""What ``onebyone bench`` does with its arguments."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from .engines import LAYOUTS, find_peers, ours
from .errors import BenchError, MissingExtra
from .layers import Layer, parse_layer, read_layers, set_names
from .machine import describe_machine, measure_bandwidth
from .progress import Progress
from .results import Run, save_run
from .runner import Pace, measure

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
        return _measure(arguments)
    except BenchError as error:
        print(f"{arguments.prog}: error: {error}", file=sys.stderr)
        return _CANNOT_USE_INPUT


def _measure(arguments: argparse.Namespace) -> int:
    from .table import print_run

    layers = _layers(arguments)
    specs = [ours(layout, arguments.algorithm) for layout in LAYOUTS]
    specs += find_peers(arguments.against)
    console = _console()
    pace = _QUICK if arguments.quick else Pace(rounds=arguments.rounds)
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
    if arguments.json:
        save_run(run, arguments.json)
    return 0


def _layers(arguments: argparse.Namespace) -> list[Layer]:
    layers = []
    for text in arguments.layer:
        try:
            layers.append(parse_layer(text))
        except BenchError as error:
            raise BenchError(f"--layer {text!r}: {error}") from None
    names = [name for names in arguments.set for name in names]
    for name in names or ([] if layers else ["layers"]):
        layers += read_layers(name)
    layers = list({layer.text: layer for layer in layers}.values())
    if arguments.filter is not None:
        layers = [layer for layer in layers if arguments.filter.search(layer.text)]
    if not layers:
        raise BenchError(f"--filter {arguments.filter.pattern!r} leaves no layer")
    return layers


def _console() -> Console:
    try:
        from rich.console import Console
    except ImportError as error:
        missing = (error.name or "rich").partition(".")[0]
        raise MissingExtra(
            f'{missing} is missing; install it with: pip install "onebyone[bench]"'
        ) from error
    console = Console(markup=False, highlight=False)
    # A pipe has no width, and a table is of no use with its columns cut.
    return console if console.is_terminal else Console(markup=False, highlight=False, width=250)
