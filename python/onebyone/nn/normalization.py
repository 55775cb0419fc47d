"""Layers that bring numbers to a scale: BatchNorm2d and Softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from . import arguments
from .arrays import float_dtype
from .module import Module, Shape

if TYPE_CHECKING:
    from .._core import Array, Graph

__all__ = ["BatchNorm2d", "Softmax"]


class BatchNorm2d(Module):
    """Each channel scaled and shifted by its statistics: see :func:`onebyone.batch_norm`.

    As torch's in evaluation mode: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias.
    Input (N, C, H, W) or (N, H, W, C) by the call's layout, or one image without N; output of the
    same shape.

    Parameters
    ----------
    num_features
        C.
    eps
        Added to the variance.
    momentum
        Taken for torch's sake: it matters in training alone.
    affine
        Whether the layer has ``weight`` and ``bias``.
    track_running_stats
        True; statistics of the batch itself are for training.
    dtype
        "float32" or "float64", of the parameters and so of the inputs.

    Attributes
    ----------
    weight, bias : array (C,) or None
        Initially 1 and 0. Read-only.
    running_mean, running_var : array (C,)
        Initially 0 and 1; buffers. Read-only.
    num_batches_tracked : array ()
        int64, part of a state dict and of no other use.

    Raises
    ------
    TypeError, ValueError
        The constructor names the argument it cannot use; a call or :meth:`output_shape` names the
        layer if the input does not fit it.
    """

    optional_state = ("num_batches_tracked",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: str | np.dtype | type = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = arguments.positive(num_features, f"{name}: num_features")
        self.eps = arguments.real(eps, f"{name}: eps")
        self.momentum = momentum
        if not track_running_stats:
            raise ValueError(
                f"{name}: track_running_stats must be True; statistics of a batch are for training"
            )
        shape, kind = self.num_features, float_dtype(dtype, name)
        self.register_parameter("weight", np.ones(shape, kind) if affine else None)
        self.register_parameter("bias", np.zeros(shape, kind) if affine else None)
        self.register_buffer("running_mean", np.zeros(shape, kind))
        self.register_buffer("running_var", np.ones(shape, kind))
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Array, layout: str) -> Array:
        return _core.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.eps,
            layout=layout,
        )

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        return graph.batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.eps, name=name
        )

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape, name = tuple(input_shape), repr(self)
        channels = arguments.image_axes(shape, layout, name)[0]
        if shape[channels] != self.num_features:
            raise ValueError(
                f"{name}: expects {self.num_features} channels, input has {shape[channels]} "
                f"(axis {channels} of {shape}, layout {layout})"
            )
        return shape

    def extra_repr(self) -> str:
        affine = "" if self.weight is not None else ", affine=False"
        return f"{self.num_features}, eps={self.eps}{affine}"


class Softmax(Module):
    """exp(x) / sum(exp(x)) along axis ``dim``: see :func:`onebyone.softmax`.

    ``dim`` counts the array's axes, whatever the layout: -1 is the classes of (N, classes).
    Raises TypeError if it is no integer.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = arguments.integer(dim, f"{type(self).__name__}: dim")

    def forward(self, x: Array, layout: str) -> Array:
        return _core.softmax(x, self.dim)

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        # A graph's images are channels first, whatever the arrays are.
        image = layout == "NHWC" and len(graph.shape(x)) == 4
        return graph.softmax(x, (0, 2, 3, 1)[self.dim] if image else self.dim, name=name)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape = tuple(input_shape)
        if not -len(shape) <= self.dim < len(shape):
            raise ValueError(f"{self!r}: input of shape {shape} has no axis {self.dim}")
        return shape

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
