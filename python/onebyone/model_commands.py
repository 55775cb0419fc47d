"""``onebyone summary`` and ``onebyone run``: their arguments, and how they refuse them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["ModelError", "add_run", "add_summary"]

_CANNOT_USE_INPUT = 2


class ModelError(Exception):
    """What the user gave, or what is installed, does not suffice; the text says what to do."""


def add_summary(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``summary``."""
    text = "Show a network's layers: output shapes, parameters, multiply-adds."
    parser = commands.add_parser("summary", help=text, description=text)
    parser.add_argument(
        "model", metavar="MODEL", help="an .onnx file, or a network of onebyone.models: resnet50"
    )
    _add_shape(parser)
    parser.set_defaults(run=_summary, prog=parser.prog)


def add_run(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``run``."""
    text = "Run an ONNX model on a photograph: show its outputs, its time and a profile."
    parser = commands.add_parser("run", help=text, description=text)
    parser.add_argument("model", metavar="MODEL.onnx", help="the model")
    parser.add_argument(
        "--image",
        metavar="PHOTO",
        help="what the input is made from, resized to the model's size; random numbers without it",
    )
    _add_shape(parser)
    for name, default, use in (
        ("mean", "0.485,0.456,0.406", "subtracted from"),
        ("std", "0.229,0.224,0.225", "divides then"),
    ):
        parser.add_argument(
            f"--{name}",
            type=_numbers,
            default=default,
            metavar="R,G,B",
            help=f"{use} the colours, which are in 0 to 1 (default: {default})",
        )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="threads (default: all this process may use)"
    )
    parser.add_argument(
        "--repeat", type=_positive, default=10, metavar="N", help="timed runs (default: 10)"
    )
    parser.set_defaults(run=_run, prog=parser.prog)


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shape",
        type=_shape,
        action="append",
        metavar="NxCxHxW",
        help="an input's shape, where the model leaves it open; once for each input",
    )


def _summary(arguments: argparse.Namespace) -> int:
    from .run_model import summarise

    return _reporting(arguments, summarise, arguments.model, arguments.shape)


def _run(arguments: argparse.Namespace) -> int:
    from .run_model import run

    return _reporting(
        arguments,
        run,
        arguments.model,
        arguments.image,
        shapes=arguments.shape,
        mean=arguments.mean,
        std=arguments.std,
        num_threads=arguments.threads,
        repeat=arguments.repeat,
    )


def _reporting(arguments: argparse.Namespace, function: Any, *args: Any, **options: Any) -> int:
    try:
        function(*args, **options)
    except ModelError as error:
        print(f"{arguments.prog}: error: {error}", file=sys.stderr)
        return _CANNOT_USE_INPUT
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expects sizes such as 1x3x224x224, not {text!r}")
    return shape


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"expects a number or three, R,G,B, not {text!r}")
    return numbers


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expects a positive integer, not {text!r}")
    return int(text)
