"""What stands between convolutions, as functions: the documentation of what the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import add as _add
from ._core import batch_norm as _batch_norm
from ._core import concat as _concat
from ._core import interpolate as _interpolate
from ._core import pad as _pad
from ._core import softmax as _softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._core import Activation, Array, Size

__all__ = ["add", "batch_norm", "concat", "interpolate", "pad", "softmax"]


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


def batch_norm(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    activation: Activation = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Normalise channels by given statistics, as at inference.

    ``activation((x - running_mean) / sqrt(running_var + eps) * weight + bias)``, channel by
    channel; Ioffe and Szegedy, arXiv 1502.03167.

    Parameters
    ----------
    x
        Layout "NCHW": (N, C, H, W), (C, H, W) for one image, or (N, C).
        Layout "NHWC": (N, H, W, C), (H, W, C) for one image, or (N, C).
        float32 or float64; any strides; never written.
    running_mean, running_var, weight, bias
        (C,); dtype of ``x``. ``weight`` and ``bias`` may be None, for 1 and 0.
    eps
        Added to the variance.
    activation, layout, out
        As in :func:`conv2d`.

    Returns
    -------
    Array
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.
    """
    return _batch_norm(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        eps,
        activation=activation,
        layout=layout,
        out=out,
    )


def softmax(x: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return ``exp(x) / sum(exp(x))`` along an axis, without overflow.

    ``x`` is float32 or float64 of any shape; ``out`` as in :func:`conv2d`. Raises TypeError or
    ValueError that names the argument it cannot use.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.softmax(np.zeros((2, 4), np.float32))[0]
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    return _softmax(x, axis, out=out)


def add(a: Array, b: Array, *, activation: Activation = None, out: Array | None = None) -> Array:
    """Return ``activation(a + b)``, the shapes broadcast as NumPy's.

    Both are float32 or both float64; ``activation`` and ``out`` as in :func:`conv2d`. The result
    is of the library of ``a``. Raises TypeError or ValueError that names the argument it cannot
    use.
    """
    return _add(a, b, activation=activation, out=out)


def concat(arrays: Sequence[Array], axis: int = 0, *, out: Array | None = None) -> Array:
    """Join arrays along an axis: channels are axis 1 of "NCHW" and -1 of "NHWC".

    ``arrays`` is a list or tuple of arrays of one dtype, float32 or float64, with the same sizes
    but along ``axis``; ``out`` as in :func:`conv2d`. The result is of the first one's library.
    Raises TypeError or ValueError that names the array it cannot join.
    """
    return _concat(arrays, axis, out=out)


def pad(
    x: Array,
    pad: Sequence[int],
    mode: str = "constant",
    value: float = 0.0,
    *,
    out: Array | None = None,
) -> Array:
    """Put elements around an array, or crop it.

    Parameters
    ----------
    x
        float32 or float64 of any shape; never written.
    pad
        Two numbers, before and after, for the last axis, then for the one before it, and so on, as
        in torch: (left, right, top, bottom) for images in "NCHW". Negative ones crop.
    mode
        "constant", "reflect" (about the elements at the edges) or "replicate" (these elements).
    value
        What "constant" puts there.
    out
        Receives the result; conditions as in :func:`conv2d`.

    Returns
    -------
    Array
        A new array of the library that ``x`` came from, or ``out`` itself.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.pad(np.ones((1, 3, 5, 5), np.float32), (1, 2, 0, 3)).shape
    (1, 3, 8, 8)
    """
    return _pad(x, pad, mode, value, out=out)
