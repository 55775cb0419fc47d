"""GoogLeNet and Inception v3, without the auxiliary classifiers that only training uses."""

from __future__ import annotations

from .. import nn
from ..nn.flow import Flow, Value
from ..nn.inception import basic_conv
from ..nn.init import for_deep_networks

__all__ = ["GoogLeNet", "InceptionV3", "googlenet", "inception_v3"]


def _auxiliary(head: str, convolutions: tuple[str, ...], linears: tuple[str, ...]) -> list[str]:
    """Return the names that an auxiliary classifier has in a state dict of torchvision's."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = [f"{head}.{name}.conv.weight" for name in convolutions]
    names += [f"{head}.{name}.bn.{part}" for name in convolutions for part in norm]
    return names + [f"{head}.{name}.{part}" for name in linears for part in ("weight", "bias")]


class GoogLeNet(nn.Sequential):
    """Three layers, nine Inception modules with pooling between, and a linear layer.

    Input (N, 3, H, W), at least 15 x 15, or the NHWC twin; output (N, num_classes).
    """

    ignored_state = (
        *_auxiliary("aux1", ("conv",), ("fc1", "fc2")),
        *_auxiliary("aux2", ("conv",), ("fc1", "fc2")),
    )

    def __init__(self, num_classes: int = 1000) -> None:
        def inception(*channels: int) -> nn.Inception:
            return nn.Inception(*channels, batch_norm=True, kernel_size=3)

        def pool(size: int) -> nn.MaxPool2d:
            return nn.MaxPool2d(size, stride=2, ceil_mode=True)

        super().__init__(
            {
                "conv1": basic_conv(3, 64, 7, stride=2, padding=3),
                "maxpool1": pool(3),
                "conv2": basic_conv(64, 64, 1),
                "conv3": basic_conv(64, 192, 3, padding=1),
                "maxpool2": pool(3),
                "inception3a": inception(192, 64, 96, 128, 16, 32, 32),
                "inception3b": inception(256, 128, 128, 192, 32, 96, 64),
                "maxpool3": pool(3),
                "inception4a": inception(480, 192, 96, 208, 16, 48, 64),
                "inception4b": inception(512, 160, 112, 224, 24, 64, 64),
                "inception4c": inception(512, 128, 128, 256, 24, 64, 64),
                "inception4d": inception(512, 112, 144, 288, 32, 64, 64),
                "inception4e": inception(528, 256, 160, 320, 32, 128, 128),
                "maxpool4": pool(2),
                "inception5a": inception(832, 256, 160, 320, 32, 128, 128),
                "inception5b": inception(832, 384, 192, 384, 48, 128, 128),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "dropout": nn.Dropout(0.2),
                "fc": nn.Linear(1024, num_classes),
            }
        )


class InceptionV3(nn.Sequential):
    """Five layers, eleven modules whose large filters are taken apart, and a linear layer.

    Input (N, 3, H, W), at least 75 x 75 (299 x 299 in the paper), or the NHWC twin; output
    (N, num_classes).
    """

    ignored_state = tuple(_auxiliary("AuxLogits", ("conv0", "conv1"), ("fc",)))

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(
            {
                "Conv2d_1a_3x3": basic_conv(3, 32, 3, stride=2),
                "Conv2d_2a_3x3": basic_conv(32, 32, 3),
                "Conv2d_2b_3x3": basic_conv(32, 64, 3, padding=1),
                "maxpool1": nn.MaxPool2d(3, stride=2),
                "Conv2d_3b_1x1": basic_conv(64, 80, 1),
                "Conv2d_4a_3x3": basic_conv(80, 192, 3),
                "maxpool2": nn.MaxPool2d(3, stride=2),
                "Mixed_5b": _module_a(192, 32),
                "Mixed_5c": _module_a(256, 64),
                "Mixed_5d": _module_a(288, 64),
                "Mixed_6a": _module_b(288),
                "Mixed_6b": _module_c(768, 128),
                "Mixed_6c": _module_c(768, 160),
                "Mixed_6d": _module_c(768, 160),
                "Mixed_6e": _module_c(768, 192),
                "Mixed_7a": _module_d(768),
                "Mixed_7b": _ModuleE(1280),
                "Mixed_7c": _ModuleE(2048),
                "avgpool": nn.AdaptiveAvgPool2d(1),
                "flatten": nn.Flatten(),
                "dropout": nn.Dropout(),
                "fc": nn.Linear(2048, num_classes),
            }
        )


class _Mixed(nn.Container):
    """Chains of layers on the same input, joined; all layers are named in this one module."""

    def __init__(self, *chains: dict[str, nn.Module]) -> None:
        super().__init__()
        self._chains = [tuple(chain) for chain in chains]
        for chain in chains:
            for name, module in chain.items():
                self.register_module(name, module)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        return run.concat([run(x, *chain) for chain in self._chains])


def _pool_projection(maps: int, channels: int) -> dict[str, nn.Module]:
    return {
        "pool": nn.AvgPool2d(3, stride=1, padding=1),
        "branch_pool": basic_conv(maps, channels, 1),
    }


def _row(before: int, after: int) -> nn.Sequential:
    return basic_conv(before, after, (1, 7), padding=(0, 3))


def _column(before: int, after: int) -> nn.Sequential:
    return basic_conv(before, after, (7, 1), padding=(3, 0))


def _module_a(maps: int, pool_channels: int) -> _Mixed:
    """1x1, 5x5, two 3x3 in the place of another 5x5, pooling: figure 5 of the paper."""
    return _Mixed(
        {"branch1x1": basic_conv(maps, 64, 1)},
        {
            "branch5x5_1": basic_conv(maps, 48, 1),
            "branch5x5_2": basic_conv(48, 64, 5, padding=2),
        },
        {
            "branch3x3dbl_1": basic_conv(maps, 64, 1),
            "branch3x3dbl_2": basic_conv(64, 96, 3, padding=1),
            "branch3x3dbl_3": basic_conv(96, 96, 3, padding=1),
        },
        _pool_projection(maps, pool_channels),
    )


def _module_b(maps: int) -> _Mixed:
    """Halves height and width: 3x3, two 3x3, max pooling, figure 10."""
    return _Mixed(
        {"branch3x3": basic_conv(maps, 384, 3, stride=2)},
        {
            "branch3x3dbl_1": basic_conv(maps, 64, 1),
            "branch3x3dbl_2": basic_conv(64, 96, 3, padding=1),
            "branch3x3dbl_3": basic_conv(96, 96, 3, stride=2),
        },
        {"pool": nn.MaxPool2d(3, stride=2)},
    )


def _module_c(maps: int, channels: int) -> _Mixed:
    """7x7 filters taken apart into rows and columns: figure 6."""
    return _Mixed(
        {"branch1x1": basic_conv(maps, 192, 1)},
        {
            "branch7x7_1": basic_conv(maps, channels, 1),
            "branch7x7_2": _row(channels, channels),
            "branch7x7_3": _column(channels, 192),
        },
        {
            "branch7x7dbl_1": basic_conv(maps, channels, 1),
            "branch7x7dbl_2": _column(channels, channels),
            "branch7x7dbl_3": _row(channels, channels),
            "branch7x7dbl_4": _column(channels, channels),
            "branch7x7dbl_5": _row(channels, 192),
        },
        _pool_projection(maps, 192),
    )


def _module_d(maps: int) -> _Mixed:
    """Halves height and width behind 1x1 and 7x7 filters."""
    return _Mixed(
        {
            "branch3x3_1": basic_conv(maps, 192, 1),
            "branch3x3_2": basic_conv(192, 320, 3, stride=2),
        },
        {
            "branch7x7x3_1": basic_conv(maps, 192, 1),
            "branch7x7x3_2": _row(192, 192),
            "branch7x7x3_3": _column(192, 192),
            "branch7x7x3_4": basic_conv(192, 192, 3, stride=2),
        },
        {"pool": nn.MaxPool2d(3, stride=2)},
    )


class _ModuleE(nn.Container):
    """Two branches end in 1x3 and 3x1 side by side: figure 7."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.branch1x1 = basic_conv(maps, 320, 1)
        self.branch3x3_1 = basic_conv(maps, 384, 1)
        self.branch3x3_2a = basic_conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = basic_conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = basic_conv(maps, 448, 1)
        self.branch3x3dbl_2 = basic_conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = basic_conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = basic_conv(384, 384, (3, 1), padding=(1, 0))
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = basic_conv(maps, 192, 1)

    def connect(self, x: Value, run: Flow[Value]) -> Value:
        single = run(x, "branch3x3_1")
        double = run(x, "branch3x3dbl_1", "branch3x3dbl_2")
        return run.concat(
            [
                run(x, "branch1x1"),
                run(single, "branch3x3_2a"),
                run(single, "branch3x3_2b"),
                run(double, "branch3x3dbl_3a"),
                run(double, "branch3x3dbl_3b"),
                run(x, "pool", "branch_pool"),
            ]
        )


@for_deep_networks()
def googlenet(num_classes: int = 1000) -> GoogLeNet:
    """GoogLeNet (Inception v1) with batch norm, 6,624,904 parameters: torchvision's.

    Szegedy et al., arXiv 1409.4842. Auxiliary classifiers in a state dict are passed over. As in
    torchvision the branch for 5x5 filters has 3x3. torchvision's trained weights expect inputs
    scaled to [-1, 1], which it does in the network (``transform_input``).
    """
    return GoogLeNet(num_classes)


@for_deep_networks()
def inception_v3(num_classes: int = 1000) -> InceptionV3:
    """Inception v3, 23,834,568 parameters: torchvision's without the auxiliary classifier.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567.
    An auxiliary classifier in a state dict is passed over. torchvision's trained weights expect
    inputs scaled to [-1, 1], which it does in the network (``transform_input``).
    """
    return InceptionV3(num_classes)
