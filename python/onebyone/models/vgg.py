"""VGG-16: what networks cost before 1x1 convolutions."""

from __future__ import annotations

from .. import nn
from ..nn.init import for_deep_networks

__all__ = ["VGG", "vgg16"]

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Filters of the 3x3 layers; 0 is a pooling."""


class VGG(nn.Sequential):
    """3x3 layers with pooling between, and three linear layers.

    Input (N, 3, H, W), at least 32 x 32, or the NHWC twin; output (N, num_classes).
    """

    def __init__(self, channels: tuple[int, ...] = _VGG16, num_classes: int = 1000) -> None:
        features: list[nn.Module] = []
        maps = 3
        for count in channels:
            if count == 0:
                features.append(nn.MaxPool2d(2, stride=2))
            else:
                features += [nn.Conv2d(maps, count, 3, padding=1), nn.ReLU()]
                maps = count
        super().__init__(
            {
                "features": nn.Sequential(*features),
                "avgpool": nn.AdaptiveAvgPool2d(7),
                "flatten": nn.Flatten(),
                "classifier": nn.Sequential(
                    nn.Linear(maps * 7 * 7, 4096),
                    nn.ReLU(),
                    nn.Dropout(),
                    nn.Linear(4096, 4096),
                    nn.ReLU(),
                    nn.Dropout(),
                    nn.Linear(4096, num_classes),
                ),
            }
        )


@for_deep_networks()
def vgg16(num_classes: int = 1000) -> VGG:
    """VGG-16, configuration D without batch norm, 138,357,544 parameters (550 MB): torchvision's.

    Simonyan and Zisserman, arXiv 1409.1556.
    """
    return VGG(_VGG16, num_classes)
