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
from .containers import Concat, Container, Residual, Sequential
from .identity import Dropout, Identity
from .init import manual_seed
from .layers import Conv1x1, Conv2d, Flatten, Linear
from .module import Module, Parameter

__all__ = [
    "GELU",
    "Concat",
    "Container",
    "Conv1x1",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "LeakyReLU",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "manual_seed",
]
