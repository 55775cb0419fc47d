"""Networks of the literature, built of ``onebyone.nn`` with torchvision's parameter names::

    model = ob.models.resnet50()
    model.load_state_dict(ob.load_weights("resnet50.safetensors"))  # or torch's state dict
    logits = model(images)  # (N, 3, 224, 224) -> (N, 1000)

Weights are random until a state dict is loaded: drawn so that activations neither vanish nor
explode, repeatable after ``ob.nn.manual_seed``. Every function takes ``num_classes``, 1000 by
default. A network's module is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .densenet import densenet121
    from .efficientnet import efficientnet_b0
    from .inception import googlenet, inception_v3
    from .mlpconv import nin
    from .mobilenet import mobilenet_v2
    from .resnet import resnet18, resnet50
    from .squeeze import squeezenet
    from .vgg import vgg16

__all__ = [
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "nin",
    "resnet18",
    "resnet50",
    "squeezenet",
    "vgg16",
]

# No file has the name of a function: importing it would put the file in the function's place.
_FILES = {
    "densenet121": "densenet",
    "efficientnet_b0": "efficientnet",
    "googlenet": "inception",
    "inception_v3": "inception",
    "mobilenet_v2": "mobilenet",
    "nin": "mlpconv",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "squeezenet": "squeeze",
    "vgg16": "vgg",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(import_module(f".{_FILES[name]}", __name__), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
