"""Fast convolutions on the CPU: 1x1 convolution as a GEMM, and every other convolution beside it.

Functions take and return NumPy arrays, or the CPU arrays of any library that speaks DLPack::

    import numpy as np
    import onebyone as ob

    x = np.random.rand(1, 256, 56, 56).astype(np.float32)
    weight = np.random.rand(64, 256, 1, 1).astype(np.float32)
    y = ob.conv2d(x, weight, activation="relu")  # (1, 64, 56, 56)

``Conv2dPlan`` prepares a convolution that runs many times, ``onebyone.nn`` builds networks of
layers, ``onebyone.models`` has those of the literature, ``onebyone.onnx`` reads them from files,
and ``compile`` prepares a whole network. ``onebyone.cuda`` says whether a GPU can be used.
"""

from . import cuda, models, nn, onnx
from ._core import __version__
from .config import (
    empty_cache,
    get_cache_limit,
    get_num_threads,
    get_precision,
    isa,
    set_cache_limit,
    set_num_threads,
    set_precision,
    show_config,
    supported_isas,
    threads,
)
from .functional import conv1d, conv2d, conv_transpose2d, linear
from .network import Network, compile
from .ops import add, batch_norm, concat, interpolate, pad, softmax
from .plan import Conv2dPlan
from .pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from .weights import load_weights

__all__ = [
    "Conv2dPlan",
    "Network",
    "__version__",
    "adaptive_avg_pool2d",
    "add",
    "avg_pool2d",
    "batch_norm",
    "compile",
    "concat",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cuda",
    "empty_cache",
    "get_cache_limit",
    "get_num_threads",
    "get_precision",
    "interpolate",
    "isa",
    "linear",
    "load_weights",
    "max_pool2d",
    "models",
    "nn",
    "onnx",
    "pad",
    "set_cache_limit",
    "set_num_threads",
    "set_precision",
    "show_config",
    "softmax",
    "supported_isas",
    "threads",
]
