"""MobileNet v2."""

from __future__ import annotations

from .. import nn
from ..nn.init import for_deep_networks
from ..nn.residual import conv_norm

__all__ = ["MobileNetV2", "mobilenet_v2"]

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of the first, as in table 2 of the paper."""


class MobileNetV2(nn.Sequential):
    """A 3x3 layer, 17 inverted residuals, a 1x1 layer, average pooling and a linear layer.

    Input (N, 3, H, W) or the NHWC twin; output (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        features: list[nn.Module] = [conv_norm(3, 32, 3, stride=2)]
        maps = 32
        for ratio, channels, depth, stride in _STAGES:
            for position in range(depth):
                step = stride if position == 0 else 1
                features.append(nn.InvertedResidual(maps, channels, step, ratio))
                maps = channels
        features.append(conv_norm(maps, 1280, 1))
        super().__init__(
            {
                "features": nn.Sequential(*features),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "classifier": nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes)),
            }
        )


@for_deep_networks()
def mobilenet_v2(num_classes: int = 1000) -> MobileNetV2:
    """MobileNet v2 of width 1, 3,504,872 parameters: torchvision's.

    Sandler et al., arXiv 1801.04381.
    """
    return MobileNetV2(num_classes)
