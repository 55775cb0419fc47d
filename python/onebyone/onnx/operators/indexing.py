"""Parts of a tensor: slices, and elements at indices that are known before the network runs."""

from __future__ import annotations

import numpy as np

from ..node import Node
from .common import axes_of, axis_of, integers
from .registry import Emitter, operator

__all__: list[str] = []


@operator("Slice", constants={1, 2, 3, 4}, folds=True)
def slice_(node: Node) -> Emitter:
    """Bounds are attributes before opset 10, inputs from then on; they are clamped as Python's."""
    given = [node.ints(key) for key in ("starts", "ends", "axes")] if node.opset < 10 else None

    def emit(g, x, starts=None, ends=None, axes=None, steps=None):
        shape = g.shape(x)
        if given:
            starts, ends, axes = given
        else:
            starts, ends, axes, steps = (
                None if a is None else integers(a, "starts, ends, axes and steps")
                for a in (starts, ends, axes, steps)
            )
        if starts is None or ends is None or len(starts) != len(ends):
            raise ValueError("starts and ends do not go together")
        at = [axis_of(axis, len(shape)) for axis in (range(len(starts)) if axes is None else axes)]
        steps = [1] * len(at) if steps is None else steps
        if not len(starts) == len(at) == len(steps) or 0 in steps:
            raise ValueError(f"starts {starts}, axes {at} and steps {steps} do not go together")
        first, sizes, strides = [0] * len(shape), list(shape), [1] * len(shape)
        for axis, start, end, step in zip(_distinct(at), starts, ends, steps, strict=True):
            part = range(*slice(start, end, step).indices(shape[axis]))
            first[axis], sizes[axis], strides[axis] = (part.start, len(part), step)
            if not part:
                first[axis], strides[axis] = 0, 1
        return g.slice(x, first, sizes, strides)

    return emit


def _distinct(axes: list[int]) -> list[int]:
    """Return the axes after a check that none is named twice."""
    axes_of(axes, max(axes, default=0) + 1)
    return axes


@operator("Gather", constants={1}, folds=True)
def gather(node: Node) -> Emitter:
    """A single index is a slice; indices of several dimensions are gathered in one and reshaped."""
    axis = node.int("axis", 0)

    def emit(g, x, indices):
        shape = g.shape(x)
        at = axis_of(axis, len(shape))
        if indices.dtype.kind not in "iu":
            raise ValueError(f"indices must be integers, not {indices.dtype}")
        size = shape[at]
        if indices.size and not (-size <= indices.min() and indices.max() < size):
            raise ValueError(f"indices reach outside of axis {at} of {shape}")
        flat = np.where(indices < 0, indices + size, indices).astype(np.int64).ravel()
        if flat.size == 1:
            starts, sizes = [0] * len(shape), list(shape)
            starts[at], sizes[at] = int(flat[0]), 1
            y = g.slice(x, starts, sizes, [1] * len(shape))
        else:
            y = g.gather(x, flat, at)
        if indices.ndim == 1:
            return y
        return g.reshape(y, (*shape[:at], *indices.shape, *shape[at + 1 :]))

    return emit
