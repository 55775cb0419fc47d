"""From a path or bytes to a parsed model. The package ``onnx`` is imported here, when needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .external import ExternalData
from .model_file import ModelFile

if TYPE_CHECKING:
    import onnx

__all__ = ["NEWEST_OPSET", "OLDEST_OPSET", "opset_of", "parse"]

OLDEST_OPSET = 7
"""The first with NumPy's broadcasting."""
NEWEST_OPSET = 28
_LARGEST = 2**31 - 1
"""Bytes of one protobuf message, by its specification."""


def parse(model: Any) -> tuple[onnx.ModelProto, ModelFile, ExternalData | None]:
    """Return the model of a file, or of bytes; where its tensors are; what reads those beside it.

    Raises ImportError without the package ``onnx``, OSError if the file cannot be read, ValueError
    if it holds no ONNX model, TypeError for anything but a path or bytes.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'reading ONNX models needs the package onnx: pip install "onebyone[onnx]"'
        ) from error
    from google.protobuf.message import DecodeError

    if isinstance(model, (bytes, bytearray, memoryview)):
        where, external = "onnx.load: these bytes", None
        file = ModelFile(bytes(model))
    elif isinstance(model, (str, os.PathLike)):
        where = f"onnx.load: {os.fspath(model)!r}"
        file = ModelFile(model, lambda size: _check_size(size, where))
        external = ExternalData(os.path.dirname(os.path.abspath(os.fspath(model))))
    else:
        raise TypeError(
            f"onnx.load: expects the path of a model or its bytes, not {type(model).__name__}"
        )
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(file.message)
    except (DecodeError, RuntimeError) as error:
        raise ValueError(f"{where} cannot be parsed as an ONNX model: {error}") from None
    if not proto.graph.output:
        raise ValueError(f"{where} cannot be used as an ONNX model: no graph with outputs in it")
    return proto, file, external


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model asks for.

    Raises ValueError if it names none, or one outside of what is supported.
    """
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise ValueError(
            f"onnx.load: the model must import one version of ONNX's operators, not {versions}"
        )
    if not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        raise ValueError(
            f"onnx.load: opset {versions[0]} is not supported, {OLDEST_OPSET} to {NEWEST_OPSET} "
            "are; onnx.version_converter.convert_version changes it"
        )
    return versions[0]


def _check_size(size: int, where: str) -> None:
    if size > _LARGEST:
        raise ValueError(
            f"{where} has {size} bytes, a protobuf at most {_LARGEST}; "
            "save the model with external data"
        )
