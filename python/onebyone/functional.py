"""Convolutions and the linear layer as functions: the documentation of what the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import conv1d as _conv1d
from ._core import conv2d as _conv2d
from ._core import conv_transpose2d as _conv_transpose2d
from ._core import linear as _linear

if TYPE_CHECKING:
    from ._core import Activation, Array, Edges, Padding, Size, Stream

__all__ = ["conv1d", "conv2d", "conv_transpose2d", "linear"]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    activation: Activation = None,
    residual: Array | None = None,
    layout: str = "NCHW",
    algorithm: str = "auto",
    out: Array | None = None,
    stream: Stream | None = None,
) -> Array:
    """Convolve images with filters: ``activation(conv(x, weight) + bias + residual)``.

    As in every deep-learning library this is a cross-correlation: filters are not flipped. With a
    1x1 filter each output pixel is the matrix product of the filters (K, C) and the input pixel
    (C,); see Lin et al., "Network in Network", arXiv 1312.4400.

    Parameters
    ----------
    x
        Layout "NCHW": (N, C, H, W), or (C, H, W) for one image.
        Layout "NHWC": (N, H, W, C), or (H, W, C) for one image.
        float32 or float64; any strides; never written. On a GPU (see :mod:`onebyone.cuda`) float32,
        float16 or bfloat16, and all other arrays on the same GPU.
    weight
        Filters (K, C/groups, R, S), R rows by S columns, whatever the layout; dtype of ``x``.
    bias
        (K,), added to each output channel; dtype of ``x``.
    stride
        Step of the filter in pixels: an int, or (vertical, horizontal).
    padding
        Zeros around the image, in pixels: an int for all sides, (vertical, horizontal),
        ((top, bottom), (left, right)), "valid" for none, or "same" for an output of
        ceil(input / stride) pixels. Where "same" needs an odd number of zeros, the extra row is at
        the bottom and the extra column at the right; this holds for every stride.
    dilation
        Distance of neighbouring filter taps in pixels: an int, or (vertical, horizontal).
    groups
        Channels are cut into this many groups that are convolved apart. It divides C and K;
        ``groups == C`` is a depthwise convolution.
    activation
        None, "relu", "relu6", "leaky_relu" (slope 0.01), "sigmoid", "tanh", "silu", "hardswish",
        "hardsigmoid", "gelu" (the exact one, with erf), or with parameters
        ("leaky_relu", slope) and ("clip", low, high).
    residual
        Array of the output's shape and dtype, added before the activation.
    layout
        "NCHW" or "NHWC": of ``x``, ``residual``, ``out`` and the result.
    algorithm
        "auto", or one by name: "gemm" (1x1 only), "strassen" (1x1 over an even number of channels
        in layout "NHWC": an eighth fewer multiplications, by Strassen's algorithm in Winograd's
        form; rounding errors two to three times those of "gemm"), "direct" (implicit GEMM,
        arXiv 1907.02129),
        "winograd" (dilation 1; kernel sides of 1 to 5 and 7 with stride 1, of 3 to 8 with
        stride 2; arXiv 1509.09308),
        "depthwise" (groups of one channel), "reference" (plain loops). One that cannot serve the
        shape is a ValueError that says why. "auto" may choose Winograd's, and in a network of
        :func:`compile` Strassen's, see :func:`set_precision`. On a GPU "auto", "direct" and
        "depthwise" exist.
    out
        Receives the result: C-contiguous, writable, of the output's shape and dtype, not
        overlapping an input.
    stream
        For arrays on a GPU: the CUDA stream to put the work on, its address as an int or an object
        with ``__cuda_stream__``, ``cuda_stream`` (torch) or ``ptr`` (CuPy). None takes the current
        stream of the library that ``x`` came from. Nothing waits for the result: it is ready in the
        order of the stream.

    Returns
    -------
    Array
        (N, K, OH, OW) or (N, OH, OW, K), without N if ``x`` had none, where
        OH = floor((H + top + bottom - dilation * (R - 1) - 1) / stride) + 1 and OW likewise.
        A new array of the library that ``x`` came from, or ``out`` itself.

    Raises
    ------
    TypeError
        An array is neither float32 nor float64, differs in dtype from ``x``, lies in other memory
        than ``x``, or is not an array; or ``x`` is on a GPU that cannot be used, with the reason.
    ValueError
        Shapes do not fit together, the filter is larger than the padded image, an option is
        unknown, ``algorithm`` cannot serve the shape, or ``out`` does not qualify. The message
        names the argument and its value.
    RuntimeError
        The GPU's driver refused the work; the message has its words.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> x = np.ones((1, 3, 256, 256), np.float32)
    >>> weight = np.ones((512, 3, 3, 3), np.float32)
    >>> ob.conv2d(x, weight, padding="same", activation="relu").shape
    (1, 512, 256, 256)
    >>> ob.conv2d(x, weight, stride=2, padding="same").shape
    (1, 512, 128, 128)
    """
    return _conv2d(
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation,
        residual,
        layout,
        algorithm,
        out,
        stream,
    )


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] | tuple[tuple[int, int]] | str = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    *,
    activation: Activation = None,
    layout: str = "NCL",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve sequences with filters: ``activation(conv(x, weight) + bias)``.

    Parameters
    ----------
    x
        Layout "NCL": (N, C, L), or (C, L) for one sequence.
        Layout "NLC": (N, L, C), or (L, C) for one sequence.
        float32 or float64; any strides; never written.
    weight
        Filters (K, C/groups, S) of S taps, whatever the layout; dtype of ``x``.
    bias
        (K,), added to each output channel; dtype of ``x``.
    stride, dilation
        Step of the filter and distance of its taps, in positions: an int or a tuple of one.
    padding
        Zeros at the ends, in positions: an int for both, ((left, right),), "valid" for none, or
        "same" for an output of ceil(L / stride) positions, an odd zero at the right, for every
        stride.
    groups
        Channels are cut into this many groups that are convolved apart. It divides C and K.
    activation
        As in :func:`conv2d`.
    layout
        "NCL" or "NLC" (or "NCHW", "NHWC", which mean the same here): of ``x``, ``out`` and the
        result.
    algorithm
        As in :func:`conv2d`.
    out
        Receives the result; conditions as in :func:`conv2d`.

    Returns
    -------
    Array
        (N, K, OL) or (N, OL, K), without N if ``x`` had none, where
        OL = floor((L + left + right - dilation * (S - 1) - 1) / stride) + 1.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> x = np.ones((8, 80, 1000), np.float32)
    >>> weight = np.ones((256, 80, 5), np.float32)
    >>> ob.conv1d(x, weight, padding="same").shape
    (8, 256, 1000)
    """
    return _conv1d(
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation=activation,
        layout=layout,
        algorithm=algorithm,
        out=out,
    )


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Edges = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    activation: Activation = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Enlarge images by filters: ``activation(transposed conv(x, weight) + bias)``.

    Each input pixel adds its filter, times its value, to the output, ``stride`` pixels from its
    neighbour's: the gradient of :func:`conv2d` by its input (Zeiler et al., "Deconvolutional
    Networks", CVPR 2010). The outputs of one remainder by the stride are a convolution of ``x``,
    and are computed so; where the kernel is the stride, all together by one 1x1 convolution.

    Parameters
    ----------
    x, activation, layout, out
        As in :func:`conv2d`.
    weight
        Filters (C, K/groups, R, S), whatever the layout; dtype of ``x``.
    bias
        (K,), added to each output channel; dtype of ``x``.
    stride
        Distance of neighbouring pixels' filters in the output: an int, or (vertical, horizontal).
    padding
        Pixels cut off the output's edges: an int for all sides, (vertical, horizontal) or
        ((top, bottom), (left, right)).
    output_padding
        Pixels added at the bottom and the right, fewer than ``stride`` or ``dilation``: an int, or
        (vertical, horizontal).
    groups
        Channels are cut into this many groups that are convolved apart. It divides C.
    dilation
        Distance of neighbouring filter taps in pixels: an int, or (vertical, horizontal).

    Returns
    -------
    Array
        (N, K, OH, OW) or (N, OH, OW, K), without N if ``x`` had none, where
        OH = (H - 1) * stride - top - bottom + dilation * (R - 1) + output_padding + 1 and OW
        likewise. A new array of the library that ``x`` came from, or ``out`` itself.

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> x = np.ones((1, 64, 40, 40), np.float32)
    >>> ob.conv_transpose2d(x, np.ones((64, 32, 2, 2), np.float32), stride=2).shape
    (1, 32, 80, 80)
    """
    return _conv_transpose2d(
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        activation=activation,
        layout=layout,
        out=out,
    )


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """Multiply vectors by a matrix: ``activation(x @ weight.T + bias)``.

    Parameters
    ----------
    x
        (..., F): any number of leading dimensions, none included. float32 or float64; never
        written.
    weight
        (K, F); dtype of ``x``.
    bias
        (K,); dtype of ``x``.
    activation
        As in :func:`conv2d`.
    out
        Receives the result; conditions as in :func:`conv2d`.

    Returns
    -------
    Array
        (..., K).

    Raises
    ------
    TypeError, ValueError
        As in :func:`conv2d`.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> ob.linear(np.ones((2, 512), np.float32), np.ones((10, 512), np.float32)).shape
    (2, 10)
    """
    return _linear(x, weight, bias, activation=activation, out=out)
