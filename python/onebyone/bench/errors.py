"""What stops a benchmark before it starts. The command prints one line and exits with 2."""

__all__ = ["BenchError", "MissingExtra"]


class BenchError(Exception):
    """What the user gave cannot be used; the text says why, in one line."""


class MissingExtra(BenchError, ImportError):
    """A package that an extra would have brought is missing; the text names the extra."""
