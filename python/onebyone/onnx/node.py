"""Node: one operator of an ONNX graph with its attributes, read with their types checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

__all__ = ["Node"]

# AttributeProto.AttributeType, and the field that holds the value.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
_NAMES = {
    1: "a float",
    2: "an integer",
    3: "a string",
    4: "a tensor",
    6: "floats",
    7: "integers",
    8: "strings",
}


class Node:
    """An operator: type, inputs and outputs by name ("" where one is left out), attributes.

    ``known`` tells whether it is computed before the network runs, ``dtype`` is the network's,
    ``static`` holds the inputs that follow from the file, by position.

    Reading an attribute marks it as understood; :meth:`unread` tells the others, which nothing
    would act upon.
    """

    def __init__(
        self, proto: onnx.NodeProto, opset: int, read_tensor: Callable[[Any, str], np.ndarray]
    ) -> None:
        self.op = proto.op_type
        self.domain = "" if proto.domain == "ai.onnx" else proto.domain
        self.opset = opset
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self.name = proto.name or next((name for name in self.outputs if name), "")
        # What the analysis finds out before the attributes are read.
        self.known = False
        self.dtype = np.dtype(np.float32)
        self.static: dict[int, np.ndarray] = {}
        self._attributes: dict[str, tuple[int, Any]] = {}
        self._read: set[str] = set()
        for attribute in proto.attribute:
            if attribute.name in self._attributes:
                raise ValueError(f"{self}: attribute {attribute.name!r} is given twice")
            self._attributes[attribute.name] = self._value(attribute, read_tensor)

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}"

    def has(self, attribute: str) -> bool:
        """Whether the attribute is given. Does not count as reading it."""
        return attribute in self._attributes

    def uses(self, output: int) -> bool:
        """Whether the node names that output."""
        return output < len(self.outputs) and bool(self.outputs[output])

    def unread(self) -> list[str]:
        """Return the names of the attributes that were never read, but for those without effect."""
        return sorted(
            name for name in self._attributes if name not in self._read and name[:1].isalpha()
        )

    def ignore(self, *attributes: str) -> None:
        """Count attributes as read: they mean nothing at inference."""
        self._read.update(attributes)

    def int(self, attribute: str, default: int) -> int:
        return self._get(attribute, 2, default)

    def float(self, attribute: str, default: float) -> float:
        return self._get(attribute, 1, default)

    def string(self, attribute: str, default: str) -> str:
        return self._get(attribute, 3, default)

    def ints(self, attribute: str) -> tuple[int, ...] | None:
        return self._get(attribute, 7, None)

    def floats(self, attribute: str) -> tuple[float, ...] | None:
        return self._get(attribute, 6, None)

    def tensor(self, attribute: str) -> np.ndarray | None:
        return self._get(attribute, 4, None)

    def choice(self, attribute: str, default: str, *supported: str) -> str:
        """Return a string that must be one of those supported (``default`` is)."""
        value = self.string(attribute, default)
        if value != default and value not in supported:
            raise Unsupported(f"{attribute} {value!r}")
        return value

    def require(self, attribute: str, value: int) -> None:
        """Raise Unsupported unless an integer attribute has that value, which is its default."""
        if (got := self.int(attribute, value)) != value:
            raise Unsupported(f"{attribute} {got}")

    def only_first_output(self) -> None:
        """Raise Unsupported if the node names more than one output."""
        for index, name in enumerate(self.outputs[1:], 1):
            if name:
                raise Unsupported(f"output {index} ({name!r})")

    def _get(self, attribute: str, kind: int, default: Any) -> Any:
        self._read.add(attribute)
        found, value = self._attributes.get(attribute, (kind, default))
        if found != kind:
            raise ValueError(
                f"{self}: attribute {attribute!r} must be {_NAMES[kind]}, "
                f"it is {_NAMES.get(found, 'something else')}"
            )
        return value

    def _value(self, attribute: onnx.AttributeProto, read_tensor: Any) -> tuple[int, Any]:
        kind, where = attribute.type, f"{self}: attribute {attribute.name!r}"
        if attribute.ref_attr_name or kind not in _FIELDS:
            return kind, None
        value = getattr(attribute, _FIELDS[kind])
        if kind == 3:
            return kind, _text(value, where)
        if kind == 4:
            return kind, read_tensor(value, where)
        if kind == 1 and not math.isfinite(value):
            raise ValueError(f"{where} is {value}")
        return kind, tuple(value) if kind in (6, 7, 8) else value


def _text(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{where} is no UTF-8 text") from None
