"""Tensor data in files beside a model: read only from its folder, and only what is there."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Mapping

__all__ = ["ExternalData", "open_regular_file", "read_regular_file"]

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Opening a named pipe must not wait for its writer."""


class ExternalData:
    """Reads regions of the files in one folder.

    Tensors may share a region, which is read once; regions that overlap otherwise would let a small
    file fill the memory, so that all regions of a file together may not exceed it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._regions: dict[tuple[str, int, int], bytes] = {}
        self._taken: dict[str, int] = {}

    def read(self, entries: Mapping[str, str], size: int, where: str) -> bytes:
        """Return the ``size`` bytes that ``entries`` (location, offset, length) point at.

        Raises ValueError that begins with ``where``.
        """
        path = self._inside(entries.get("location", ""), where)
        offset = _number(entries.get("offset", "0"), "offset", where)
        length = _number(entries.get("length", str(size)), "length", where)
        if length != size:
            raise ValueError(f"{where}: expects {size} bytes of data, its entry says {length}")
        region = self._regions.get((path, offset, size))
        if region is None:
            region = self._read(path, offset, size, where)
            self._regions[path, offset, size] = region
        return region

    def _inside(self, location: str, where: str) -> str:
        parts = location.replace("\\", "/").split("/")
        if not location or "\0" in location or os.path.isabs(location) or ".." in parts:
            raise ValueError(
                f"{where}: its data file must be a path inside the model's folder, not {location!r}"
            )
        path = os.path.realpath(os.path.join(self._folder, location))
        if os.path.commonpath([path, self._folder]) != self._folder:
            raise ValueError(
                f"{where}: its data file {location!r} is a link out of the model's folder; "
                "put the file itself there"
            )
        return path

    def _read(self, path: str, offset: int, size: int, where: str) -> bytes:
        def check(available: int) -> None:
            if offset + size > available:
                raise ValueError(
                    f"{where}: bytes {offset} to {offset + size} of {path!r}, which has {available}"
                )
            self._taken[path] = self._taken.get(path, 0) + size
            if self._taken[path] > available:
                raise ValueError(f"{where}: its data overlap those of other tensors in {path!r}")

        try:
            return read_regular_file(path, check, offset, size)
        except OSError as error:
            raise ValueError(f"{where}: cannot read its data: {error}") from None


def open_regular_file(path: str | os.PathLike[str]) -> io.FileIO:
    """Return a file opened for reading. Raises OSError if it cannot be, or is no regular file."""
    file = open(os.open(path, _FLAGS), "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{os.fspath(path)!r} is no regular file")
    return file


def read_regular_file(path: str, check: Callable[[int], None], offset: int, size: int) -> bytearray:
    """Return ``size`` bytes from ``offset`` of a file.

    ``check`` is given the file's size before any memory is taken for it. Raises OSError if the file
    cannot be opened, is no regular file or ends early.
    """
    with open_regular_file(path) as file:
        check(os.fstat(file.fileno()).st_size)
        data = bytearray(size)
        view, done = memoryview(data), 0
        file.seek(offset)
        while done < size:
            count = file.readinto(view[done:])
            if not count:
                raise OSError(f"{os.fspath(path)!r} ended early")
            done += count
    return data


def _number(text: str, key: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"{where}: {key} {text[:40]!r} of its data is no number of bytes")
    return int(text)
