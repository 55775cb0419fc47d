"""Whole networks to measure: of ``onebyone.models`` by name, or ONNX files by path.

``record`` writes a module down as ONNX, ``build`` makes the files that the engines read,
``model`` and ``fuse`` read and simplify the network for ``to_ncnn``, ``to_litert`` and, in torch,
``interpret``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..engines import Engine, Prepared

__all__ = ["FORMATS", "Network"]

FORMATS = {
    "onnx": ("model.onnx",),
    "ncnn": ("model.param", "model.bin"),
    "litert": ("model.tflite",),
}
"""The files of each."""


@dataclass(frozen=True)
class Network:
    """A network as a Problem: a folder of files and what is to be known about them."""

    text: str
    folder: str
    macs: int
    bytes: int
    unwritten: dict[str, str] = field(default_factory=dict)
    """Formats that cannot hold this network, and why."""

    kind = "network"

    tolerance = 1e-4
    """Sums of many layers, in another order and by Winograd, err by some 1e-5; a wrong layer by
    1e-2 and more."""

    peers_tolerance = 1e-3
    """ncnn and XNNPACK add the pixels of an image one by one in pooling: that errs by 2e-4 in
    networks of text detection."""

    alone = True

    def files(self, form: str) -> list[Path]:
        """Raises RuntimeError that says why there are none."""
        if form in self.unwritten:
            raise RuntimeError(self.unwritten[form])
        return [Path(self.folder, name) for name in FORMATS[form]]

    def input(self) -> np.ndarray:
        """(N, C, H, W), float32."""
        return np.load(Path(self.folder, "input.npy"))

    def expected(self) -> np.ndarray:
        """The output of onnxruntime."""
        return np.load(Path(self.folder, "output.npy"))

    def prepare(self, engine: Engine) -> Prepared:
        return engine.prepare_network(self)

    def checked(self, output: np.ndarray) -> np.ndarray:
        return np.array(output)
