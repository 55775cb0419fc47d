"""Resize, in its forms since opset 10, and Upsample, which it replaced."""

from __future__ import annotations

import math

import numpy as np

from ..errors import Unsupported
from ..node import Node
from .common import axis_of, integers
from .registry import Emitter, operator

__all__: list[str] = []

_COORDINATES = ("pytorch_half_pixel", "align_corners", "asymmetric")
_NEAREST = ("round_prefer_ceil", "floor", "ceil")


@operator("Upsample", constants={1})
def upsample(node: Node) -> Emitter:
    mode = _mode(node)
    given = node.floats("scales") if node.opset < 9 else None

    def emit(g, x, scales=None):
        scales = given if scales is None else scales
        return _resized(g, x, mode, "asymmetric", "floor", _factors(scales, g.rank(x)), None)

    return emit


@operator("Resize", constants={1, 2, 3})
def resize(node: Node) -> Emitter:
    """Inputs: x, scales (opset 10); x, roi, scales, sizes from opset 11 on. roi is for cropping."""
    mode = _mode(node)
    if node.opset < 11:

        def emit_first(g, x, scales):
            return _resized(g, x, mode, "asymmetric", "floor", _factors(scales, g.rank(x)), None)

        return emit_first

    coordinates = node.choice("coordinate_transformation_mode", "half_pixel", *_COORDINATES)
    nearest = node.choice("nearest_mode", "round_prefer_floor", *_NEAREST)
    cubic_a = node.float("cubic_coeff_a", -0.75)
    node.require("antialias", 0)
    if node.int("exclude_outside", 0) and mode == "cubic":
        raise Unsupported("exclude_outside 1")
    node.ignore("extrapolation_value")
    axes = node.ints("axes")
    policy = node.choice("keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller")

    def emit(g, x, roi=None, scales=None, sizes=None):
        shape = g.shape(x)
        at = range(len(shape)) if axes is None else [axis_of(axis, len(shape)) for axis in axes]
        if sizes is not None and sizes.size:
            goal = integers(sizes, "sizes")
            if len(goal) != len(at):
                raise ValueError(f"{len(goal)} sizes for {len(at)} axes")
            factors, goal = _by_sizes(shape, list(at), goal, policy)
        else:
            factors, goal = [1.0] * len(shape), None
            given = _factors(scales, len(at))
            for axis, factor in zip(at, given, strict=True):
                factors[axis] = factor
        return _resized(g, x, mode, coordinates, nearest, factors, goal, cubic_a)

    return emit


def _mode(node: Node) -> str:
    mode = node.choice("mode", "nearest", "linear", "bilinear", "cubic")
    return "linear" if mode == "bilinear" else mode


def _factors(scales, count: int) -> list[float]:
    if scales is None or len(scales) != count:
        raise ValueError(f"expects {count} scales, got {None if scales is None else len(scales)}")
    factors = [float(factor) for factor in np.ravel(scales)]
    if not all(0 < factor < math.inf for factor in factors):
        raise ValueError(f"scales must be positive, not {factors}")
    return factors


def _by_sizes(shape, axes, sizes, policy: str):
    """Return the factors and the output's sizes for the sizes that the file gives for some axes."""
    goal = list(shape)
    if policy == "stretch":
        for axis, size in zip(axes, sizes, strict=True):
            goal[axis] = size
        return [g / n if n else 1.0 for g, n in zip(goal, shape, strict=True)], goal
    factors = [size / shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    factor = min(factors) if policy == "not_larger" else max(factors)
    for axis in axes:
        goal[axis] = math.floor(factor * shape[axis] + 0.5)
    return [factor if axis in axes else 1.0 for axis in range(len(shape))], goal


def _resized(g, x, mode, coordinates, nearest, factors, goal, cubic_a=-0.75):
    """Resize the last one or two axes, which may be all that change."""
    shape = g.shape(x)
    if goal is None:
        goal = [math.floor(n * factor) for n, factor in zip(shape, factors, strict=True)]
    if tuple(goal) == shape and all(factor == 1 for factor in factors):
        return x
    spatial = 1 if len(shape) == 3 else 2
    fixed = len(shape) - spatial
    if fixed < 1 or tuple(goal[:fixed]) != shape[:fixed]:
        raise ValueError(f"{shape} to {tuple(goal)}: only the last {spatial} axes can be resized")
    rows = shape[-2] if spatial == 2 else 1
    lead = (math.prod(shape[: fixed - 1]), shape[fixed - 1]) if fixed > 1 else (1, shape[0])
    size = (goal[-2] if spatial == 2 else 1, goal[-1])
    scales = (factors[-2] if spatial == 2 else 1.0, factors[-1])
    image = x if len(shape) == 4 else g.reshape(x, (*lead, rows, shape[-1]))
    y = g.resize(image, size, scales, mode, coordinates, nearest, cubic_a)
    return y if len(shape) == 4 else g.reshape(y, goal)
