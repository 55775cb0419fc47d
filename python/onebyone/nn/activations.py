"""Activations as layers. Each is the core's activation of the same name, on arrays of any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .arguments import real
from .module import Module, Shape

if TYPE_CHECKING:
    from .._core import Activation, Array, Graph

__all__ = [
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Tanh",
]


class _Activation(Module):
    """An elementwise function: the output has the input's shape, whatever the layout."""

    activation: Activation

    def forward(self, x: Array, layout: str) -> Array:
        return _core.activate(x, self.activation)

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        return tuple(input_shape)

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        return graph.activation(x, self.activation, name=name)


class ReLU(_Activation):
    """max(x, 0)."""

    activation = "relu"


class ReLU6(_Activation):
    """min(max(x, 0), 6). Howard et al., "MobileNets", arXiv 1704.04861."""

    activation = "relu6"


class LeakyReLU(_Activation):
    """x where x >= 0, ``negative_slope`` * x elsewhere.

    Raises TypeError if ``negative_slope`` is no number.
    """

    activation: tuple[str, float]

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.activation = ("leaky_relu", real(negative_slope, "LeakyReLU: negative_slope"))

    @property
    def negative_slope(self) -> float:
        """The factor for negative values."""
        return self.activation[1]

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    activation = "sigmoid"


class Tanh(_Activation):
    """tanh(x)."""

    activation = "tanh"


class SiLU(_Activation):
    """x * sigmoid(x), also called swish. Elfwing et al., arXiv 1702.03118."""

    activation = "silu"


class Hardswish(_Activation):
    """x * min(max(x + 3, 0), 6) / 6. Howard et al., "MobileNetV3", arXiv 1905.02244."""

    activation = "hardswish"


class Hardsigmoid(_Activation):
    """min(max(x + 3, 0), 6) / 6."""

    activation = "hardsigmoid"


class GELU(_Activation):
    """x * (1 + erf(x / sqrt(2))) / 2. Hendrycks and Gimpel, arXiv 1606.08415."""

    activation = "gelu"
