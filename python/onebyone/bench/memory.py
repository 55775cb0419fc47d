"""How far this process's memory grows, as Linux counts it."""

from __future__ import annotations

import contextlib
import ctypes
import re
from pathlib import Path

__all__ = ["Watch"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class Watch:
    """Resident memory from here on. ``growth`` is None where the system does not tell."""

    def __init__(self) -> None:
        self.restart()
        self._before = _status("VmRSS")

    def restart(self) -> None:
        """Forget the peak so far, and what has been freed but not been given back."""
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
        self._told = False
        with contextlib.suppress(OSError):
            _RESET.write_text(_RESET_PEAK)
            self._told = True

    def growth(self) -> int | None:
        """Bytes of the peak since the last start above the memory at the first."""
        peak = _status("VmHWM")
        if not self._told or peak is None or self._before is None:
            return None
        return max(0, peak - self._before)


def _status(title: str) -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(rf"^{title}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return int(found.group(1)) << 10 if found else None
    return None
