"""Layers with named parameters, as in torch.nn, for inference on the CPU.

A module is called with an array and its layout, ``module(x, layout="NCHW")``::

    import onebyone.nn as nn

    model = nn.Sequential(
        nn.Conv2d(3, 512, 3, padding="same", activation="relu"),
        nn.Conv1x1(512, 64, activation="relu"),
    )
    print(model.summary((3, 256, 256)))
"""

from .activations import (
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from .init import manual_seed
from .layers import Conv1x1, Conv2d, Flatten, Linear
from .module import Container, Module, Parameter, Sequential
from .normalization import BatchNorm2d, Softmax
from .pooling import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Container",
    "Conv1x1",
    "Conv2d",
    "Flatten",
    "GlobalAvgPool2d",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "manual_seed",
]
