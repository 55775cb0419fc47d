"""Blocks that join branches or stack 1x1 layers: MLPConv, NaiveInception, Inception, Fire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import arguments
from .activations import ReLU
from .containers import Concat, Container, Sequential
from .flow import Flow, Value
from .layers import Conv1x1, Conv2d
from .module import Module
from .normalization import BatchNorm2d
from .pooling import MaxPool2d

if TYPE_CHECKING:
    from .._core import Padding, Size

__all__ = ["Fire", "Inception", "MLPConv", "NaiveInception", "basic_conv"]


def basic_conv(
    in_channels: int, channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = 0
) -> Sequential:
    """Return convolution without bias, batch norm and ReLU, as Inception networks are made of."""
    return Sequential(
        {
            "conv": Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False),
            "bn": BatchNorm2d(channels, eps=0.001),
            "relu": ReLU(),
        }
    )


class MLPConv(Sequential):
    """A convolution and two 1x1 convolutions, each with ReLU: a perceptron slides over the image.

    Lin et al., "Network in Network", arXiv 1312.4400, figure 1. Where a convolution answers with
    one linear function of its window, this one answers with a network of three layers; the two that
    are 1x1 add M * L + L * K weights to the R * S * C * M of the first, whatever its window.

    Input (N, C, H, W), output (N, K, H', W'), H' and W' those of the first convolution; or the NHWC
    twins. Submodules are "0", "2" and "4", with ReLU between, as in a torch Sequential.

    Parameters
    ----------
    in_channels, out_channels
        C and K.
    kernel_size, stride, padding
        Of the first convolution, as in :class:`Conv2d`.
    hidden_channels
        (M, L), the maps of the first and second layer, or an int for both; by default K.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        *,
        hidden_channels: int | tuple[int, int] | None = None,
    ) -> None:
        hidden = out_channels if hidden_channels is None else hidden_channels
        first, second = arguments.pair(hidden, "MLPConv: hidden_channels")
        super().__init__(
            Conv2d(in_channels, first, kernel_size, stride, padding),
            ReLU(),
            Conv1x1(first, second),
            ReLU(),
            Conv1x1(second, out_channels),
            ReLU(),
        )


class NaiveInception(Concat):
    """1x1, 3x3 and 5x5 convolutions and 3x3 max pooling on the same input, joined.

    Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842, figure 2(a): what
    :class:`Inception` is an answer to. The large filters see all C maps, and pooling passes all of
    them on, so that every module of a stack is deeper and dearer than the one before.

    Input (N, C, H, W), output (N, ch1x1 + ch3x3 + ch5x5 + C, H, W), or the NHWC twins. It takes
    C * (ch1x1 + 9 * ch3x3 + 25 * ch5x5) multiply-adds a pixel. Branches are "branch1" to "branch4";
    each convolution has a bias and ReLU.

    Parameters
    ----------
    in_channels
        C.
    ch1x1, ch3x3, ch5x5
        Filters of each size.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3: int, ch5x5: int) -> None:
        super().__init__(
            {
                "branch1": Sequential(Conv1x1(in_channels, ch1x1), ReLU()),
                "branch2": Sequential(Conv2d(in_channels, ch3x3, 3, padding=1), ReLU()),
                "branch3": Sequential(Conv2d(in_channels, ch5x5, 5, padding=2), ReLU()),
                "branch4": MaxPool2d(3, stride=1, padding=1),
            }
        )


class Inception(Concat):
    """The naive module with 1x1 reductions before 3x3 and 5x5 and a 1x1 projection after pooling.

    Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842, figure 2(b). The first of
    GoogLeNet, (192, 64, 96, 128, 16, 32, 32), takes 163,328 multiply-adds a pixel where the naive
    one with as many filters takes 387,072, and passes 256 maps on, not 416.

    Input (N, C, H, W), output (N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W), or the NHWC twins.
    Branches are "branch1" to "branch4". By default each convolution has a bias and ReLU, as in the
    paper; see ``batch_norm``.

    Parameters
    ----------
    in_channels
        C.
    ch1x1
        1x1 filters.
    ch3x3red, ch3x3
        1x1 filters before the 3x3 filters, and these.
    ch5x5red, ch5x5
        1x1 filters before the 5x5 filters, and these.
    pool_proj
        1x1 filters behind the pooling.
    batch_norm
        Whether batch norm with eps = 0.001 stands in the place of every bias; layers are then named
        as torchvision's are, "branch1.conv", "branch1.bn", "branch2.0.conv", ...
    kernel_size
        Side of the large filters: 5, or 3 as in torchvision's GoogLeNet and the TensorFlow model it
        was converted from.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        *,
        batch_norm: bool = False,
        kernel_size: int = 5,
    ) -> None:
        side = arguments.positive(kernel_size, "Inception: kernel_size")

        def layer(before: int, after: int, size: int) -> list[Module]:
            if batch_norm:
                return [basic_conv(before, after, size, padding=size // 2)]
            return [Conv2d(before, after, size, padding=size // 2), ReLU()]

        first = layer(in_channels, ch1x1, 1)
        pool = MaxPool2d(3, stride=1, padding=1)
        super().__init__(
            {
                "branch1": first[0] if batch_norm else Sequential(*first),
                "branch2": Sequential(*layer(in_channels, ch3x3red, 1), *layer(ch3x3red, ch3x3, 3)),
                "branch3": Sequential(
                    *layer(in_channels, ch5x5red, 1), *layer(ch5x5red, ch5x5, side)
                ),
                "branch4": Sequential(pool, *layer(in_channels, pool_proj, 1)),
            }
        )


class Fire(Container):
    """A 1x1 layer that squeezes the maps before 1x1 and 3x3 layers that expand them, joined.

    Iandola et al., "SqueezeNet", arXiv 1602.07360, figure 1. The first of SqueezeNet 1.1,
    (64, 16, 64, 64), has 11,264 weights; one 3x3 layer of as many maps has 73,728.

    Input (N, C, H, W), output (N, E1 + E3, H, W), or the NHWC twins; ReLU follows every layer.

    Parameters
    ----------
    in_channels, squeeze_channels
        C, and the maps of the squeezing layer.
    expand1x1_channels, expand3x3_channels
        E1 and E3.
    """

    def __init__(
        self,
        in_channels: int,
        squeeze_channels: int,
        expand1x1_channels: int,
        expand3x3_channels: int,
    ) -> None:
        super().__init__()
        self.squeeze = Conv1x1(in_channels, squeeze_channels)
        self.squeeze_activation = ReLU()
        self.expand1x1 = Conv1x1(squeeze_channels, expand1x1_channels)
        self.expand1x1_activation = ReLU()
        self.expand3x3 = Conv2d(squeeze_channels, expand3x3_channels, 3, padding=1)
        self.expand3x3_activation = ReLU()

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        x = run(x, "squeeze", "squeeze_activation")
        return run.concat(
            [
                run(x, "expand1x1", "expand1x1_activation"),
                run(x, "expand3x3", "expand3x3_activation"),
            ]
        )
