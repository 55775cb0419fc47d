"""The ``onebyone`` command. Wrong input is one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .bench.arguments import add_bench
from .config import show_config
from .model_commands import add_run, add_summary

__all__ = ["main"]

_CANNOT_USE_INPUT = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on ``argv`` (by default the process's arguments); return its exit code.

    Raises SystemExit, as argparse does, after ``--help``, ``--version`` and wrong arguments.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; keep the interpreter from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """argparse without the usage lines before an error."""

    def error(self, message: str) -> NoReturn:
        self.exit(_CANNOT_USE_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="onebyone", description="Fast convolutions on the CPU.")
    parser.add_argument("--version", action="version", version=f"onebyone {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_info(commands)
    _add_demo(commands)
    add_bench(commands)
    add_summary(commands)
    add_run(commands)
    return parser


def _add_info(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "Show version, instruction sets, threads and how the library was built."
    parser = commands.add_parser("info", help=text, description=text)
    parser.set_defaults(run=_info)


def _info(arguments: argparse.Namespace) -> int:
    show_config()
    return 0


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="Run 3x3 and 1x1 convolutions on a photograph, time them, draw the feature maps.",
        description=(
            "Run a 3x3 layer and 1x1 projections that keep, reduce and expand its 512 feature maps "
            "on a photograph; show parameters, times and what reductions save before a 7x7 layer, "
            "in an Inception module and in a residual block; draw the maps. "
            'Needs: pip install "onebyone[demo]".'
        ),
    )
    parser.add_argument(
        "image", nargs="?", metavar="IMAGE", help="photograph (default: one from matplotlib)"
    )
    parser.add_argument(
        "--layout", choices=("NHWC", "NCHW"), default="NHWC", help="memory layout (default: NHWC)"
    )
    parser.add_argument(
        "--threads", type=_threads, metavar="N", help="threads (default: all this process may use)"
    )
    parser.add_argument(
        "--out",
        default="onebyone_demo.png",
        metavar="FILE.png",
        help="picture to write (default: ./onebyone_demo.png)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=256,
        metavar="N",
        help="side in pixels the photograph is cropped to, 64 to 512 (default: 256)",
    )
    parser.set_defaults(run=_demo, prog=parser.prog)


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import DemoError, run

    try:
        run(
            arguments.image,
            layout=arguments.layout,
            num_threads=arguments.threads,
            out=arguments.out,
            size=arguments.size,
        )
    except DemoError as error:
        print(f"{arguments.prog}: error: {error}", file=sys.stderr)
        return _CANNOT_USE_INPUT
    return 0


def _threads(text: str) -> int:
    return _integer(text, 1, os.cpu_count() or 1)


def _size(text: str) -> int:
    return _integer(text, 64, 512)


def _integer(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expects an integer from {low} to {high}, not {text!r}")
    return value
