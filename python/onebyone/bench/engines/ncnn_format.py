"""How ncnn's files describe a convolution and its weights."""

from __future__ import annotations

__all__ = ["RAW_FLOAT32", "convolution"]

RAW_FLOAT32 = b"\0\0\0\0"
"""Stands before weights that are stored as they are."""


def convolution(
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
    weights: int,
    bias: bool,
) -> tuple[str, dict[int, object]]:
    """The layer's type and its numbered parameters. ``weights`` counts them, ``channels`` K."""
    (top, bottom), (left, right) = padding
    numbers: dict[int, object] = {
        0: channels,
        1: kernel[1],
        11: kernel[0],
        2: dilation[1],
        12: dilation[0],
        3: stride[1],
        13: stride[0],
        4: left,
        15: right,
        14: top,
        16: bottom,
        5: int(bias),
        6: weights,
    }
    if groups == 1:
        return "Convolution", numbers
    return "ConvolutionDepthWise", {**numbers, 7: groups}
