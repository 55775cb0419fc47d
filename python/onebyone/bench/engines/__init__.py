"""The libraries that are measured: which there are, and which are installed. Imports none."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..errors import BenchError, MissingExtra
from ..layers import Layer
from ..problem import Arrays

if TYPE_CHECKING:
    from ..networks import Network

__all__ = [
    "LAYOUTS",
    "PEERS",
    "Engine",
    "EngineSpec",
    "Prepared",
    "find_peers",
    "our_network",
    "ours",
]

LAYOUTS = ("NHWC", "NCHW")


class Prepared(NamedTuple):
    """A layer or network ready to run."""

    run: Callable[[], object]
    """One call, as a user would make it."""

    output: Callable[[], np.ndarray]
    """The result of the last call, images as (N, K, OH, OW); may copy."""

    note: str = ""
    """What the engine says about its choice."""

    kept: tuple[object, ...] = ()
    """Memory that the engine uses and does not own."""


class Engine(Protocol):
    """A library with a number of threads, in a process of its own."""

    def __init__(self, threads: int, **options: str) -> None: ...

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        """Everything that is not timed. Raises any exception where the layer is not served."""
        ...

    def prepare_network(self, network: Network) -> Prepared:
        """The same of a whole network."""
        ...


@dataclass(frozen=True)
class EngineSpec:
    """An engine before it is loaded; can be sent to another process."""

    name: str
    module: str
    cls: str
    options: dict[str, str] = field(default_factory=dict)
    ours: bool = False
    form: str = "onnx"
    """The files of a network that it reads."""

    def load(self, threads: int) -> Engine:
        module: Any = importlib.import_module(self.module, __name__)
        return getattr(module, self.cls)(threads, **self.options)


class Peer(NamedTuple):
    packages: tuple[str, ...]
    """What must be importable."""

    specs: tuple[EngineSpec, ...]


def ours(layout: str, algorithm: str = "auto", name: str = "") -> EngineSpec:
    """This library's engine in a layout."""
    options = {"layout": layout, "algorithm": algorithm}
    return EngineSpec(name or f"ours {layout}", ".ours", "Ours", options, ours=True)


def our_network() -> EngineSpec:
    """This library's compiled networks."""
    return EngineSpec("ours", ".ours", "OurNetwork", ours=True)


PEERS = {
    "torch": Peer(
        ("torch",),
        tuple(
            EngineSpec(f"torch {layout}", ".pytorch", "Torch", {"layout": layout})
            for layout in ("NCHW", "NHWC")
        ),
    ),
    "onnxruntime": Peer(
        ("onnxruntime", "onnx"), (EngineSpec("onnxruntime", ".onnx_runtime", "OnnxRuntime"),)
    ),
    "openvino": Peer(("openvino",), (EngineSpec("openvino", ".open_vino", "OpenVino"),)),
    "ncnn": Peer(("ncnn",), (EngineSpec("ncnn", ".ncnn_net", "Ncnn", form="ncnn"),)),
    "litert": Peer(
        ("ai_edge_litert", "flatbuffers"),
        (EngineSpec("litert", ".litert", "LiteRT", form="litert"),),
    ),
}
"""Every peer by the name that --against takes."""


def find_peers(text: str) -> list[EngineSpec]:
    """The engines for a value of --against: "all" (that are installed), "none", or names.

    Raises BenchError for an unknown name, MissingExtra for one that is not installed.
    """
    if text == "none":
        return []
    if text == "all":
        return [s for peer in PEERS.values() if not _missing(peer) for s in peer.specs]
    specs = []
    for name in text.split(","):
        if name not in PEERS:
            raise BenchError(
                f"--against takes all, none, or names among {', '.join(PEERS)}, not {name!r}"
            )
        missing = _missing(PEERS[name])
        if missing:
            raise MissingExtra(
                f"{name} needs {' and '.join(missing)}; install them with: "
                'pip install "onebyone[bench-peers]"'
            )
        specs += PEERS[name].specs
    return specs


def _missing(peer: Peer) -> list[str]:
    return [package for package in peer.packages if find_spec(package) is None]
