"""The layers with weights, Conv2d, Conv1x1 and Linear, and Flatten that stands between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import _core
from ..functional import conv2d
from ..plan import Conv2dPlan
from . import arguments
from .module import Module, Shape
from .weighted import Weighted

if TYPE_CHECKING:
    import numpy as np

    from .._core import Activation, Array, Graph, Padding, Size

__all__ = ["Conv1x1", "Conv2d", "Flatten", "Linear"]


class Conv2d(Weighted):
    """A layer of filters: ``activation(conv(x, weight) + bias)``; see :func:`onebyone.conv2d`.

    Input (N, C, H, W) or (N, H, W, C) by the call's layout, or one image without N; output in the
    same layout with K = ``out_channels``. float32 or float64, as ``dtype``.

    Parameters
    ----------
    in_channels, out_channels
        C and K.
    kernel_size
        (R, S), the filter's rows and columns, or an int for both.
    stride, padding, dilation, groups, activation
        As in :func:`onebyone.conv2d`: ``padding`` also takes "same", "valid" and
        ((top, bottom), (left, right)).
    bias
        Whether the layer adds a bias (K,).
    dtype
        "float32" or "float64", of the weights and so of the inputs.

    Attributes
    ----------
    weight : array (K, C/groups, R, S)
        Read-only. Initially uniform on ±1/sqrt(C/groups * R * S), as in torch; see ``manual_seed``.
    bias : array (K,) or None
        Read-only, drawn from the same distribution.

    Raises
    ------
    TypeError, ValueError
        The constructor names the argument it cannot use; a call or :meth:`output_shape` names the
        layer if the input does not fit it.

    Examples
    --------
    >>> import onebyone as ob
    >>> ob.nn.Conv2d(3, 512, 3, padding="same").output_shape((1, 3, 256, 256))
    (1, 512, 256, 256)
    """

    _fixed = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "activation",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        activation: Activation = None,
        dtype: str | np.dtype | type = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = arguments.positive(in_channels, f"{name}: in_channels")
        self.out_channels = arguments.positive(out_channels, f"{name}: out_channels")
        self.kernel_size = arguments.pair(kernel_size, f"{name}: kernel_size")
        self.stride = arguments.pair(stride, f"{name}: stride")
        self.padding = arguments.padding(padding, f"{name}: padding")
        self.dilation = arguments.pair(dilation, f"{name}: dilation")
        self.groups = arguments.positive(groups, f"{name}: groups")
        self.activation = arguments.activation(activation, name)
        for channels in ("in_channels", "out_channels"):
            if getattr(self, channels) % self.groups:
                raise ValueError(
                    f"{name}: {channels} {getattr(self, channels)} "
                    f"is no multiple of groups {self.groups}"
                )
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._create_weights(shape, bias, dtype)

    def forward(self, x: Array, layout: str) -> Array:
        shape = getattr(x, "shape", None)
        if shape is None:
            return conv2d(x, self.weight, self.bias, layout=layout, **self._options())
        key = (shape, layout, _core.get_precision())
        return (self._plans.get(key) or self.plan(shape, layout))(x)

    def plan(self, input_shape: Shape, layout: str = "NCHW") -> Conv2dPlan:
        """Return the plan that calls with this shape run; the layer keeps the last few.

        Raises ValueError as :meth:`output_shape`.
        """
        key = (tuple(input_shape), layout, _core.get_precision())

        def make() -> Conv2dPlan:
            self.output_shape(key[0], layout)
            return Conv2dPlan(
                self.weight, self.bias, input_shape=key[0], layout=layout, **self._options()
            )

        return self._plans.get_or_make(key, make)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape, name = tuple(input_shape), repr(self)
        channels, *image = arguments.image_axes(shape, layout, name)
        if shape[channels] != self.in_channels:
            raise ValueError(
                f"{name}: expects {self.in_channels} input channels, input has {shape[channels]} "
                f"(axis {channels} of {shape}, layout {layout})"
            )
        result = list(shape)
        result[channels] = self.out_channels
        for i, axis in enumerate(image):
            result[axis] = arguments.output_size(
                shape[axis],
                self.kernel_size[i],
                self.stride[i],
                arguments.padding_at(self.padding, i),
                self.dilation[i],
                name,
            )
        return tuple(result)

    def multiply_adds(self, input_shape: Shape, layout: str = "NCHW") -> int:
        return math.prod(self.output_shape(input_shape, layout)) * math.prod(self.weight.shape[1:])

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        return graph.conv2d(x, self.weight, self.bias, **self._options(), name=name)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0, 0):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        return ", ".join([*parts, *_common_repr(self)])

    def _options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "activation": self.activation,
        }


class Conv1x1(Conv2d):
    """The projection layer: a 1x1 convolution, which is one matrix for all pixels.

    Every output pixel is ``weight`` (K, C) times the C values of the input pixel, plus bias: a
    small dense layer that slides over the image, mixes the feature maps and leaves their height and
    width as they are (Lin et al., "Network in Network", arXiv 1312.4400). By the number of maps it

    - keeps them, K = C: with an activation it adds non-linearity and depth, and no change of shape;
    - reduces them, K < C: a cheap summary before an expensive layer, the bottleneck of GoogLeNet
      (Szegedy et al., arXiv 1409.4842) and ResNet (He et al., arXiv 1512.03385);
    - expands them, K > C: after a reduction, or to make up for pooling.

    It has K * C / groups weights and K biases. Parameters, attributes and errors are as in
    :class:`Conv2d` with ``kernel_size=1``; a ``stride`` above 1 skips pixels.

    Examples
    --------
    >>> import onebyone as ob
    >>> reduce = ob.nn.Conv1x1(512, 64, activation="relu")
    >>> reduce.output_shape((1, 512, 256, 256))
    (1, 64, 256, 256)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        activation: Activation = None,
        dtype: str | np.dtype | type = "float32",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            1,
            stride,
            groups=groups,
            bias=bias,
            activation=activation,
            dtype=dtype,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}"]
        if self.stride != (1, 1):
            parts.append(f"stride={self.stride}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        return ", ".join([*parts, *_common_repr(self)])


class Linear(Weighted):
    """A dense layer: ``activation(x @ weight.T + bias)``; see :func:`onebyone.linear`.

    Input (..., F), output (..., K), whatever the layout. float32 or float64, as ``dtype``.

    Parameters
    ----------
    in_features, out_features
        F and K.
    bias
        Whether the layer adds a bias (K,).
    activation
        As in :func:`onebyone.conv2d`.
    dtype
        "float32" or "float64", of the weights and so of the inputs.

    Attributes
    ----------
    weight : array (K, F)
        Read-only. Initially uniform on ±1/sqrt(F), as in torch; see ``manual_seed``.
    bias : array (K,) or None
        Read-only, drawn from the same distribution.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Conv2d`.
    """

    _fixed = ("in_features", "out_features", "activation")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: Activation = None,
        dtype: str | np.dtype | type = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_features = arguments.positive(in_features, f"{name}: in_features")
        self.out_features = arguments.positive(out_features, f"{name}: out_features")
        self.activation = arguments.activation(activation, name)
        self._create_weights((self.out_features, self.in_features), bias, dtype)

    def forward(self, x: Array, layout: str) -> Array:
        shape = getattr(x, "shape", None)
        if shape is None:
            return _core.linear(x, self.weight, self.bias, activation=self.activation)
        plan, rows, output = self._plans.get(shape) or self._plan(tuple(shape))
        return plan(x.reshape(rows)).reshape(output)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape = tuple(input_shape)
        if not shape or shape[-1] != self.in_features:
            raise ValueError(
                f"{self!r}: expects {self.in_features} input features, input has "
                f"{shape[-1] if shape else 'none'} (last axis of {shape})"
            )
        return (*shape[:-1], self.out_features)

    def multiply_adds(self, input_shape: Shape, layout: str = "NCHW") -> int:
        return math.prod(self.output_shape(input_shape, layout)) * self.in_features

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        if layout == "NHWC" and len(graph.shape(x)) == 4:
            # The last axis of the array that forward is given is the graph's second.
            weight = self.weight[:, :, None, None]
            return graph.conv2d(x, weight, self.bias, activation=self.activation, name=name)
        return graph.linear(x, self.weight, self.bias, activation=self.activation, name=name)

    def extra_repr(self) -> str:
        parts = [
            f"in_features={self.in_features}, out_features={self.out_features}",
            f"bias={self.bias is not None}",
        ]
        return ", ".join([*parts, *_common_repr(self)[self.bias is None :]])

    def _plan(self, shape: Shape) -> tuple[Conv2dPlan, Shape, Shape]:
        # The rows are the pixels of one NHWC image one pixel high: a plan packs the weights once,
        # the functional form would with every call.
        def make() -> tuple[Conv2dPlan, Shape, Shape]:
            output = self.output_shape(shape)
            rows = (1, math.prod(shape[:-1]), self.in_features)
            plan = Conv2dPlan(
                self.weight[:, :, None, None],
                self.bias,
                input_shape=rows,
                activation=self.activation,
                layout="NHWC",
            )
            return plan, rows, output

        return self._plans.get_or_make(shape, make)


class Flatten(Module):
    """Make one vector of each image: (N, C, H, W) -> (N, C * H * W), (C, H, W) -> (C * H * W,).

    The order is channels first in both layouts: an NHWC image gives the same vector as its NCHW
    twin, so that the weights of a following ``Linear`` stay valid whichever layout they were
    trained in. Vectors, (N, F) or (F,), pass unchanged. Unlike torch's, it takes no axes.

    Raises ValueError for more than 4 dimensions or an unknown layout.
    """

    def forward(self, x: Array, layout: str) -> Array:
        shape = tuple(x.shape)
        output = self.output_shape(shape, layout)
        if layout == "NHWC" and len(shape) > 2:
            *batch, height, width, channels = shape
            x = x.reshape((*batch, height * width, channels)).swapaxes(-1, -2)
        return x.reshape(output)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape = tuple(input_shape)
        arguments.check_layout(layout, "Flatten")
        if not 1 <= len(shape) <= 4:
            raise ValueError(f"Flatten(): expects 1 to 4 dimensions, input has shape {shape}")
        if len(shape) < 3:
            return shape
        return (*shape[:-3], math.prod(shape[-3:]))

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        shape = graph.shape(x)
        return x if len(shape) < 3 else graph.reshape(x, self.output_shape(shape), name=name)


def _common_repr(layer: Conv2d | Linear) -> list[str]:
    parts = [] if layer.bias is not None else ["bias=False"]
    if layer.activation is not None:
        parts.append(f"activation={layer.activation!r}")
    return parts
