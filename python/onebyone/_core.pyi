"""The compiled core. Every function here is re-exported, documented, by the package."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A NumPy array, or any CPU array with ``__dlpack__`` or ``__array_interface__``."""

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
        self, x: Array, residual: Array | None = None, out: Array | None = None
    ) -> Array: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def isa(self) -> str: ...
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
    bias: Array | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    activation: Activation = None,
    residual: Array | None = None,
    layout: str = "NCHW",
    algorithm: str = "auto",
    out: Array | None = None,
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
def measure_peak(num_threads: int = 1, seconds: float = 0.1, dtype: str = "float32") -> float:
    """FMA peak in FLOP/s, measured now with the active ISA's vectors."""

def measure_read_bandwidth(num_threads: int = 1, bytes: int = ..., seconds: float = 0.1) -> float:
    """Bytes a second that threads read, each its part of a buffer of so many bytes."""
