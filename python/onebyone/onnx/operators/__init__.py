"""ONNX's operators, by topic. Importing the package fills the table."""

from . import (
    activation,
    arithmetic,
    arrangement,
    convolution,
    indexing,
    known,
    normalization,
    pooling,
    product,
    reduction,
    resampling,
)
from .registry import OPERATORS, Operator

__all__ = [
    "OPERATORS",
    "Operator",
    "activation",
    "arithmetic",
    "arrangement",
    "convolution",
    "indexing",
    "known",
    "normalization",
    "pooling",
    "product",
    "reduction",
    "resampling",
]
