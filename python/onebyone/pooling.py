"""Pooling as functions: the documentation of what the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import adaptive_avg_pool2d as _adaptive_avg_pool2d
from ._core import avg_pool2d as _avg_pool2d
from ._core import max_pool2d as _max_pool2d

if TYPE_CHECKING:
    from ._core import Array, Edges, Size

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


def max_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Edges = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the largest value of each window of an image, channel by channel.

    Parameters
    ----------
    x
        Layout "NCHW": (N, C, H, W), or (C, H, W) for one image.
        Layout "NHWC": (N, H, W, C), or (H, W, C) for one image.
        float32 or float64; any strides; never written.
    kernel_size
        Rows and columns of a window: an int, or (vertical, horizontal).
    stride
        Step of the window in pixels: an int, or (vertical, horizontal); None for the window's size.
    padding
        Pixels around the image that a window may cover, less than its size: an int for all sides,
        (vertical, horizontal) or ((top, bottom), (left, right)). They are never the largest.
    dilation
        Distance of a window's neighbouring pixels: an int, or (vertical, horizontal).
    ceil_mode
        Whether a last window that hangs over the end counts, if it begins inside the image or on
        the padding before it.
    layout
        "NCHW" or "NHWC": of ``x``, ``out`` and the result.
    out
        Receives the result; conditions as in :func:`conv2d`.

    Returns
    -------
    Array
        (N, C, OH, OW) or (N, OH, OW, C), without N if ``x`` had none, where
        OH = floor((H + top + bottom - dilation * (rows - 1) - 1) / stride) + 1 (ceil with
        ``ceil_mode``) and OW likewise. A window that holds a NaN gives NaN. A new array of the
        library that ``x`` came from, or ``out`` itself.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.max_pool2d(np.ones((1, 64, 112, 112), np.float32), 3, 2, padding=1).shape
    (1, 64, 56, 56)
    """
    return _max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode, layout=layout, out=out)


def avg_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Edges = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the mean of each window of an image, channel by channel.

    Parameters
    ----------
    x, kernel_size, stride, ceil_mode, layout, out
        As in :func:`max_pool2d`.
    padding
        Zeros around the image, written as in :func:`max_pool2d`.
    count_include_pad
        Whether the mean counts the zeros of the padding. What hangs over the padding
        (``ceil_mode``) never counts.
    divisor_override
        Divides the sum, instead of the number of pixels.

    Returns
    -------
    Array
        As of :func:`max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.avg_pool2d(np.ones((1, 64, 56, 56), np.float32), 2).shape
    (1, 64, 28, 28)
    """
    return _avg_pool2d(
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        layout=layout,
        out=out,
    )


def adaptive_avg_pool2d(
    x: Array,
    output_size: int | tuple[int | None, int | None] | None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return means of windows that divide an image into so many rows and columns.

    Output (i, j) is the mean of rows floor(i * H / OH) up to ceil((i + 1) * H / OH), and of columns
    likewise; with ``output_size=1`` of each whole channel.

    Parameters
    ----------
    x, layout, out
        As in :func:`max_pool2d`.
    output_size
        (OH, OW), or an int for both; None for either is that of ``x``.

    Returns
    -------
    Array
        (N, C, OH, OW) or (N, OH, OW, C), without N if ``x`` had none.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.adaptive_avg_pool2d(np.ones((1, 7, 7, 2048), np.float32), 1, layout="NHWC").shape
    (1, 1, 1, 2048)
    """
    return _adaptive_avg_pool2d(x, output_size, layout=layout, out=out)
