"""Arrays that claim to lie on a GPU, for the tests of the CUDA path without one.

Their memory is the host's, where the emulated CUDA library computes too. They keep to the protocols
of the libraries they stand for, and record what they were asked.
"""

import contextlib
import ctypes
import types

import torch

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]

_VERSIONED_FLAGS, _VERSIONED_TENSOR = 24, 32
"""Offsets in DLManagedTensorVersioned; an old DLManagedTensor begins with the tensor."""

CUDA, READ_ONLY = 2, 1


def relabel(capsule, device, kind=CUDA, read_only=False):
    """The capsule of a CPU tensor, now of another device."""
    name = _name(capsule)
    address = _pointer(capsule, name)
    if name == b"dltensor_versioned":
        if read_only:
            ctypes.c_uint64.from_address(address + _VERSIONED_FLAGS).value |= READ_ONLY
        address += _VERSIONED_TENSOR
    ctypes.c_int32.from_address(address + 8).value = kind
    ctypes.c_int32.from_address(address + 12).value = device
    return capsule


class GpuArray:
    """An array of an unknown library, with DLPack; `host` is the torch tensor behind it."""

    def __init__(self, host, device=0, read_only=False):
        self.host, self.device, self.read_only = host, device, read_only
        self.streams = []

    shape = property(lambda self: tuple(self.host.shape))

    def __dlpack_device__(self):
        return (CUDA, self.device)

    def __dlpack__(self, *, stream=None, max_version=None):
        self.streams.append(stream)
        capsule = self.host.__dlpack__(max_version=max_version)
        return relabel(capsule, self.device, read_only=self.read_only)


class OldGpuArray(GpuArray):
    """As written before DLPack 1.0."""

    def __dlpack__(self, stream=None):
        return super().__dlpack__(stream=stream)


class InterfaceArray:
    """An array with the CUDA array interface alone, as numba's."""

    def __init__(self, host, stream=None, strides=True, **overrides):
        self.host = host
        self.__cuda_array_interface__ = {
            "shape": tuple(host.shape),
            "typestr": {torch.float32: "<f4", torch.float16: "<f2"}.get(host.dtype, "<f8"),
            "data": (host.data_ptr(), False),
            "strides": tuple(s * host.element_size() for s in host.stride()) if strides else None,
            "version": 3,
            "stream": stream,
        } | overrides


class Stream:
    def __init__(self, address, device=0):
        self.cuda_stream = self.ptr = address
        self.device = device


class _Library:
    """What torch and CuPy have in common: a current device and a current stream."""

    def __init__(self):
        self.streams, self.devices, self.log = [Stream(7)], [0], []

    @contextlib.contextmanager
    def _entered(self, stack, value):
        stack.append(value)
        try:
            yield
        finally:
            stack.pop()

    @property
    def current(self):
        return self.streams[-1].ptr

    def note(self, what, *details):
        self.log.append((what, self.current, *details))


def fake_torch():
    """A module that does for GpuArrays what torch does for CUDA tensors."""
    library = _Library()

    class Tensor(GpuArray):
        is_cuda = True

        def __dlpack__(self, *, stream=-1, max_version=None):
            if self.device != library.devices[-1]:
                raise BufferError("Can't export tensors on a different CUDA device index.")
            library.note("export", stream)
            return super().__dlpack__(stream=stream, max_version=max_version)

        def contiguous(self):
            library.note("contiguous")
            return Tensor(self.host.contiguous(), self.device)

        def clone(self):
            library.note("clone")
            return Tensor(self.host.clone(), self.device)

        def record_stream(self, stream):
            library.note("record", self, stream.cuda_stream, stream.device)

    def empty(size, *, dtype, device):
        library.note("empty", device)
        host = torch.empty(size, dtype=dtype)
        return Tensor(host, int(device.removeprefix("cuda:")))

    module = types.ModuleType("torch")
    module.Tensor, module.empty, module.library = Tensor, empty, library
    for name in ("float32", "float16", "bfloat16"):
        setattr(module, name, getattr(torch, name))
    module.cuda = types.SimpleNamespace(
        current_stream=lambda device: library.streams[-1],
        current_device=lambda: library.devices[-1],
        device=lambda device: library._entered(library.devices, device),
        stream=lambda stream: library._entered(library.streams, stream),
        ExternalStream=lambda address, device: Stream(address, device),
    )
    return module


def fake_cupy():
    """The same for CuPy's arrays."""
    library = _Library()

    class ndarray(GpuArray):
        def __dlpack__(self, *, stream=None, max_version=None):
            library.note("export", stream)
            return super().__dlpack__(stream=stream, max_version=max_version)

        def copy(self):
            library.note("copy")
            return ndarray(self.host.clone(), self.device)

    def empty(size, *, dtype):
        library.note("empty")
        host = torch.empty(size, dtype=getattr(torch, dtype))
        return ndarray(host, library.devices[-1])

    def ascontiguousarray(array):
        library.note("contiguous")
        return ndarray(array.host.contiguous(), array.device)

    module = types.ModuleType("cupy")
    module.ndarray, module.empty, module.library = ndarray, empty, library
    module.ascontiguousarray = ascontiguousarray

    def external_stream(address, device):
        return library._entered(library.streams, Stream(address, device))

    module.cuda = types.SimpleNamespace(
        get_current_stream=lambda device: library.streams[-1],
        runtime=types.SimpleNamespace(getDevice=lambda: library.devices[-1]),
        Device=lambda device: library._entered(library.devices, device),
        ExternalStream=external_stream,
    )
    return module


class _OnCpu:
    def __init__(self, array):
        self._array = array

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **options):
        return relabel(self._array.__dlpack__(stream=-1, max_version=(1, 0)), 0, kind=1)


def on_host(array):
    """What any of these arrays, or a onebyone.cuda.Array, holds: a CPU tensor that shares it."""
    return array.host if isinstance(array, GpuArray) else torch.from_dlpack(_OnCpu(array))
