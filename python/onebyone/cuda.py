"""The optional GPU path: whether it can be used, and its settings.

Where it can, :func:`onebyone.conv2d` and :class:`onebyone.Conv2dPlan` take arrays on an NVIDIA GPU:
torch tensors, CuPy arrays, and any array with ``__dlpack__`` or ``__cuda_array_interface__``. All
arrays of a call lie on one GPU and have one dtype of float32, float16 and bfloat16; sums are made
in float32.

Work is put on a stream, and calls return before it is done. It is the current stream of the library
that the first array came from, or the one given as ``stream=``. Every array is read after what its
own library has put on its current stream; the result is ready in the order of the call's stream.
"""

from __future__ import annotations

from . import _core
from ._core import CudaArray as Array

__all__ = ["Array", "get_allow_tf32", "is_available", "set_allow_tf32", "why_not"]


def is_available() -> bool:
    """Whether there is a GPU that this build can use. The first call loads the CUDA library."""
    return not _core.cuda_why_not()


def why_not() -> str:
    """Say what keeps the GPU from being used, in a sentence; "" if nothing does.

    It tells apart: the CUDA library is not built (with the command that builds it), it has another
    ABI version, it cannot be loaded (with the loader's words), there is no driver, the driver is
    too old, there is no GPU, there is no code for this GPU. What was found at the first call holds
    for the process. ``ONEBYONE_CUDA_LIBRARY`` names another library than the one beside the
    package.
    """
    return _core.cuda_why_not()


def set_allow_tf32(allow: bool) -> None:
    """Set whether float32 products may be rounded to TF32, for the whole process.

    Tensor cores multiply float32 numbers of which they read 10 bits of the mantissa: results then
    have errors of about 1e-3 of the inputs' products, at several times the speed. The default is
    False. A plan keeps the setting it was made with.

    Raises TypeError if ``allow`` is not True or False.
    """
    _core.set_allow_tf32(allow)


def get_allow_tf32() -> bool:
    """Return whether float32 products may be rounded to TF32; see :func:`set_allow_tf32`."""
    return _core.get_allow_tf32()
