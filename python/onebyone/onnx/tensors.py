"""Tensors of an ONNX file as NumPy arrays, every size checked before memory is taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .errors import Unsupported

if TYPE_CHECKING:
    import onnx

    from .external import ExternalData

__all__ = ["DTYPES", "TensorReader", "type_name"]

# TensorProto.DataType.
DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
}
_OTHERS = {
    8: "string",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
}
# Where a tensor without raw_data keeps its elements; those of float16 are bits in integers.
_FIELDS = {
    1: "float_data",
    7: "int64_data",
    11: "double_data",
    12: "uint64_data",
    13: "uint64_data",
}


def type_name(data_type: int) -> str:
    """Return the name of a TensorProto.DataType."""
    return str(DTYPES.get(data_type) or _OTHERS.get(data_type) or f"type number {data_type}")


class TensorReader:
    """Reads TensorProtos. ``external`` reads data beside the model; None: there is no beside."""

    def __init__(self, external: ExternalData | None) -> None:
        self._external = external

    def __call__(
        self, tensor: onnx.TensorProto, where: str, data: memoryview | None = None
    ) -> np.ndarray:
        """Return the tensor as a read-only array; of ``data``, if its own were left elsewhere.

        Raises Unsupported that names a type without a NumPy equivalent, ValueError that begins with
        ``where`` for a tensor at odds with itself.
        """
        dtype = DTYPES.get(tensor.data_type)
        if dtype is None:
            raise Unsupported(type_name(tensor.data_type))
        shape = tuple(tensor.dims)
        if any(size < 0 for size in shape) or len(shape) > 64:
            raise ValueError(f"{where}: {shape} is no shape of a tensor")
        count = math.prod(shape)
        if tensor.data_location == 1:
            array = self._read_external(tensor, dtype, count, where)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data if data is None else data
            if len(raw) != count * dtype.itemsize:
                raise _wrong_size(where, shape, dtype, f"{len(raw)} bytes")
            array = np.frombuffer(raw, dtype.newbyteorder("<"))
        else:
            array = _from_field(tensor, dtype, count, where)
        array = array.astype(dtype, copy=False).reshape(shape)
        array.flags.writeable = False
        return array

    def _read_external(
        self, tensor: onnx.TensorProto, dtype: np.dtype, count: int, where: str
    ) -> np.ndarray:
        if self._external is None:
            raise ValueError(
                f"{where}: its data are in another file, which bytes alone do not lead to; "
                "load the model by its path"
            )
        entries = {entry.key: entry.value for entry in tensor.external_data}
        raw = self._external.read(entries, count * dtype.itemsize, where)
        return np.frombuffer(raw, dtype.newbyteorder("<"))


def _from_field(tensor: onnx.TensorProto, dtype: np.dtype, count: int, where: str) -> np.ndarray:
    values = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
    if len(values) != count:
        raise _wrong_size(where, tuple(tensor.dims), dtype, f"{len(values)} elements")
    if dtype == np.float16:
        return np.array(values, np.uint32).astype(np.uint16).view(np.float16)
    # Integers narrower than their field are stored modulo its width.
    return np.array(values, dtype if dtype.kind == "f" else None).astype(dtype)


def _wrong_size(where: str, shape: tuple[int, ...], dtype: np.dtype, found: str) -> ValueError:
    return ValueError(f"{where}: shape {shape} of {dtype} does not go with {found} of data")
