"""ResNet-18 and ResNet-50."""

from __future__ import annotations

from .. import nn
from ..nn.init import for_deep_networks

__all__ = ["ResNet", "resnet18", "resnet50"]


class ResNet(nn.Sequential):
    """A 7x7 layer, pooling, four stages of residual blocks, average pooling and a linear layer.

    ``block`` is :class:`onebyone.nn.BasicBlock` or :class:`onebyone.nn.Bottleneck`, ``depths`` how
    many of them each stage has. Input (N, 3, H, W), at least 33 x 33 to leave the last stage more
    than a pixel, or the NHWC twin; output (N, num_classes).
    """

    def __init__(
        self,
        block: type[nn.BasicBlock] | type[nn.Bottleneck],
        depths: tuple[int, int, int, int],
        num_classes: int = 1000,
    ) -> None:
        stages: dict[str, nn.Module] = {}
        maps = 64
        for i, depth in enumerate(depths):
            channels, blocks = 64 << i, []
            for position in range(depth):
                stride = 2 if i > 0 and position == 0 else 1
                blocks.append(block(maps, channels, stride))
                maps = channels * block.expansion
            stages[f"layer{i + 1}"] = nn.Sequential(*blocks)
        super().__init__(
            {
                "conv1": nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
                "bn1": nn.BatchNorm2d(64),
                "relu": nn.ReLU(),
                "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
                **stages,
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "fc": nn.Linear(maps, num_classes),
            }
        )


@for_deep_networks()
def resnet18(num_classes: int = 1000) -> ResNet:
    """ResNet-18, 11,689,512 parameters: torchvision's. He et al., arXiv 1512.03385."""
    return ResNet(nn.BasicBlock, (2, 2, 2, 2), num_classes)


@for_deep_networks()
def resnet50(num_classes: int = 1000) -> ResNet:
    """ResNet-50, 25,557,032 parameters: torchvision's. He et al., arXiv 1512.03385.

    The stride of a stage is in the 3x3 layer of its first block, not in the 1x1 before it.
    """
    return ResNet(nn.Bottleneck, (3, 4, 6, 3), num_classes)
