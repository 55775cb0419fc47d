"""ONNX models: read, checked and lowered to the operations that networks are compiled from.

The package ``onnx`` is imported when :func:`load` is called (extra ``onebyone[onnx]``).
"""

from .model import Graph, Value, load

__all__ = ["Graph", "Value", "load"]
