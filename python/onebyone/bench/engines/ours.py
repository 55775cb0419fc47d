"""This library: a plan called with ``out=``, or a compiled network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...plan import Conv2dPlan
from ..layers import Layer
from ..problem import Arrays, aligned
from . import Prepared

if TYPE_CHECKING:
    from ..networks import Network

__all__ = ["OurNetwork", "Ours"]


class Ours:
    def __init__(self, threads: int, layout: str, algorithm: str) -> None:
        self.threads, self.layout, self.algorithm = threads, layout, algorithm

    def prepare(self, layer: Layer, arrays: Arrays) -> Prepared:
        channels_last = self.layout == "NHWC"
        x = aligned(np.moveaxis(arrays.x, 1, -1) if channels_last else arrays.x)
        plan = Conv2dPlan(
            arrays.weight,
            arrays.bias,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            input_shape=x.shape,
            layout=self.layout,
            algorithm=self.algorithm,
            num_threads=self.threads,
        )
        out = aligned(np.zeros(plan.output_shape, np.float32))
        return Prepared(
            lambda: plan(x, out=out),
            lambda: np.moveaxis(out, -1, 1) if channels_last else out,
            repr(plan).partition(": ")[2],
        )


class OurNetwork:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare_network(self, network: Network) -> Prepared:
        import onebyone as ob

        x = aligned(network.input())
        graph = ob.onnx.load(*network.files("onnx"))
        net = ob.compile(graph, x.shape, num_threads=self.threads)
        result = None

        def run() -> None:
            nonlocal result
            result = net(x)

        memory = ", ".join(f"{title} {size / 2**20:.1f} MB" for title, size in net.memory.items())
        return Prepared(run, lambda: result, memory)
