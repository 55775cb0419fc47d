"""The same elements in another shape or order: views mostly, and joins, splits and repetitions."""

from __future__ import annotations

import math

import numpy as np

from ..errors import Unsupported
from ..node import Node
from .common import axes_of, axis_of, integers, scalar, unsqueezed
from .registry import Emitter, operator

__all__: list[str] = []


@operator("Identity", folds=True)
def identity(node: Node) -> Emitter:
    def emit(g, x):
        return x

    return emit


@operator("Dropout", constants={1, 2})
def dropout(node: Node) -> Emitter:
    """Nothing at inference."""
    node.ignore("ratio", "seed")
    node.only_first_output()

    def emit(g, x, ratio=None, training=None):
        if training is not None and scalar(training, "training_mode"):
            raise ValueError("training_mode is not supported")
        return x

    if node.static.get(2) is not None and np.any(node.static[2]):
        raise Unsupported("training_mode")
    return emit


@operator("Reshape", constants={1}, folds=True)
def reshape(node: Node) -> Emitter:
    """A size of 0 keeps the input's, unless ``allowzero``; one of -1 follows from the others."""
    allow_zero = bool(node.int("allowzero", 0))

    def emit(g, x, shape):
        old, new = g.shape(x), integers(shape, "shape")
        if not allow_zero:
            for axis, size in enumerate(new):
                if size == 0:
                    if axis >= len(old):
                        raise ValueError(f"shape {new} keeps axis {axis} of {old}")
                    new[axis] = old[axis]
        return g.reshape(x, _inferred(old, new))

    return emit


