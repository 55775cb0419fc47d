"""The networks of `ob.models` in plain torch, with torchvision's names and data flow."""

import torch
import torch.nn.functional as F
from torch import nn


class BasicConv2d(nn.Module):
    def __init__(self, before, after, size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """branch1, branch2, ... on the same input, joined."""

    def __init__(self, *branches):
        super().__init__()
        for i, branch in enumerate(branches, 1):
            self.add_module(f"branch{i}", branch)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children()], 1)


def conv_relu(*args, **kwargs):
    return nn.Sequential(nn.Conv2d(*args, **kwargs), nn.ReLU())


def mlpconv(before, after, *args, hidden=None, **kwargs):
    first, second = hidden or (after, after)
    return nn.Sequential(
        *conv_relu(before, first, *args, **kwargs),
        *conv_relu(first, second, 1),
        *conv_relu(second, after, 1),
    )


def naive_inception(c, c1, c3, c5):
    return Branches(
        conv_relu(c, c1, 1),
        conv_relu(c, c3, 3, padding=1),
        conv_relu(c, c5, 5, padding=2),
        nn.MaxPool2d(3, 1, 1),
    )


def inception(c, c1, r3, c3, r5, c5, pool):
    return Branches(
        conv_relu(c, c1, 1),
        nn.Sequential(*conv_relu(c, r3, 1), *conv_relu(r3, c3, 3, padding=1)),
        nn.Sequential(*conv_relu(c, r5, 1), *conv_relu(r5, c5, 5, padding=2)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv_relu(c, pool, 1)),
    )


def inception_bn(c, c1, r3, c3, r5, c5, pool):
    return Branches(
        BasicConv2d(c, c1, 1),
        nn.Sequential(BasicConv2d(c, r3, 1), BasicConv2d(r3, c3, 3, padding=1)),
        nn.Sequential(BasicConv2d(c, r5, 1), BasicConv2d(r5, c5, 3, padding=1)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), BasicConv2d(c, pool, 1)),
    )


class Fire(nn.Module):
    def __init__(self, c, squeeze, one, three):
        super().__init__()
        self.squeeze = nn.Conv2d(c, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, one, 1)
        self.expand3x3 = nn.Conv2d(squeeze, three, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


def projection(before, after, stride):
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, before, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(before, planes, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, before, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = projection(before, 4 * planes, stride)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def conv_bn(before, after, size, stride=1, groups=1, act=nn.ReLU6):
    conv = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), *([act()] if act else []))


class InvertedResidual(nn.Module):
    def __init__(self, before, after, stride=1, ratio=6):
        super().__init__()
        wide = before * ratio
        layers = [conv_bn(before, wide, 1)] if ratio != 1 else []
        layers += [conv_bn(wide, wide, 3, stride, wide)]
        layers += [nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and before == after

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeeze):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeeze, 1)
        self.fc2 = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x):
        scale = F.silu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return torch.sigmoid(self.fc2(scale)) * x


class MBConv(nn.Module):
    def __init__(self, before, after, size, stride, ratio):
        super().__init__()
        wide = before * ratio
        layers = [conv_bn(before, wide, 1, act=nn.SiLU)] if ratio != 1 else []
        layers += [conv_bn(wide, wide, size, stride, wide, act=nn.SiLU)]
        layers += [SqueezeExcitation(wide, max(1, before // 4)), conv_bn(wide, after, 1, act=None)]
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and before == after

    def forward(self, x):
        return x + self.block(x) if self.shortcut else self.block(x)


class DenseLayer(nn.Module):
    def __init__(self, before):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, 128, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


def named(**modules):
    sequential = nn.Sequential()
    for name, module in modules.items():
        sequential.add_module(name, module)
    return sequential


class Mixed(nn.Module):
    """Layers of Inception v3 by name, (in, out, size, stride, padding), joined along `chains`.

    A chain is a list of names; "avg" and "max" are poolings; a list at its end forks it.
    """

    def __init__(self, layers, chains):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, BasicConv2d(*layer))
        self.chains = chains

    def forward(self, x):
        results = []
        for chain in self.chains:
            y = x
            for name in chain:
                if name == "avg":
                    y = F.avg_pool2d(y, 3, 1, 1)
                elif name == "max":
                    y = F.max_pool2d(y, 3, 2)
                elif isinstance(name, list):
                    y = torch.cat([getattr(self, branch)(y) for branch in name], 1)
                else:
                    y = getattr(self, name)(y)
            results.append(y)
        return torch.cat(results, 1)


def mixed_a(c, pool):
    layers = {
        "branch1x1": (c, 64, 1),
        "branch5x5_1": (c, 48, 1),
        "branch5x5_2": (48, 64, 5, 1, 2),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3, 1, 1),
        "branch3x3dbl_3": (96, 96, 3, 1, 1),
        "branch_pool": (c, pool, 1),
    }
    names = list(layers)
    return Mixed(layers, [names[:1], names[1:3], names[3:6], ["avg", "branch_pool"]])


def mixed_b(c):
    layers = {
        "branch3x3": (c, 384, 3, 2),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3, 1, 1),
        "branch3x3dbl_3": (96, 96, 3, 2),
    }
    names = list(layers)
    return Mixed(layers, [names[:1], names[1:], ["max"]])


