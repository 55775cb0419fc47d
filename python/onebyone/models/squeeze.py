"""SqueezeNet 1.1."""

from __future__ import annotations

from .. import nn
from ..nn.init import for_deep_networks

__all__ = ["SqueezeNet", "squeezenet"]


class SqueezeNet(nn.Sequential):
    """A convolution, eight Fire modules with pooling between, and a 1x1 convolution as classifier.

    Input (N, 3, H, W), at least 17 x 17, or the NHWC twin; output (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        super().__init__(
            {
                "features": nn.Sequential(
                    nn.Conv2d(3, 64, 3, stride=2),
                    nn.ReLU(),
                    pool(),
                    nn.Fire(64, 16, 64, 64),
                    nn.Fire(128, 16, 64, 64),
                    pool(),
                    nn.Fire(128, 32, 128, 128),
                    nn.Fire(256, 32, 128, 128),
                    pool(),
                    nn.Fire(256, 48, 192, 192),
                    nn.Fire(384, 48, 192, 192),
                    nn.Fire(384, 64, 256, 256),
                    nn.Fire(512, 64, 256, 256),
                ),
                "classifier": nn.Sequential(
                    nn.Dropout(),
                    nn.Conv1x1(512, num_classes),
                    nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1),
                ),
                "flatten": nn.Flatten(),
            }
        )


@for_deep_networks()
def squeezenet(num_classes: int = 1000) -> SqueezeNet:
    """SqueezeNet 1.1, 1,235,496 parameters: torchvision's squeezenet1_1.

    Iandola et al., arXiv 1602.07360; version 1.1 is the authors' own, with 2.4 times fewer
    operations and the same accuracy.
    """
    return SqueezeNet(num_classes)
