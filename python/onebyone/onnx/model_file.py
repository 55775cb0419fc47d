"""The bytes of a model: a file is mapped, and big tensors stay where they are in it.

A parsed protobuf holds every tensor a second time. What is parsed is therefore the message without
the data of its big initializers, which become views of the file or of the caller's bytes.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .external import open_regular_file

__all__ = ["ModelFile", "Region"]

_BIG = 1 << 14
"""Bytes of data from which on a tensor is left in the file."""
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Fields of ModelProto, GraphProto and TensorProto, by ONNX's specification."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""


class Region(NamedTuple):
    """Bytes [begin, end)."""

    begin: int
    end: int


class ModelFile:
    """The bytes of a model, from a path or from the caller, who must leave them as they are.

    ``message`` is the model without the data of its big initializers; ``regions`` holds for each
    initializer in order where these are, or None where the message has them. ``check_size`` is
    called with a file's size before it is read. Raises OSError for what cannot be read.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        check_size: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._map: mmap.mmap | None = None
        self.data = memoryview(b"")
        if isinstance(source, bytes):
            self.data = memoryview(source)
        else:
            self._path, self._file = os.fspath(source), open_regular_file(source)
            self._status = os.fstat(self._file.fileno())
            check_size(self._status.st_size)
            if self._status.st_size:
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
                self.data = memoryview(self._map)
        self.message, self.regions = _split(self.data)

    def check(self) -> None:
        """Raise ValueError if the file was written to: its views would show it, or be gone."""
        if self._map is None:
            return
        now, then = os.fstat(self._file.fileno()), self._status
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise ValueError(f"{self._path!r} has changed since it was loaded; load it again")

    def forget(self) -> None:
        """Give the memory of what was read back to the system, which reads it again when needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class _Malformed(Exception):
    """No protobuf: left to its parser, which says so."""


def _split(data: memoryview) -> tuple[bytes, list[Region | None]]:
    try:
        pieces, regions = [], []
        for field, wire, begin, body, end in _fields(data, 0, len(data)):
            if field == _GRAPH and wire == _BYTES:
                inner = _without_data(data, body, end, regions)
                pieces += [_key(_GRAPH), _length(sum(map(len, inner))), *inner]
            else:
                pieces.append(data[begin:end])
        if any(regions):
            return b"".join(pieces), regions
    except _Malformed:
        pass
    return bytes(data), []


def _without_data(
    data: memoryview, begin: int, end: int, regions: list[Region | None]
) -> list[bytes | memoryview]:
    """Return the pieces of a graph without what is added to ``regions``."""
    pieces: list[bytes | memoryview] = []
    for field, wire, start, body, stop in _fields(data, begin, end):
        if field != _INITIALIZER or wire != _BYTES:
            pieces.append(data[start:stop])
            continue
        fields = list(_fields(data, body, stop)) if stop - body >= _BIG else []
        raw = [f for f in fields if f[0] == _RAW_DATA and f[1] == _BYTES]
        if len(raw) != 1 or raw[0][4] - raw[0][3] < _BIG:
            regions.append(None)
            pieces.append(data[start:stop])
            continue
        _, _, at, first, last = raw[0]
        regions.append(Region(first, last))
        # Empty data in its place: the tensor still says that it has them.
        left = [data[body:at], _key(_RAW_DATA), _length(0), data[last:stop]]
        pieces += [_key(_INITIALIZER), _length(sum(map(len, left))), *left]
    return pieces


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (number, wire type, begin, begin of its bytes, end) of each field of a message."""
    while at < end:
        begin = at
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        body = at
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            size, body = _varint(data, at, end)
            at = body + size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed
        if at > end or number == 0:
            raise _Malformed
        yield number, wire, begin, body, at


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed


def _key(number: int) -> bytes:
    return bytes([number << 3 | _BYTES])


def _length(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
