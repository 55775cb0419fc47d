"""What stands between convolutions, as functions: the documentation of what the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import interpolate as _interpolate

if TYPE_CHECKING:
    from ._core import Array, Size

__all__ = ["interpolate"]


def interpolate(
    x: Array,
    size: Size | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Resample images to another height and width.

    Parameters
    ----------
    x
        Layout "NCHW": (N, C, H, W), or (C, H, W) for one image.
        Layout "NHWC": (N, H, W, C), or (H, W, C) for one image.
        float32 or float64; any strides; never written.
    size
        Output rows and columns: an int, or (vertical, horizontal).
    scale_factor
        Instead of ``size``, a number or two: the output has floor(H * factor) rows.
    mode
        "nearest" (the pixel at floor(i / factor)), "nearest-exact" (the one whose centre is
        nearest), "bilinear" or "bicubic" (Keys, 1981, with a = -0.75).
    align_corners
        Of "bilinear" and "bicubic": whether the centres of the corner pixels stay where they are,
        and not the corners of the image.
    layout
        "NCHW" or "NHWC": of ``x``, ``out`` and the result.
    out
        Receives the result; conditions as in :func:`conv2d`.

    Returns
    -------
    Array
        (N, C, OH, OW) or (N, OH, OW, C), without N if ``x`` had none. A new array of the library
        that ``x`` came from, or ``out`` itself.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> x = np.ones((1, 24, 40, 60), np.float32)
    >>> ob.interpolate(x, scale_factor=2).shape
    (1, 24, 80, 120)
    >>> ob.interpolate(x, (100, 100), mode="bilinear").shape
    (1, 24, 100, 100)
    """
    return _interpolate(x, size, scale_factor, mode, align_corners, layout=layout, out=out)
