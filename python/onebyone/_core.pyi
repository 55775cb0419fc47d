"""The compiled core. Every function here is re-exported, documented, by the package."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A NumPy array, or any CPU array with ``__dlpack__`` or ``__array_interface__``; for ``conv2d``
and ``Conv2dPlan`` also one on a GPU, with ``__dlpack__`` or ``__cuda_array_interface__``."""

Stream: TypeAlias = Any
"""A CUDA stream: an int, or an object with ``__cuda_stream__``, ``cuda_stream`` or ``ptr``."""

Size: TypeAlias = int | tuple[int, int]
Edges: TypeAlias = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
Padding: TypeAlias = Edges | str
Activation: TypeAlias = str | tuple[str, float] | tuple[str, float, float] | None

__version__: str

class Conv2dPlan:
    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        input_shape: tuple[int, ...],
        activation: Activation = None,
        residual: bool = False,
        layout: str = "NCHW",
        algorithm: str = "auto",
        num_threads: int | None = None,
    ) -> None: ...
    def __call__(
        self,
        x: Array,
        residual: Array | None = None,
        out: Array | None = None,
        *,
        stream: Stream | None = None,
    ) -> Array: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def flops(self) -> int: ...
    @property
    def workspace_bytes(self) -> int: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def layout(self) -> str: ...

def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    activation: Activation,
    residual: Array | None,
    layout: str,
    algorithm: str,
    out: Array | None,
    stream: Stream | None,
) -> Array: ...
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] | tuple[tuple[int, int]] | str = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    *,
    activation: Activation = None,
    layout: str = "NCL",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array: ...
def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array: ...
def activate(x: Array, activation: Activation, out: Array | None = None) -> Array: ...
def max_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Edges = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def avg_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Edges = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def adaptive_avg_pool2d(
    x: Array,
    output_size: int | tuple[int | None, int | None] | None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def interpolate(
    x: Array,
    size: Size | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Edges = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    activation: Activation = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def batch_norm(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    activation: Activation = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array: ...
def softmax(x: Array, axis: int = -1, *, out: Array | None = None) -> Array: ...
def add(
    a: Array, b: Array, *, activation: Activation = None, out: Array | None = None
) -> Array: ...
def concat(arrays: Sequence[Array], axis: int = 0, *, out: Array | None = None) -> Array: ...
def pad(
    x: Array,
    pad: Sequence[int],
    mode: str = "constant",
    value: float = 0.0,
    *,
    out: Array | None = None,
) -> Array: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def set_local_num_threads(n: int) -> int:
    """Set the calling thread's own limit (0: none); return the previous one."""

def set_precision(precision: str) -> None: ...
def get_precision() -> str: ...
def empty_cache() -> None: ...
def cached_bytes() -> int:
    """How much memory is kept for later results now."""

def get_cache_limit() -> int: ...
def set_cache_limit(limit: int) -> None: ...
def isa() -> str: ...
def supported_isas() -> list[str]: ...
def algorithms() -> list[str]:
    """The names that ``algorithm`` takes."""

def build_info() -> dict[str, str]: ...
def cuda_why_not() -> str: ...
def cuda_device_count() -> int: ...
def get_allow_tf32() -> bool: ...
def set_allow_tf32(allow: bool) -> None: ...
def measure_peak(num_threads: int = 1, seconds: float = 0.1, dtype: str = "float32") -> float:
    """FMA peak in FLOP/s, measured now with the active ISA's vectors."""

def measure_read_bandwidth(num_threads: int = 1, bytes: int = ..., seconds: float = 0.1) -> float:
    """Bytes a second that threads read, each its part of a buffer of so many bytes."""

class CudaArray:
    """An array on a GPU without a library: what ``conv2d`` returns where the library of ``x`` has
    no ``from_dlpack``. Its memory is taken and given back in the order of the call's stream, which
    has to outlive it."""

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...

class Graph:
    """A network at one set of input shapes: values are numbers, images (N, C, H, W)."""

    def __init__(self, dtype: str = "float32") -> None: ...
    def input(self, name: str, shape: Sequence[int], layout: str = "NCHW") -> int: ...
    def constant(self, array: Array) -> int: ...
    def output(self, name: str, value: int, layout: str = "NCHW") -> None: ...
    def shape(self, value: int) -> tuple[int, ...]: ...
    def conv2d(
        self,
        x: int,
        weight: Array,
        bias: Array | None = None,
        stride: Size = 1,
        padding: Edges = 0,
        dilation: Size = 1,
        groups: int = 1,
        activation: Activation = None,
        name: str = "",
    ) -> int: ...
    def conv_transpose2d(
        self,
        x: int,
        weight: Array,
        bias: Array | None = None,
        stride: Size = 1,
        padding: Edges = 0,
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        name: str = "",
    ) -> int: ...
    def linear(
        self,
        x: int,
        weight: Array,
        bias: Array | None = None,
        activation: Activation = None,
        name: str = "",
    ) -> int: ...
    def matmul(self, a: int, b: int, name: str = "") -> int: ...
    def batch_norm(
        self,
        x: int,
        weight: Array | None,
        bias: Array | None,
        mean: Array | None,
        var: Array | None,
        eps: float,
        name: str = "",
    ) -> int: ...
    def max_pool2d(
        self,
        x: int,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Edges = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
        name: str = "",
    ) -> int: ...
    def avg_pool2d(
        self,
        x: int,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Edges = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        name: str = "",
    ) -> int: ...
    def adaptive_avg_pool2d(self, x: int, output_size: Size, name: str = "") -> int: ...
    def activation(self, x: int, activation: Activation, name: str = "") -> int: ...
    def unary(self, x: int, kind: str, name: str = "") -> int: ...
    def binary(self, a: int, b: int, kind: str, name: str = "") -> int: ...
    def concat(self, values: Sequence[int], axis: int, name: str = "") -> int: ...
    def slice(
        self,
        x: int,
        starts: Sequence[int],
        sizes: Sequence[int],
        steps: Sequence[int],
        name: str = "",
    ) -> int: ...
    def pad(
        self,
        x: int,
        before: Sequence[int],
        after: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        name: str = "",
    ) -> int: ...
    def resize(
        self,
        x: int,
        size: Size,
        scales: tuple[float, float] | None,
        mode: str,
        coordinates: str,
        nearest: str = "round_prefer_floor",
        cubic_a: float = -0.75,
        name: str = "",
    ) -> int: ...
    def reduce(
        self, x: int, axes: Sequence[int], kind: str, keepdims: bool, name: str = ""
    ) -> int: ...
    def softmax(self, x: int, axis: int, log: bool = False, name: str = "") -> int: ...
    def reshape(self, x: int, shape: Sequence[int], name: str = "") -> int: ...
    def transpose(self, x: int, perm: Sequence[int], name: str = "") -> int: ...
    def expand(self, x: int, shape: Sequence[int], name: str = "") -> int: ...
    def gather(self, x: int, indices: Sequence[int], axis: int, name: str = "") -> int: ...
    def lrn(
        self, x: int, size: int, alpha: float, beta: float, k: float, name: str = ""
    ) -> int: ...
    def compile(self, num_threads: int | None = None) -> _Network: ...

class _Network:
    """A compiled graph. It runs without the GIL."""

    def __call__(self, *inputs: Array) -> Any: ...
    def profile(self, *inputs: Array) -> list[tuple[str, str, str, str, float, int]]: ...
    @property
    def memory(self) -> dict[str, int]: ...
    @property
    def inputs(self) -> list[tuple[str, tuple[int, ...]]]: ...
    @property
    def outputs(self) -> list[tuple[str, tuple[int, ...]]]: ...