def mixed_c(c, c7):
    row, column = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
    layers = {
        "branch1x1": (c, 192, 1),
        "branch7x7_1": (c, c7, 1),
        "branch7x7_2": (c7, c7, *row),
        "branch7x7_3": (c7, 192, *column),
        "branch7x7dbl_1": (c, c7, 1),
        "branch7x7dbl_2": (c7, c7, *column),
        "branch7x7dbl_3": (c7, c7, *row),
        "branch7x7dbl_4": (c7, c7, *column),
        "branch7x7dbl_5": (c7, 192, *row),
        "branch_pool": (c, 192, 1),
    }
    names = list(layers)
    return Mixed(layers, [names[:1], names[1:4], names[4:9], ["avg", "branch_pool"]])


def mixed_d(c):
    layers = {
        "branch3x3_1": (c, 192, 1),
        "branch3x3_2": (192, 320, 3, 2),
        "branch7x7x3_1": (c, 192, 1),
        "branch7x7x3_2": (192, 192, (1, 7), 1, (0, 3)),
        "branch7x7x3_3": (192, 192, (7, 1), 1, (3, 0)),
        "branch7x7x3_4": (192, 192, 3, 2),
    }
    names = list(layers)
    return Mixed(layers, [names[:2], names[2:], ["max"]])


def mixed_e(c):
    row, column = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
    layers = {
        "branch1x1": (c, 320, 1),
        "branch3x3_1": (c, 384, 1),
        "branch3x3_2a": (384, 384, *row),
        "branch3x3_2b": (384, 384, *column),
        "branch3x3dbl_1": (c, 448, 1),
        "branch3x3dbl_2": (448, 384, 3, 1, 1),
        "branch3x3dbl_3a": (384, 384, *row),
        "branch3x3dbl_3b": (384, 384, *column),
        "branch_pool": (c, 192, 1),
    }
    names = list(layers)
    chains = [names[:1], [*names[1:2], names[2:4]], [*names[4:6], names[6:8]]]
    return Mixed(layers, [*chains, ["avg", "branch_pool"]])


def head(pool=1):
    return {"avgpool": nn.AdaptiveAvgPool2d(pool), "flatten": nn.Flatten()}


def nin():
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = nn.Sequential(
        mlpconv(3, 96, 11, stride=4),
        pool(),
        mlpconv(96, 256, 5, padding=2),
        pool(),
        mlpconv(256, 384, 3, padding=1),
        pool(),
        nn.Dropout(),
        mlpconv(384, 1000, 3, padding=1, hidden=(1024, 1024)),
    )
    return named(features=features, **head())


def googlenet():
    def pool(size):
        return nn.MaxPool2d(size, 2, ceil_mode=True)

    return named(
        conv1=BasicConv2d(3, 64, 7, 2, 3),
        maxpool1=pool(3),
        conv2=BasicConv2d(64, 64, 1),
        conv3=BasicConv2d(64, 192, 3, padding=1),
        maxpool2=pool(3),
        inception3a=inception_bn(192, 64, 96, 128, 16, 32, 32),
        inception3b=inception_bn(256, 128, 128, 192, 32, 96, 64),
        maxpool3=pool(3),
        inception4a=inception_bn(480, 192, 96, 208, 16, 48, 64),
        inception4b=inception_bn(512, 160, 112, 224, 24, 64, 64),
        inception4c=inception_bn(512, 128, 128, 256, 24, 64, 64),
        inception4d=inception_bn(512, 112, 144, 288, 32, 64, 64),
        inception4e=inception_bn(528, 256, 160, 320, 32, 128, 128),
        maxpool4=pool(2),
        inception5a=inception_bn(832, 256, 160, 320, 32, 128, 128),
        inception5b=inception_bn(832, 384, 192, 384, 48, 128, 128),
        **head(),
        fc=nn.Linear(1024, 1000),
    )


