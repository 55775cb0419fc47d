"""The options of ``onebyone bench``. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import os
import re

__all__ = ["add_bench"]

_DTYPES = ("float32", "tf32", "float16", "bfloat16")

_EXAMPLES = """\
sets: resnet50, googlenet, nin, squeezenet, mobilenet_v2, efficientnet_b0, vgg16, projection256,
small1x1, gemv, layers (a bit of each); --list-sets counts their layers.

examples:
  onebyone bench --set resnet50,mobilenet_v2 --threads 1,2 --json now.json --plot now.png
  onebyone bench --layer "1x64x56x56 -> 256 k1" --against torch,onnxruntime
  onebyone bench --networks resnet50,mobilenet_v2@8x3x224x224,mine.onnx --threads 1,2
  onebyone bench --explain "1x512x7x7 -> 512 k3 p1"
  onebyone bench --compare before.json now.json
  onebyone bench --cuda --set resnet50 --dtype float32,tf32,float16
"""


def add_bench(commands: argparse._SubParsersAction) -> None:
    """Add the command to ``onebyone``."""
    text = "Measure layers or networks against torch, onnxruntime, OpenVINO, ncnn and LiteRT."
    parser = commands.add_parser(
        "bench",
        help=text,
        description=(
            f"{text} Engines take turns in short bursts, and only results that agree with the "
            'reference count. Needs: pip install "onebyone[bench]", and "onebyone[bench-peers]" '
            "for something to compare with."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--set",
        action="append",
        default=[],
        type=_names,
        metavar="NAME|FILE",
        help="sets of layers, or files in their format; repeat it or use commas (default: layers)",
    )
    what.add_argument(
        "--layer", action="append", default=[], metavar="TEXT", help="one layer; may be repeated"
    )
    what.add_argument(
        "--networks",
        action="append",
        nargs="?",
        const=["all"],
        default=[],
        type=_names,
        metavar="NAME|FILE.onnx",
        help=(
            "whole networks in the place of layers: names of onebyone.models, ONNX files, either "
            "with an input's shape behind it (@1x3x640x640), with commas; all of onebyone.models "
            "if nothing follows"
        ),
    )
    what.add_argument(
        "--filter", type=_regex, metavar="REGEX", help="keep layers in whose text this is found"
    )
    what.add_argument(
        "--against",
        default="all",
        metavar="NAMES",
        help=(
            "torch, onnxruntime, openvino, ncnn, litert, with commas; all (default): those that "
            "are installed; or none"
        ),
    )
    what.add_argument(
        "--threads", type=_thread_counts, default=[1], metavar="N[,N...]", help="default: 1"
    )
    what.add_argument(
        "--algorithm", default="auto", metavar="NAME", help="for our engines (default: auto)"
    )
    what.add_argument(
        "--cold",
        action="store_true",
        help="out of the caches: between calls the engine runs a layer that is larger than they",
    )
    what.add_argument(
        "--cuda",
        action="store_true",
        help="layers on an NVIDIA GPU, against cuDNN through torch",
    )
    what.add_argument(
        "--dtype",
        default=["float32"],
        type=_dtypes,
        metavar="NAMES",
        help=f"with --cuda: {', '.join(_DTYPES)}, with commas (default: float32)",
    )
    pace = parser.add_argument_group("how long")
    pace.add_argument(
        "--rounds", type=_rounds, default=7, metavar="N", help="bursts of each engine (default: 7)"
    )
    pace.add_argument("--quick", action="store_true", help="3 rounds of shorter bursts")
    to = parser.add_argument_group("what is written")
    to.add_argument("--json", metavar="FILE", help="everything measured, for --compare")
    to.add_argument(
        "--plot", metavar="FILE.png", help="times in ours and share of the peak, layer by layer"
    )
    to.add_argument("--markdown", metavar="FILE", help="the tables, with machine and versions")
    instead = parser.add_argument_group("instead of a run")
    instead.add_argument(
        "--explain", metavar="TEXT", help="one layer by every algorithm of ours: plan, cost, error"
    )
    instead.add_argument(
        "--compare",
        nargs=2,
        metavar=("A.json", "B.json"),
        help="say what B has slower than A beyond the noise; exit code 1 if anything",
    )
    instead.add_argument("--list-sets", action="store_true", help="list the sets and their sizes")
    parser.set_defaults(run=_bench, prog=parser.prog)


def _bench(arguments: argparse.Namespace) -> int:
    from .command import run

    return run(arguments)


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise argparse.ArgumentTypeError("expects names or files")
    return names


def _dtypes(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if not set(names) <= set(_DTYPES):
        raise argparse.ArgumentTypeError(
            f"expects names among {', '.join(_DTYPES)} with commas between, not {text!r}"
        )
    return names


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"expects a regular expression, not {text!r}: {error}"
        ) from error


def _thread_counts(text: str) -> list[int]:
    most = os.cpu_count() or 1
    counts = text.split(",")
    if not all(c.isdecimal() and 1 <= int(c) <= most for c in counts):
        raise argparse.ArgumentTypeError(
            f"expects integers from 1 to {most} with commas between, not {text!r}"
        )
    return list(dict.fromkeys(map(int, counts)))


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expects an integer from 1 to 1000, not {text!r}")
    return int(text)
