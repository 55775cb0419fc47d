"""The process: threads, precision, memory, instruction sets, and how the library was built."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from . import _core

__all__ = [
    "empty_cache",
    "get_cache_limit",
    "get_num_threads",
    "get_precision",
    "isa",
    "set_cache_limit",
    "set_num_threads",
    "set_precision",
    "show_config",
    "supported_isas",
    "threads",
]


def set_num_threads(n: int) -> None:
    """Set how many threads the whole process uses for one operation.

    The default is ``ONEBYONE_NUM_THREADS``, or the processors that affinity and the container's
    quota leave to this process. Results do not depend on it.

    Raises ValueError if ``n < 1``, TypeError if it is no integer.
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """Return how many threads an operation of the calling thread may use."""
    return _core.get_num_threads()


def threads(n: int) -> AbstractContextManager[None]:
    """Limit the calling thread's operations to ``n`` threads inside a ``with`` block.

    Blocks nest; leaving one restores what was there before, also after an exception. Other threads
    of the process are not affected.

    Raises ValueError if ``n < 1``, TypeError if it is no integer.

    Examples
    --------
    >>> import onebyone as ob
    >>> with ob.threads(1):
    ...     ob.get_num_threads()
    1
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"threads: n must be an int, got {n!r}")
    if operator.index(n) < 1:
        raise ValueError(f"threads: n must be at least 1, got {n}")
    return _local_threads(n)


@contextmanager
def _local_threads(n: int) -> Iterator[None]:
    previous = _core.set_local_num_threads(n)
    try:
        yield
    finally:
        _core.set_local_num_threads(previous)


def set_precision(precision: str) -> None:
    """Set what ``algorithm="auto"`` may choose, for the whole process.

    "fast", the default, lets it choose Winograd's algorithm, and Strassen's for the 1x1
    convolutions of a network that :func:`compile` makes; their rounding errors are a few times
    those of the direct method. "exact" keeps to algorithms that sum plain products. An algorithm
    asked for by name is used either way. A plan keeps the choice it was made with; layers and
    networks follow the setting. The default is taken from ``ONEBYONE_PRECISION`` at import.

    Raises ValueError if ``precision`` is neither, TypeError if it is no string.
    """
    _core.set_precision(precision)


def get_precision() -> str:
    """Return "fast" or "exact"; see :func:`set_precision`."""
    return _core.get_precision()


def empty_cache() -> None:
    """Return memory that is kept for later results to the system.

    Results, packed weights and workspace of 64 KB and more are recycled once nothing refers to
    them, because fresh memory of the system is slow to touch first. Arrays, plans and threads that
    are alive are not affected.
    """
    _core.empty_cache()


def set_cache_limit(limit: int) -> None:
    """Set how many bytes the process may keep for later results; 0 keeps nothing.

    What is kept beyond ``limit`` returns to the system at once, the longest unused first. The
    default is ``ONEBYONE_CACHE_LIMIT``, or 256 MB or a sixteenth of the memory, whichever is less.

    Raises ValueError if ``limit < 0``, TypeError if it is no integer.
    """
    _core.set_cache_limit(limit)


def get_cache_limit() -> int:
    """Return how many bytes the process may keep for later results."""
    return _core.get_cache_limit()


def isa() -> str:
    """Return the instruction set whose kernels run, e.g. "avx2".

    It is the best one of :func:`supported_isas`, unless ``ONEBYONE_ISA`` named another at import.
    """
    return _core.isa()


def supported_isas() -> list[str]:
    """Return the instruction sets that this build holds and this processor runs."""
    return _core.supported_isas()


def show_config() -> None:
    """Print version, instruction sets, settings, build, GPUs and NumPy, one aligned line each."""
    kept, limit = _core.cached_bytes() / 2**20, _core.get_cache_limit() / 2**20
    rows = {
        "onebyone": _core.__version__,
        "ISA": _core.isa(),
        "supported ISAs": ", ".join(_core.supported_isas()),
        "threads": str(_core.get_num_threads()),
        "precision": _core.get_precision(),
        "memory cache": f"{kept:.4g} MiB kept, {limit:.4g} MiB at most",
    }
    titles = {title.lower(): title for title in rows} | {"version": "onebyone"}
    for key, value in _core.build_info().items():
        rows[titles.get(key.lower(), key)] = value
    gpus = _core.cuda_device_count()
    rows["CUDA"] = _core.cuda_why_not() or f"{gpus} GPU{'s' if gpus > 1 else ''}"
    rows["TF32 on GPUs"] = "allowed" if _core.get_allow_tf32() else "not allowed"
    rows["NumPy"] = np.__version__
    width = max(map(len, rows))
    print("\n".join(f"{title:<{width}}  {value}" for title, value in rows.items()))
