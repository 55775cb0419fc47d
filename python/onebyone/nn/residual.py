"""Blocks around a shortcut: BasicBlock, Bottleneck and InvertedResidual."""

from __future__ import annotations

from .activations import ReLU, ReLU6
from .arguments import positive
from .containers import Container, Sequential
from .flow import Flow, Value
from .layers import Conv1x1, Conv2d
from .module import Module
from .normalization import BatchNorm2d

__all__ = ["BasicBlock", "Bottleneck", "InvertedResidual", "conv_norm"]


def conv_norm(
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[Module] | None = ReLU6,
) -> Sequential:
    """Return convolution without bias and padded by half its side, batch norm, and activation."""
    pad = (kernel_size - 1) // 2
    layers: list[Module] = [
        Conv2d(in_channels, channels, kernel_size, stride, pad, groups=groups, bias=False),
        BatchNorm2d(channels),
    ]
    return Sequential(*layers, *([] if activation is None else [activation()]))


class _ResNetBlock(Container):
    """What the two blocks of ResNet share: ``relu(body(x) + shortcut(x))``."""

    expansion: int
    _body: tuple[str, ...]

    def _add_shortcut(
        self, in_channels: int, channels: int, stride: int, downsample: Module | None
    ) -> None:
        out_channels = channels * self.expansion
        if downsample is None and (stride != 1 or in_channels != out_channels):
            downsample = Sequential(
                Conv1x1(in_channels, out_channels, stride, bias=False), BatchNorm2d(out_channels)
            )
        if downsample is not None:
            self.register_module("downsample", downsample)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        shortcut = run(x, "downsample") if "downsample" in self._modules else x
        return run(run.add(run(x, *self._body), shortcut), "relu")


class BasicBlock(_ResNetBlock):
    """Two 3x3 convolutions and a shortcut around them, batch norm behind each: ResNet-18 and -34.

    He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385, figure 5 left.
    Input (N, C, H, W), output (N, K, ceil(H / stride), ceil(W / stride)), or the NHWC twins. The
    body has 9 * K * (C + K) weights. The shortcut is the identity where that fits, otherwise a 1x1
    convolution with the same stride and batch norm, which matches the shapes for C * K weights.
    Names are torchvision's: conv1, bn1, conv2, bn2, downsample.0, downsample.1.

    Parameters
    ----------
    in_channels, channels
        C and K.
    stride
        Of the first convolution and the shortcut.
    downsample
        A shortcut of your own.
    """

    expansion = 1
    _body = ("conv1", "bn1", "relu", "conv2", "bn2")

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        super().__init__()
        stride = positive(stride, "BasicBlock: stride")
        self.conv1 = Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.relu = ReLU()
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self._add_shortcut(in_channels, channels, stride, downsample)


class Bottleneck(_ResNetBlock):
    """1x1 to K maps, 3x3, 1x1 to 4 * K maps, and a shortcut around them: ResNet-50 and deeper.

    He et al., arXiv 1512.03385, figure 5 right. Input (N, C, H, W), output
    (N, 4 * K, ceil(H / stride), ceil(W / stride)), or the NHWC twins. Batch norm follows every
    convolution; the 3x3 has the stride, as in torchvision ("ResNet v1.5"). Between the 1x1 layers
    the 3x3 sees a quarter of the maps: (256, 64) has 69,632 weights, while two 3x3 layers that keep
    256 maps have 1,179,648. The shortcut is that of :class:`BasicBlock`. Names are torchvision's:
    conv1, bn1, conv2, bn2, conv3, bn3, downsample.0, downsample.1.

    Parameters
    ----------
    in_channels, channels
        C and K; the block gives ``Bottleneck.expansion * K`` maps.
    stride
        Of the 3x3 convolution and the shortcut.
    downsample
        A shortcut of your own.
    """

    expansion = 4
    _body = ("conv1", "bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3")

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        super().__init__()
        stride = positive(stride, "Bottleneck: stride")
        self.conv1 = Conv1x1(in_channels, channels, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = Conv1x1(channels, channels * self.expansion, bias=False)
        self.bn3 = BatchNorm2d(channels * self.expansion)
        self.relu = ReLU()
        self._add_shortcut(in_channels, channels, stride, downsample)


class InvertedResidual(Container):
    """1x1 that expands the maps, 3x3 depthwise, 1x1 that projects them back; a shortcut if it fits.

    Sandler et al., "MobileNetV2", arXiv 1801.04381, figure 3. The wide maps, T * C of them, are
    seen by a filter of 9 weights each; the 1x1 layers do all the mixing. (24, 24) has 8,208
    weights; a 3x3 layer that mixes its 144 maps would have 186,624. ReLU6 follows the expansion and
    the depthwise layer, nothing the projection: a linear bottleneck.

    Input (N, C, H, W), output (N, K, ceil(H / stride), ceil(W / stride)), or the NHWC twins. The
    input is added where stride is 1 and C = K. Names are torchvision's: conv.0.0, conv.0.1, ...

    Parameters
    ----------
    in_channels, out_channels
        C and K.
    stride
        Of the depthwise convolution.
    expand_ratio
        T; with 1 there is no layer to expand.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, expand_ratio: int = 6
    ) -> None:
        super().__init__()
        stride = positive(stride, "InvertedResidual: stride")
        ratio = positive(expand_ratio, "InvertedResidual: expand_ratio")
        hidden = positive(in_channels, "InvertedResidual: in_channels") * ratio
        expand = [] if ratio == 1 else [conv_norm(in_channels, hidden, 1)]
        self.conv = Sequential(
            *expand,
            conv_norm(hidden, hidden, 3, stride, groups=hidden),
            Conv1x1(hidden, out_channels, bias=False),
            BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        y = run(x, "conv")
        return run.add(y, x) if self.has_shortcut else y
