"""Weights on disk: .npz and .safetensors, neither of which can run code when it is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TypeAlias

import numpy as np

__all__ = ["load_weights", "save_weights"]

StrPath: TypeAlias = str | os.PathLike[str]


def load_weights(path: StrPath) -> dict[str, np.ndarray]:
    """Read named arrays from a .npz or .safetensors file.

    Parameters
    ----------
    path
        File whose suffix tells its format. Pickled contents are refused.

    Returns
    -------
    dict
        Arrays by name, as :meth:`onebyone.nn.Module.load_state_dict` takes them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        The file is .safetensors and the extra ``onebyone[safetensors]`` is not installed.
    ValueError
        The suffix is another, or the file is damaged or holds Python objects.

    Examples
    --------
    >>> model.load_state_dict(ob.load_weights("model.npz"))  # doctest: +SKIP
    """
    path = os.fspath(path)
    read, _ = _format(path, "load_weights")
    open(path, "rb").close()
    try:
        return read(path)
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"load_weights: {path} cannot be read: {error}") from error


def save_weights(path: StrPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to a .npz or .safetensors file.

    The file is written beside its final place and renamed when it is complete: ``path`` holds the
    old contents or the new ones, never a part.

    Raises
    ------
    ImportError
        The file is .safetensors and the extra ``onebyone[safetensors]`` is not installed.
    ValueError
        The suffix is neither .npz nor .safetensors.
    OSError
        The file cannot be written.
    """
    target = os.path.realpath(path)
    _, write = _format(target, "save")
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        open(temporary, "xb").close()
        mode = os.stat(target if os.path.exists(target) else temporary).st_mode
        write(temporary, arrays)
        os.chmod(temporary, stat.S_IMODE(mode))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _read_npz(path: str) -> dict[str, np.ndarray]:
    import zipfile

    # numpy.load would take other files for .npy or pickles.
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write_npz(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    import zipfile

    # numpy.savez would take a parameter called "file" for its own argument.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            'reading and writing .safetensors needs: pip install "onebyone[safetensors]"'
        ) from error
    return safetensors.numpy


def _read_safetensors(path: str) -> dict[str, np.ndarray]:
    return _safetensors().load_file(path)


def _write_safetensors(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    _safetensors().save_file(dict(arrays), path)


_Reader: TypeAlias = Callable[[str], dict[str, np.ndarray]]
_Writer: TypeAlias = Callable[[str, Mapping[str, np.ndarray]], None]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".npz": (_read_npz, _write_npz),
    ".safetensors": (_read_safetensors, _write_safetensors),
}


def _format(path: str, who: str) -> tuple[_Reader, _Writer]:
    try:
        return _FORMATS[os.path.splitext(path)[1].lower()]
    except KeyError:
        raise ValueError(f"{who}: {path} must end in {' or '.join(_FORMATS)}") from None
