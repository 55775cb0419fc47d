"""Files that commands write."""

from __future__ import annotations

import os

__all__ = ["check_writable"]


def check_writable(path: str) -> None:
    """Raise OSError now if ``path`` could not be written later. Leaves no file behind."""
    existed = os.path.exists(path)
    open(path, "ab").close()
    if not existed:
        os.unlink(path)
