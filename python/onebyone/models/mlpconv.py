"""Network in Network: the network that brought 1x1 convolutions and global average pooling."""

from __future__ import annotations

from .. import nn
from ..nn.init import for_deep_networks

__all__ = ["NIN", "nin"]


class NIN(nn.Sequential):
    """Four MLPConv layers with pooling between; the last gives one map a class, which is averaged.

    There is no fully connected layer. Input (N, 3, H, W), at least 67 x 67, or the NHWC twin;
    output (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        super().__init__(
            {
                "features": nn.Sequential(
                    nn.MLPConv(3, 96, 11, stride=4),
                    pool(),
                    nn.MLPConv(96, 256, 5, padding=2),
                    pool(),
                    nn.MLPConv(256, 384, 3, padding=1),
                    pool(),
                    nn.Dropout(),
                    nn.MLPConv(384, num_classes, 3, padding=1, hidden_channels=1024),
                ),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
            }
        )


@for_deep_networks()
def nin(num_classes: int = 1000) -> NIN:
    """Network in Network for ImageNet, 7,595,176 parameters.

    Lin et al., arXiv 1312.4400, with the sizes of the authors' ImageNet model. torchvision has
    none; names are "features.0.0.weight" for the first convolution, "features.0.2.weight" and
    "features.0.4.weight" for the 1x1 layers after it, and so on.
    """
    return NIN(num_classes)
