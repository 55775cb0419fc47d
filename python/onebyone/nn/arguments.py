"""Arguments of layers: checked at construction, with messages that name layer and argument."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from .._core import Activation

__all__ = [
    "CheckedPadding",
    "activation",
    "check_layout",
    "image_axes",
    "integer",
    "output_size",
    "padding",
    "padding_at",
    "pair",
    "pooled_size",
    "positive",
    "real",
]

CheckedPadding: TypeAlias = (
    Literal["same"] | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
)


def positive(value: Any, name: str) -> int:
    """Return ``value`` as an int of at least 1."""
    return _at_least(1, value, name)


def integer(value: Any, name: str) -> int:
    """Return ``value`` as an int of any sign."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None


def pair(value: Any, name: str) -> tuple[int, int]:
    """Return an int of at least 1, or two of them (vertical, horizontal), as a pair."""
    return _pair(1, value, name)


def padding(value: Any, name: str) -> CheckedPadding:
    """Return padding as "same", (vertical, horizontal) or ((top, bottom), (left, right))."""
    if isinstance(value, str):
        if value == "valid":
            return (0, 0)
        if value == "same":
            return "same"
        raise ValueError(f'{name} must be "same", "valid" or numbers of pixels, not {value!r}')
    if isinstance(value, (tuple, list)) and any(isinstance(v, (tuple, list)) for v in value):
        if len(value) != 2:
            raise ValueError(f"{name} must be ((top, bottom), (left, right)), not {value!r}")
        return (_pair(0, value[0], name), _pair(0, value[1], name))
    return _pair(0, value, name)


def padding_at(value: CheckedPadding, axis: int) -> Literal["same"] | tuple[int, int]:
    """Return a checked padding of rows (axis 0) or columns (1): "same" or (before, after)."""
    if isinstance(value, str):
        return value
    part = value[axis]
    return part if isinstance(part, tuple) else (part, part)


def real(value: Any, name: str) -> float:
    """Return ``value``, a real number, as a float."""
    try:
        return float(value + 0)
    except TypeError:
        raise TypeError(f"{name} must be a number, not {value!r}") from None


def activation(value: Any, name: str) -> Activation:
    """Return an activation after the core has accepted it; ``name`` is that of the layer."""
    try:
        _core.activate(np.zeros(1, np.float32), value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {str(error).removeprefix('activate: ')}") from None
    return value


def check_layout(layout: Any, name: str) -> None:
    """Raise ValueError unless ``layout`` is one of the two."""
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f'{name}: layout must be "NCHW" or "NHWC", not {layout!r}')


def image_axes(shape: tuple[int, ...], layout: str, name: str) -> tuple[int, int, int]:
    """Return the axes of channels, rows and columns of one image or a batch of images.

    Raises ValueError if ``layout`` is unknown or ``shape`` has neither 3 nor 4 dimensions.
    """
    check_layout(layout, name)
    if len(shape) not in (3, 4):
        raise ValueError(
            f"{name}: expects 3 or 4 dimensions ({layout}, or one image {layout[1:]}), "
            f"input has shape {shape}"
        )
    first = len(shape) - 3
    if layout == "NCHW":
        return first, first + 1, first + 2
    return first + 2, first, first + 1


def output_size(
    size: int,
    kernel: int,
    stride: int,
    pad: Literal["same"] | tuple[int, int],
    dilation: int,
    name: str,
) -> int:
    """Return the rows or columns of a convolution's output; ``pad`` is "same" or (before, after).

    Raises ValueError if the filter is larger than the padded input.
    """
    if pad == "same":
        return -(-size // stride)
    room = size + pad[0] + pad[1] - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(
            f"{name}: filter covers {dilation * (kernel - 1) + 1} pixels, "
            f"the padded input only {size + pad[0] + pad[1]}"
        )
    return room // stride + 1


def pooled_size(
    size: int,
    kernel: int,
    stride: int,
    pad: tuple[int, int],
    dilation: int,
    ceil_mode: bool,
    name: str,
) -> int:
    """Return the rows or columns of pooling's output, as :func:`output_size`.

    With ``ceil_mode`` a last window that hangs over the edge counts, if it begins inside or on the
    padding before.
    """
    if not ceil_mode:
        return output_size(size, kernel, stride, pad, dilation, name)
    # The hanging window as one that fits a longer image.
    out = output_size(size, kernel, stride, (pad[0], pad[1] + stride - 1), dilation, name)
    return out - ((out - 1) * stride >= size + pad[0])


def _at_least(low: int, value: Any, name: str) -> int:
    number = integer(value, name)
    if number < low:
        raise ValueError(f"{name} must be at least {low}, not {number}")
    return number


def _pair(low: int, value: Any, name: str) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)):
        number = _at_least(low, value, name)
        return (number, number)
    if len(value) != 2:
        raise ValueError(f"{name} must be an integer or two of them, not {value!r}")
    return (_at_least(low, value[0], name), _at_least(low, value[1], name))
