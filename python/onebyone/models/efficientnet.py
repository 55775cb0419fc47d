"""EfficientNet-B0: inverted residuals that weigh their channels (squeeze and excitation)."""

from __future__ import annotations

from .. import nn
from ..nn.flow import Flow, Value
from ..nn.init import for_deep_networks
from ..nn.residual import conv_norm

__all__ = ["EfficientNet", "MBConv", "SqueezeExcitation", "efficientnet_b0"]

_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride of the first block, channels and blocks, as in table 1 of the paper."""


class SqueezeExcitation(nn.Container):
    """Each channel times a factor in (0, 1) that two 1x1 layers make of all channels' averages.

    Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507. The shape stays.
    """

    def __init__(self, channels: int, squeeze_channels: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv1x1(channels, squeeze_channels)
        self.activation = nn.SiLU()
        self.fc2 = nn.Conv1x1(squeeze_channels, channels)
        self.scale_activation = nn.Sigmoid()

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        factors = run(x, "avgpool", "fc1", "activation", "fc2", "scale_activation")
        return run.scale(x, factors)


class MBConv(nn.Container):
    """1x1 expansion, depthwise convolution, squeeze and excitation, 1x1 projection; a shortcut.

    The block of Tan et al., "MnasNet", arXiv 1807.11626, as EfficientNet has it: SiLU follows the
    first two. The input is added where stride is 1 and the channels stay.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel_size: int, stride: int, expand_ratio: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        expand = (
            [] if expand_ratio == 1 else [conv_norm(in_channels, hidden, 1, activation=nn.SiLU)]
        )
        self.block = nn.Sequential(
            *expand,
            conv_norm(hidden, hidden, kernel_size, stride, hidden, activation=nn.SiLU),
            SqueezeExcitation(hidden, max(1, in_channels // 4)),
            conv_norm(hidden, channels, 1, activation=None),
        )
        # While weights are random the factors are near a half; this keeps the signal's size.
        projection = self.block[-1][1]
        projection.weight = 2 * projection.weight
        self.has_shortcut = stride == 1 and in_channels == channels

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        y = run(x, "block")
        return run.add(y, x) if self.has_shortcut else y


class EfficientNet(nn.Sequential):
    """A 3x3 layer, seven stages of MBConv, a 1x1 layer, average pooling and a linear layer.

    Input (N, 3, H, W) or the NHWC twin; output (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        features = [conv_norm(3, 32, 3, stride=2, activation=nn.SiLU)]
        maps = 32
        for ratio, kernel, stride, channels, depth in _STAGES:
            blocks = []
            for position in range(depth):
                step = stride if position == 0 else 1
                blocks.append(MBConv(maps, channels, kernel, step, ratio))
                maps = channels
            features.append(nn.Sequential(*blocks))
        features.append(conv_norm(maps, 4 * maps, 1, activation=nn.SiLU))
        super().__init__(
            {
                "features": nn.Sequential(*features),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "classifier": nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * maps, num_classes)),
            }
        )


@for_deep_networks()
def efficientnet_b0(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B0, 5,288,548 parameters: torchvision's. Tan and Le, arXiv 1905.11946."""
    return EfficientNet(num_classes)
