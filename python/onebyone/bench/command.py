"""What ``onebyone bench`` does with its arguments."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import _core
from ..files import check_writable
from .compare import report
from .engines import LAYOUTS, EngineSpec, find_peers, our_network, ours
from .errors import BenchError, MissingExtra
from .layers import Layer, parse_layer, read_layers, set_names
from .machine import describe_machine, measure_bandwidth
from .markdown import write_markdown
from .problem import LayerProblem
from .progress import Progress
from .results import Run, load_run, save_run
from .runner import Pace, measure
from .table import print_run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run"]

_CANNOT_USE_INPUT = 2
_QUICK = Pace(rounds=3, seconds=0.01)
_NETWORKS = Pace(seconds=0.2)
"""Some calls of most networks a turn: the first has its weights driven out by the others' turns."""

_QUICK_NETWORKS = Pace(rounds=3, seconds=0.05)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    try:
        if arguments.list_sets:
            for name in set_names():
                print(f"{name:<18}{len(read_layers(name)):>4} layers")
            return 0
        if arguments.compare:
            return int(report(*map(load_run, arguments.compare)))
        if arguments.cuda:
            return _run_cuda(arguments)
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


def _run_cuda(arguments: argparse.Namespace) -> int:
    from .cuda import check_gpu, measure, report

    for option in ("networks", "cold", "json", "markdown", "plot", "explain"):
        if getattr(arguments, option):
            raise BenchError(f"--{option} does not go with --cuda")
    torch, layers = check_gpu(), _layers(arguments)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    rounds = _pace(arguments).rounds
    for dtype in arguments.dtype:
        results = [(layer, measure(torch, layer, dtype, rounds)) for layer in layers]
        print(report(results, dtype))
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    measured = _run_networks if arguments.networks else _run_layers
    return measured(arguments)


def _run_layers(arguments: argparse.Namespace) -> int:
    layers = _layers(arguments)
    _check_algorithm(arguments.algorithm)
    specs = [ours(layout, arguments.algorithm) for layout in LAYOUTS]
    specs += find_peers(arguments.against)
    _check_outputs(arguments)
    console = _console()
    pace = _pace(arguments)
    run = _new_run(arguments, pace)
    run.settings |= {"cold": arguments.cold, "algorithm": arguments.algorithm}
    problems = [LayerProblem(layer) for layer in layers]
    with Progress(len(layers) * len(arguments.threads)) as progress:
        for threads in arguments.threads:
            run.layers += measure(
                problems, specs, threads, pace, cold=arguments.cold, say=progress.step
            )
    return _finish(arguments, console, run)


def _run_networks(arguments: argparse.Namespace) -> int:
    from .networks.build import build, check_network, network_names

    _check_networks_alone(arguments)
    texts = [text for names in arguments.networks for text in names]
    if "all" in texts:
        texts = network_names() + [text for text in texts if text != "all"]
    texts = list(dict.fromkeys(texts))
    for text in texts:
        check_network(text)
    specs: list[EngineSpec] = [our_network(), *find_peers(arguments.against)]
    _check_outputs(arguments)
    console = _console()
    pace = _pace(arguments, networks=True)
    run = _new_run(arguments, pace)
    with Progress(len(texts) * len(arguments.threads)) as progress:
        for text in texts:
            # A network's files exist while it is measured: those of ten would fill a disk.
            with build(text, {spec.form for spec in specs}) as network:
                for threads in arguments.threads:
                    run.layers += measure(
                        [network], specs, threads, pace, cold=False, say=progress.step
                    )
    run.layers.sort(key=lambda r: arguments.threads.index(r.threads))
    return _finish(arguments, console, run)


def _new_run(arguments: argparse.Namespace, pace: Pace) -> Run:
    return Run(
        machine=describe_machine(),
        command=shlex.join(["onebyone", *sys.argv[1:]]),
        settings={"rounds": pace.rounds, "burst seconds": pace.seconds},
        bandwidth={str(n): measure_bandwidth(n) for n in arguments.threads},
    )


def _finish(arguments: argparse.Namespace, console: Console, run: Run) -> int:
    print_run(console, run)
    _write(arguments, run)
    return 0


def _pace(arguments: argparse.Namespace, *, networks: bool = False) -> Pace:
    if arguments.quick:
        return _QUICK_NETWORKS if networks else _QUICK
    pace = _NETWORKS if networks else Pace()
    return replace(pace, rounds=arguments.rounds)


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


def _check_networks_alone(arguments: argparse.Namespace) -> None:
    for option in ("set", "layer", "filter", "cold"):
        if getattr(arguments, option):
            raise BenchError(f"--{option} is for layers and does not go with --networks")
    if arguments.algorithm != "auto":
        raise BenchError("--algorithm is for layers and does not go with --networks")


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
