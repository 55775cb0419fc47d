"""DenseNet-121: every layer sees the maps of all layers before it, through a 1x1 reduction."""

from __future__ import annotations

from .. import nn
from ..nn.flow import Flow, Value
from ..nn.init import for_deep_networks

__all__ = ["DenseBlock", "DenseNet", "densenet121"]


class DenseBlock(nn.Container):
    """Layers of which each adds ``growth`` maps to the C + i * growth that it sees.

    A layer is batch norm, ReLU, 1x1 to 4 * growth maps, batch norm, ReLU, 3x3. Without the 1x1 a
    3x3 on 512 maps would have 147,456 weights for growth 32; with it both have 102,400. Input
    (N, C, H, W), output (N, C + depth * growth, H, W), or the NHWC twins. Huang et al., "Densely
    Connected Convolutional Networks", arXiv 1608.06993.
    """

    def __init__(self, in_channels: int, depth: int, growth: int) -> None:
        super().__init__()
        for i in range(depth):
            maps = in_channels + i * growth
            layer = nn.Sequential(
                {
                    "norm1": nn.BatchNorm2d(maps),
                    "relu1": nn.ReLU(),
                    "conv1": nn.Conv1x1(maps, 4 * growth, bias=False),
                    "norm2": nn.BatchNorm2d(4 * growth),
                    "relu2": nn.ReLU(),
                    "conv2": nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                }
            )
            self.register_module(f"denselayer{i + 1}", layer)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        maps = [x]
        for name in self._modules:
            maps.append(run(run.concat(maps), name))
        return run.concat(maps)


class DenseNet(nn.Sequential):
    """A 7x7 layer, four dense blocks with transitions that halve between, and a linear layer.

    Input (N, 3, H, W), at least 32 x 32, or the NHWC twin; output (N, num_classes).
    """

    def __init__(
        self, depths: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32, num_classes: int = 1000
    ) -> None:
        maps = 2 * growth
        features: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, maps, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(maps),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        for i, depth in enumerate(depths, 1):
            features[f"denseblock{i}"] = DenseBlock(maps, depth, growth)
            maps += depth * growth
            if i < len(depths):
                features[f"transition{i}"] = _transition(maps)
                maps //= 2
        features["norm5"] = nn.BatchNorm2d(maps)
        super().__init__(
            {
                "features": nn.Sequential(features),
                "relu": nn.ReLU(),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "classifier": nn.Linear(maps, num_classes),
            }
        )


def _transition(maps: int) -> nn.Sequential:
    return nn.Sequential(
        {
            "norm": nn.BatchNorm2d(maps),
            "relu": nn.ReLU(),
            "conv": nn.Conv1x1(maps, maps // 2, bias=False),
            "pool": nn.AvgPool2d(2, stride=2),
        }
    )


@for_deep_networks()
def densenet121(num_classes: int = 1000) -> DenseNet:
    """DenseNet-121, 7,978,856 parameters: torchvision's. Huang et al., arXiv 1608.06993."""
    return DenseNet(num_classes=num_classes)
