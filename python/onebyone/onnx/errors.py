"""What a file may hold that is valid ONNX and yet cannot be run."""

__all__ = ["Unsupported"]


class Unsupported(Exception):
    """The text says what of one node is not supported; :func:`onebyone.onnx.load` collects them."""
