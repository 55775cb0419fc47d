"""This library: a plan called with ``out=``."""

from __future__ import annotations

import numpy as np

from ...plan import Conv2dPlan
from ..layers import Layer
from ..problem import Arrays, aligned
from . import Prepared

__all__ = ["Ours"]


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