def inception_v3():
    return named(
        Conv2d_1a_3x3=BasicConv2d(3, 32, 3, 2),
        Conv2d_2a_3x3=BasicConv2d(32, 32, 3),
        Conv2d_2b_3x3=BasicConv2d(32, 64, 3, padding=1),
        maxpool1=nn.MaxPool2d(3, 2),
        Conv2d_3b_1x1=BasicConv2d(64, 80, 1),
        Conv2d_4a_3x3=BasicConv2d(80, 192, 3),
        maxpool2=nn.MaxPool2d(3, 2),
        Mixed_5b=mixed_a(192, 32),
        Mixed_5c=mixed_a(256, 64),
        Mixed_5d=mixed_a(288, 64),
        Mixed_6a=mixed_b(288),
        Mixed_6b=mixed_c(768, 128),
        Mixed_6c=mixed_c(768, 160),
        Mixed_6d=mixed_c(768, 160),
        Mixed_6e=mixed_c(768, 192),
        Mixed_7a=mixed_d(768),
        Mixed_7b=mixed_e(1280),
        Mixed_7c=mixed_e(2048),
        **head(),
        fc=nn.Linear(2048, 1000),
    )


def squeezenet():
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2),
        nn.ReLU(),
        pool(),
        Fire(64, 16, 64, 64),
        Fire(128, 16, 64, 64),
        pool(),
        Fire(128, 32, 128, 128),
        Fire(256, 32, 128, 128),
        pool(),
        Fire(256, 48, 192, 192),
        Fire(384, 48, 192, 192),
        Fire(384, 64, 256, 256),
        Fire(512, 64, 256, 256),
    )
    classifier = nn.Sequential(
        nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    )
    return named(features=features, classifier=classifier, flatten=nn.Flatten())


def resnet(block, depths):
    stages, before = {}, 64
    for i, depth in enumerate(depths):
        blocks = []
        for position in range(depth):
            blocks.append(block(before, 64 * 2**i, 2 if i and not position else 1))
            before = 64 * 2**i * block.expansion
        stages[f"layer{i + 1}"] = nn.Sequential(*blocks)
    return named(
        conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, 2, 1),
        **stages,
        **head(),
        fc=nn.Linear(before, 1000),
    )


def resnet18():
    return resnet(BasicBlock, [2, 2, 2, 2])


def resnet50():
    return resnet(Bottleneck, [3, 4, 6, 3])


def mobilenet_v2():
    settings = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    settings += [(6, 160, 3, 2), (6, 320, 1, 1)]
    features, before = [conv_bn(3, 32, 3, 2)], 32
    for ratio, channels, depth, stride in settings:
        for position in range(depth):
            step = 1 if position else stride
            features.append(InvertedResidual(before, channels, step, ratio))
            before = channels
    features.append(conv_bn(320, 1280, 1))
    classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280, 1000))
    return named(features=nn.Sequential(*features), **head(), classifier=classifier)


def efficientnet_b0():
    settings = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)]
    settings += [(6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]
    features, before = [conv_bn(3, 32, 3, 2, act=nn.SiLU)], 32
    for ratio, size, stride, channels, depth in settings:
        blocks = []
        for position in range(depth):
            blocks.append(MBConv(before, channels, size, 1 if position else stride, ratio))
            before = channels
        features.append(nn.Sequential(*blocks))
    features.append(conv_bn(320, 1280, 1, act=nn.SiLU))
    classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280, 1000))
    return named(features=nn.Sequential(*features), **head(), classifier=classifier)


def densenet121():
    features = {
        "conv0": nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        "norm0": nn.BatchNorm2d(64),
        "relu0": nn.ReLU(),
        "pool0": nn.MaxPool2d(3, 2, 1),
    }
    channels = 64
    for i, depth in enumerate([6, 12, 24, 16], 1):
        layers = {f"denselayer{j + 1}": DenseLayer(channels + 32 * j) for j in range(depth)}
        features[f"denseblock{i}"] = named(**layers)
        channels += 32 * depth
        if i < 4:
            features[f"transition{i}"] = named(
                norm=nn.BatchNorm2d(channels),
                relu=nn.ReLU(),
                conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
                pool=nn.AvgPool2d(2, 2),
            )
            channels //= 2
    features["norm5"] = nn.BatchNorm2d(channels)
    classifier = nn.Linear(channels, 1000)
    return named(features=named(**features), relu=nn.ReLU(), **head(), classifier=classifier)


def vgg16():
    features, before = [], 3
    for channels in [64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0]:
        if channels:
            features += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        else:
            features.append(nn.MaxPool2d(2, 2))
    classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 1000),
    )
    return named(features=nn.Sequential(*features), **head(7), classifier=classifier)


def trained(module, seed=0):
    """The module in evaluation, its batch norms as if they had seen data."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for name, low in [("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)]:
                getattr(part, name).data.uniform_(low, low + 1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            part.num_batches_tracked.fill_(100)
    return module.eval()
