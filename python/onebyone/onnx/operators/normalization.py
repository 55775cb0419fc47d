"""Normalisation: by known statistics, and by those of the tensor itself."""

from __future__ import annotations

import math

from ..node import Node
from .common import axis_of
from .registry import Emitter, operator

__all__: list[str] = []


@operator("BatchNormalization", constants={1, 2, 3, 4})
def batch_normalization(node: Node) -> Emitter:
    epsilon = node.float("epsilon", 1e-5)
    node.ignore("momentum")
    if node.opset < 9:
        node.require("spatial", 1)
    node.require("training_mode", 0)
    node.only_first_output()

    def emit(g, x, scale, bias, mean, variance):
        return g.batch_norm(x, scale, bias, mean, variance, epsilon)

    return emit


@operator("InstanceNormalization")
def instance_normalization(node: Node) -> Emitter:
    """Over each channel of each image. Ulyanov et al., arXiv 1607.08022."""
    epsilon = node.float("epsilon", 1e-5)

    def emit(g, x, scale, bias):
        rank = g.rank(x)
        y = _normalized(g, x, list(range(2, rank)), epsilon)[0]
        return _scaled(g, y, _per_channel(g, scale, rank), _per_channel(g, bias, rank))

    return emit


@operator("GroupNormalization")
def group_normalization(node: Node) -> Emitter:
    """Over groups of channels; scale and bias are per group before opset 21, then per channel.

    Wu and He, arXiv 1803.08494.
    """
    epsilon, groups = node.float("epsilon", 1e-5), node.int("num_groups", 0)
    node.ignore("stash_type")

    def emit(g, x, scale, bias):
        shape = g.shape(x)
        if groups < 1 or shape[1] % groups:
            raise ValueError(f"{groups} groups of {shape[1]} channels")
        grouped = g.reshape(x, (shape[0], groups, shape[1] // groups, *shape[2:]))
        y = _normalized(g, grouped, list(range(2, len(shape) + 1)), epsilon)[0]
        if g.shape(scale) == (groups,) and node.opset < 21:
            scale, bias = (_per_channel(g, v, len(shape) + 1) for v in (scale, bias))
            return g.reshape(_scaled(g, y, scale, bias), shape)
        y = g.reshape(y, shape)
        rank = len(shape)
        return _scaled(g, y, _per_channel(g, scale, rank), _per_channel(g, bias, rank))

    return emit


@operator("LayerNormalization")
def layer_normalization(node: Node) -> Emitter:
    """Over all axes from ``axis`` on. Ba et al., arXiv 1607.06450."""
    epsilon, axis = node.float("epsilon", 1e-5), node.int("axis", -1)
    node.ignore("stash_type")

    def emit(g, x, scale, bias=None):
        axes = list(range(axis_of(axis, g.rank(x)), g.rank(x)))
        y, mean, inverse = _normalized(g, x, axes, epsilon)
        return _scaled(g, y, scale, bias), mean, inverse

    return emit


@operator("RMSNormalization")
def rms_normalization(node: Node) -> Emitter:
    """As layer normalisation without a mean. Zhang and Sennrich, arXiv 1910.07467."""
    epsilon, axis = node.float("epsilon", 1e-5), node.int("axis", -1)
    node.ignore("stash_type")

    def emit(g, x, scale):
        axes = list(range(axis_of(axis, g.rank(x)), g.rank(x)))
        inverse = _inverse_deviation(g, x, axes, epsilon)
        return _scaled(g, g.binary(x, inverse, "mul"), scale, None)

    return emit


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Node) -> Emitter:
    axes = node.ints("axes") or (0, 2, 3)

    def emit(g, x):
        at = [axis_of(axis, g.rank(x)) for axis in axes]
        return _normalized(g, x, at, 1e-9)[0]

    return emit


@operator("LpNormalization")
def lp_normalization(node: Node) -> Emitter:
    axis, p = node.int("axis", -1), node.int("p", 2)
    if p not in (1, 2):
        raise ValueError(f"{node}: p must be 1 or 2, not {p}")

    def emit(g, x):
        norm = g.reduce(x, [axis_of(axis, g.rank(x))], f"l{p}", True)
        return g.binary(x, norm, "div")

    return emit


@operator("LRN")
def lrn(node: Node) -> Emitter:
    """Across channels. Krizhevsky et al., "ImageNet classification with deep CNNs", 2012."""
    size, alpha = node.int("size", 1), node.float("alpha", 1e-4)
    beta, bias = node.float("beta", 0.75), node.float("bias", 1.0)

    def emit(g, x):
        shape = g.shape(x)
        if len(shape) < 2:
            raise ValueError(f"expects channels on axis 1, the shape is {shape}")
        if len(shape) == 4:
            return g.lrn(x, size, alpha, beta, bias)
        image = g.reshape(x, (*shape[:2], 1, math.prod(shape[2:])))
        return g.reshape(g.lrn(image, size, alpha, beta, bias), shape)

    return emit


def _normalized(g, x, axes, epsilon: float):
    """Return (x - mean) / sqrt(variance + epsilon) along ``axes``, the mean, and 1 / the root."""
    mean = g.reduce(x, axes, "mean", True)
    centred = g.binary(x, mean, "sub")
    inverse = _inverse_deviation(g, centred, axes, epsilon)
    return g.binary(centred, inverse, "mul"), mean, inverse


def _inverse_deviation(g, x, axes, epsilon: float):
    square = g.reduce(g.binary(x, x, "mul"), axes, "mean", True)
    return g.unary(g.unary(g.binary(square, g.number(epsilon), "add"), "sqrt"), "reciprocal")


def _scaled(g, x, scale, bias):
    y = g.binary(x, scale, "mul")
    return y if bias is None else g.binary(y, bias, "add")


def _per_channel(g, values, rank: int):
    return g.reshape(values, (g.shape(values)[0], *(1,) * (rank - 2)))