def _inferred(old, new: list[int]) -> list[int]:
    known, count = math.prod(size for size in new if size != -1), math.prod(old)
    if new.count(-1) == 1 and known > 0 and count % known == 0:
        new = [count // known if size == -1 else size for size in new]
    if any(size < 0 for size in new) or math.prod(new) != count:
        raise ValueError(f"{tuple(old)} cannot be reshaped to {tuple(new)}")
    return new


@operator("Flatten", folds=True)
def flatten(node: Node) -> Emitter:
    axis = node.int("axis", 1)

    def emit(g, x):
        shape = g.shape(x)
        at = axis if axis == len(shape) else axis_of(axis, len(shape))
        return g.reshape(x, (math.prod(shape[:at]), math.prod(shape[at:])))

    return emit


@operator("Transpose", folds=True)
def transpose(node: Node) -> Emitter:
    perm = node.ints("perm")

    def emit(g, x):
        rank = g.rank(x)
        order = tuple(range(rank))[::-1] if perm is None else perm
        if sorted(order) != list(range(rank)):
            raise ValueError(f"perm {order} is no order of {rank} dimensions")
        return g.transpose(x, order)

    return emit


@operator("Squeeze", constants={1}, folds=True)
def squeeze(node: Node) -> Emitter:
    given = node.ints("axes") if node.opset < 13 else None

    def emit(g, x, axes=None):
        shape = g.shape(x)
        which = given if axes is None else integers(axes, "axes")
        if which is None:
            at = [axis for axis, size in enumerate(shape) if size == 1]
        else:
            at = axes_of(which, len(shape))
        if any(shape[axis] != 1 for axis in at):
            raise ValueError(f"axes {at} of shape {shape} are not all of size 1")
        return g.reshape(x, [size for axis, size in enumerate(shape) if axis not in at])

    return emit


@operator("Unsqueeze", constants={1}, folds=True)
def unsqueeze(node: Node) -> Emitter:
    given = node.ints("axes") if node.opset < 13 else None

    def emit(g, x, axes=None):
        which = given if axes is None else integers(axes, "axes")
        if which is None:
            raise ValueError("axes are missing")
        return g.reshape(x, unsqueezed(g.shape(x), which))

    return emit


@operator("Expand", constants={1}, folds=True)
def expand(node: Node) -> Emitter:
    """Broadcast both ways: sizes of 1 in ``shape`` keep the input's."""

    def emit(g, x, shape):
        return g.expand(x, np.broadcast_shapes(g.shape(x), tuple(integers(shape, "shape"))))

    return emit


@operator("Tile", constants={1}, folds=True)
def tile(node: Node) -> Emitter:
    """Each axis of size n gets an axis before it that is broadcast: (n) -> (1, n) -> (r, n)."""

    def emit(g, x, repeats):
        shape, times = g.shape(x), integers(repeats, "repeats")
        if len(times) != len(shape) or any(count < 0 for count in times):
            raise ValueError(f"repeats {times} for shape {shape}")
        pairs = list(zip(times, shape, strict=True))
        x = g.reshape(x, [size for _, n in pairs for size in (1, n)])
        x = g.expand(x, [size for pair in pairs for size in pair])
        return g.reshape(x, [count * n for count, n in pairs])

    return emit


@operator("Concat", folds=True)
def concat(node: Node) -> Emitter:
    if not node.has("axis"):
        raise ValueError(f"{node}: attribute 'axis' is missing")
    axis = node.int("axis", 0)

    def emit(g, *xs):
        return g.concat(list(xs), axis_of(axis, g.rank(xs[0])))

    return emit


@operator("Split", constants={1}, folds=True)
def split(node: Node) -> Emitter:
    """Sizes are an attribute before opset 13, an input from then on; absent, they are equal but
    for a smaller last one."""
    axis, given = node.int("axis", 0), node.ints("split") if node.opset < 13 else None
    parts = len(node.outputs)
    if node.opset >= 18 and node.int("num_outputs", parts) != parts:
        raise ValueError(f"{node}: num_outputs differs from its {parts} outputs")

    def emit(g, x, sizes=None):
        shape = g.shape(x)
        at = axis_of(axis, len(shape))
        each = -(-shape[at] // parts)
        sizes = list(given) if given else None if sizes is None else integers(sizes, "split")
        if sizes is None:
            sizes = [max(min(each, shape[at] - i * each), 0) for i in range(parts)]
        if len(sizes) != parts or sum(sizes) != shape[at] or min(sizes) < 0:
            raise ValueError(f"split {sizes} for {parts} outputs, axis {at} of {shape}")
        results, start = [], 0
        for size in sizes:
            starts, lengths = [0] * len(shape), list(shape)
            starts[at], lengths[at] = start, size
            results.append(g.slice(x, starts, lengths, [1] * len(shape)))
            start += size
        return tuple(results)

    return emit


@operator("DepthToSpace", folds=True)
def depth_to_space(node: Node) -> Emitter:
    block, mode = node.int("blocksize", 0), node.choice("mode", "DCR", "CRD")
    if block < 1:
        raise ValueError(f"{node}: blocksize must be positive")

    def emit(g, x):
        n, c, h, w = _image(g, x)
        if c % block**2:
            raise ValueError(f"{c} channels are no multiple of blocksize² {block**2}")
        if mode == "DCR":
            x = g.reshape(x, (n, block, block, c // block**2, h, w))
            x = g.transpose(x, (0, 3, 4, 1, 5, 2))
        else:
            x = g.reshape(x, (n, c // block**2, block, block, h, w))
            x = g.transpose(x, (0, 1, 4, 2, 5, 3))
        return g.reshape(x, (n, c // block**2, h * block, w * block))

    return emit


@operator("SpaceToDepth", folds=True)
def space_to_depth(node: Node) -> Emitter:
    block = node.int("blocksize", 0)
    if block < 1:
        raise ValueError(f"{node}: blocksize must be positive")

    def emit(g, x):
        n, c, h, w = _image(g, x)
        if h % block or w % block:
            raise ValueError(f"{h} x {w} is no multiple of blocksize {block}")
        x = g.reshape(x, (n, c, h // block, block, w // block, block))
        x = g.transpose(x, (0, 3, 5, 1, 2, 4))
        return g.reshape(x, (n, c * block**2, h // block, w // block))

    return emit


def _image(g, x) -> tuple[int, ...]:
    if g.rank(x) != 4:
        raise ValueError(f"expects an image of 4 dimensions, not {g.shape(x)}")
    return g.shape(x)


@operator("Pad", constants={1, 2, 3}, folds=True)
def pad(node: Node) -> Emitter:
    """Pads and value are attributes before opset 11, inputs from then on."""
    mode = node.choice("mode", "constant", "reflect", "edge")
    if node.opset < 11:
        given, fill = node.ints("pads"), node.float("value", 0.0)
    else:
        given, fill = None, 0.0

    def emit(g, x, pads=None, value=None, axes=None):
        rank = g.rank(x)
        widths = list(given or ()) if pads is None else integers(pads, "pads")
        at = list(range(rank)) if axes is None else integers(axes, "axes")
        at = [axis_of(axis, rank) for axis in at]
        if len(widths) != 2 * len(at):
            raise ValueError(f"{len(widths)} pads for {len(at)} axes")
        before, after = [0] * rank, [0] * rank
        for i, axis in enumerate(at):
            before[axis], after[axis] = widths[i], widths[len(at) + i]
        filler = fill if value is None or value.size == 0 else scalar(value, "constant_value")
        return g.pad(x, before, after, mode, filler)

    return emit
