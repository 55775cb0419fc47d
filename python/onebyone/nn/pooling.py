"""Pooling as layers: the largest value or the mean of each window, or of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from . import arguments
from .module import Module, Shape

if TYPE_CHECKING:
    from .._core import Array, Edges, Size

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


class _Pool(Module):
    """Windows of ``kernel_size`` that move by ``stride`` over the padded image."""

    dilation = (1, 1)

    def __init__(
        self, kernel_size: Size, stride: Size | None, padding: Edges, ceil_mode: bool
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = arguments.pair(kernel_size, f"{name}: kernel_size")
        self.stride = (
            self.kernel_size if stride is None else arguments.pair(stride, f"{name}: stride")
        )
        checked = arguments.padding(padding, f"{name}: padding")
        if isinstance(padding, str) or isinstance(checked, str):
            raise ValueError(f"{name}: padding must be numbers of pixels, not {padding!r}")
        self.padding = checked
        self.ceil_mode = bool(ceil_mode)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape, name = tuple(input_shape), repr(self)
        result = list(shape)
        _, *image = arguments.image_axes(shape, layout, name)
        for i, axis in enumerate(image):
            result[axis] = arguments.pooled_size(
                shape[axis],
                self.kernel_size[i],
                self.stride[i],
                arguments.padding_at(self.padding, i),
                self.dilation[i],
                self.ceil_mode,
                name,
            )
        return tuple(result)

    def extra_repr(self) -> str:
        parts = [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != (0, 0):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.ceil_mode:
            parts.append("ceil_mode=True")
        return ", ".join(parts)


class MaxPool2d(_Pool):
    """The largest value of each window; see :func:`onebyone.max_pool2d`, whose arguments these are.

    Input (N, C, H, W) or (N, H, W, C) by the call's layout, or one image without N; output in the
    same layout. Raises TypeError or ValueError that names the argument it cannot use, and at a call
    the layer if the input does not fit it.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Edges = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = arguments.pair(dilation, f"{type(self).__name__}: dilation")

    def forward(self, x: Array, layout: str) -> Array:
        return _core.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            layout=layout,
        )


class AvgPool2d(_Pool):
    """The mean of each window; see :func:`onebyone.avg_pool2d`, whose arguments these are.

    Input, output and errors as of :class:`MaxPool2d`.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Edges = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = divisor_override
        if divisor_override is not None:
            self.divisor_override = arguments.positive(
                divisor_override, f"{type(self).__name__}: divisor_override"
            )

    def forward(self, x: Array, layout: str) -> Array:
        return _core.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
            layout=layout,
        )

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if not self.count_include_pad:
            parts.append("count_include_pad=False")
        if self.divisor_override is not None:
            parts.append(f"divisor_override={self.divisor_override}")
        return ", ".join(parts)


class AdaptiveAvgPool2d(Module):
    """Means of windows that divide the image into ``output_size`` rows and columns.

    ``output_size`` is an int or (rows, columns); None for either is the input's. See
    :func:`onebyone.adaptive_avg_pool2d`. Input, output and errors as of :class:`MaxPool2d`.
    """

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        super().__init__()
        name = f"{type(self).__name__}: output_size"
        sizes: Any = output_size
        if not isinstance(sizes, (tuple, list)):
            sizes = (sizes, sizes)
        if len(sizes) != 2:
            raise ValueError(f"{name} must be an integer or two of them, not {output_size!r}")
        height, width = (None if n is None else arguments.positive(n, name) for n in sizes)
        self.output_size = (height, width)

    def forward(self, x: Array, layout: str) -> Array:
        return _core.adaptive_avg_pool2d(x, self.output_size, layout=layout)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape = list(input_shape)
        _, *image = arguments.image_axes(tuple(shape), layout, repr(self))
        for axis, size in zip(image, self.output_size, strict=True):
            if size is not None:
                shape[axis] = size
        return tuple(shape)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class GlobalAvgPool2d(Module):
    """The mean of each channel over the whole image: (N, C, 1, 1) or (N, 1, 1, C).

    Lin et al., "Network in Network", arXiv 1312.4400, where it takes the place of the dense layers.
    Input and errors as of :class:`MaxPool2d`.
    """

    def forward(self, x: Array, layout: str) -> Array:
        return _core.adaptive_avg_pool2d(x, 1, layout=layout)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        shape = list(input_shape)
        for axis in arguments.image_axes(tuple(shape), layout, repr(self))[1:]:
            shape[axis] = 1
        return tuple(shape)
