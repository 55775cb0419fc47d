"""Graph: an ONNX model that was read and checked, ready to be compiled for any input shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .analysis import Analysis, Problems, Step
from .errors import Unsupported
from .lowering import Lowering
from .model_file import ModelFile
from .node import Node
from .numpy_graph import Budget, NumpyGraph
from .parse import opset_of, parse
from .summary import summary
from .tensors import TensorReader, type_name

if TYPE_CHECKING:
    import os

    import onnx

    from .._core import Graph as CoreGraph

__all__ = ["Graph", "Value", "load"]

_BUDGET = 2**30
"""Bytes that constants may take that are computed, in addition to four times those in the file."""


class Value(NamedTuple):
    """An input or output: a size is an int, the name of a free one, or None if it has no name."""

    name: str
    shape: tuple[int | str | None, ...] | None
    dtype: str


def load(model: str | os.PathLike[str] | bytes) -> Graph:
    """Read an ONNX model and check that all of it can be run.

    Parameters
    ----------
    model
        The path of a .onnx file, or its bytes. Data that the file keeps in others are read from
        its own folder only, and not if bytes are given. The file is mapped, its weights are read
        when the graph is compiled: a file that was written to since then is refused.

    Returns
    -------
    Graph
        For :func:`onebyone.compile`. Operator sets 7 to 28, float32 or float64.

    Raises
    ------
    ImportError
        The package ``onnx`` is missing: ``pip install "onebyone[onnx]"``.
    OSError
        The file cannot be read.
    ValueError
        It is broken, or it needs operators, attributes or types that are not supported: the
        message names all of them with their nodes.

    Examples
    --------
    >>> graph = ob.onnx.load("model.onnx")  # doctest: +SKIP
    >>> net = ob.compile(graph, (1, 3, 224, 224))  # doctest: +SKIP
    """
    proto, file, external = parse(model)
    opset, graph = opset_of(proto), proto.graph
    problems, reader = Problems(), TensorReader(external)
    constants = _initializers(graph, file, reader, problems)
    inputs = [_value(v, problems) for v in graph.input if v.name not in constants]
    if len({v.name for v in inputs}) != len(inputs):
        raise ValueError("onnx.load: two inputs have the same name")
    dtype = _dtype(inputs, problems)
    nodes = []
    for node in graph.node:
        try:
            nodes.append(Node(node, opset, reader))
        except Unsupported as problem:
            problems.add(f"{node.op_type} of {problem}", node.name)
            # Nothing can be said about a value of such a type but that it exists.
            constants.update({name: np.zeros((), dtype) for name in node.output})
    budget = _BUDGET + 4 * sum(array.nbytes for array in constants.values())
    analysis = Analysis(
        [v.name for v in inputs], constants, dtype, NumpyGraph(Budget(budget)), problems
    )
    analysis.run(nodes, [v.name for v in graph.output])
    problems.check()
    outputs = [Value(v.name, _shape(v), str(dtype)) for v in graph.output]
    return Graph(inputs, outputs, dtype, opset, analysis.static, analysis.steps, budget, file)


class Graph:
    """A model read by :func:`load`: compile it with :func:`onebyone.compile`.

    Attributes
    ----------
    inputs, outputs : list of Value
        Name, shape and dtype of each. A free size is a string, or None if the file does not name
        it.
    dtype : str
        "float32" or "float64".
    opset : int
        The version of ONNX's operators that the model was written for.
    """

    def __init__(
        self,
        inputs: list[Value],
        outputs: list[Value],
        dtype: np.dtype,
        opset: int,
        static: dict[str, np.ndarray],
        steps: list[Step],
        budget: int,
        file: ModelFile,
    ) -> None:
        self.inputs, self.outputs, self.opset = inputs, outputs, opset
        self.dtype = str(dtype)
        self._static, self._steps, self._budget, self._file = static, steps, budget, file

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{v.name} {_shape_text(v.shape)}" for v in values)
            for values in (self.inputs, self.outputs)
        )
        count = sum(not step.known for step in self._steps)
        return f"onnx.Graph({inputs} -> {outputs}; {count} operations, {self.dtype})"

    def summary(self, input_shapes: Sequence[Sequence[int]] | None = None) -> str:
        """Return a table of the operations: output shapes, parameters, multiply-adds, totals.

        ``input_shapes`` holds a shape for each input. Without it, sizes that the model leaves free
        are taken as 1 for the batch; if others are free, the table has no shapes. Raises ValueError
        if the model cannot take such inputs.
        """
        return summary(self, self._steps, self._static, input_shapes)

    def lower(
        self,
        core: CoreGraph,
        input_shapes: Sequence[Sequence[int]],
        layout: str = "NCHW",
        visit: Callable[[Step, list[Any], list[Any]], None] | None = None,
    ) -> None:
        """Emit everything into ``core`` for inputs of these shapes, (N, C, H, W) for images.

        ``layout`` is how the caller's arrays of four dimensions will lie. ``visit`` is called after
        each step with its inputs and results. Raises ValueError that names the node which cannot
        take what it gets, or the model's file if it has changed.
        """
        self._file.check()
        lowering = Lowering(core, np.dtype(self.dtype), self._static, Budget(self._budget))
        for given, shape in zip(self.inputs, self._checked(input_shapes), strict=True):
            lowering.values[given.name] = core.input(given.name, shape, layout)
        for step in self._steps:
            inputs, results = lowering.run(step)
            if visit:
                visit(step, inputs, results)
        for output in self.outputs:
            core.output(output.name, lowering.as_value(output.name), layout)

    def forget(self) -> None:
        """Keep no weights in memory: they are read from the model's file when they are needed."""
        self._file.forget()

    def _checked(self, input_shapes: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Return the shapes after a comparison with the sizes that the model fixes."""
        shapes = [tuple(map(int, shape)) for shape in input_shapes]
        if len(shapes) != len(self.inputs):
            raise ValueError(f"the model has {len(self.inputs)} inputs, not {len(shapes)}")
        for value, shape in zip(self.inputs, shapes, strict=True):
            wanted = shape if value.shape is None else value.shape
            if len(shape) != len(wanted) or any(
                isinstance(n, int) and n != m for n, m in zip(wanted, shape, strict=True)
            ):
                raise ValueError(
                    f"input {value.name!r} has shape {_shape_text(value.shape)}, not {shape}"
                )
        return shapes


def _initializers(
    graph: onnx.GraphProto, file: ModelFile, reader: TensorReader, problems: Problems
) -> dict[str, np.ndarray]:
    constants: dict[str, np.ndarray] = {}
    for tensor, region in zip_longest(graph.initializer, file.regions):
        if tensor.name in constants:
            raise ValueError(f"onnx.load: two tensors have the name {tensor.name!r}")
        try:
            data = file.data[region.begin : region.end] if region else None
            constants[tensor.name] = reader(tensor, f"onnx.load: tensor {tensor.name!r}", data)
        except Unsupported as problem:
            problems.add(f"tensor {tensor.name!r} of {problem}")
            constants[tensor.name] = np.zeros((), np.float32)
    for sparse in graph.sparse_initializer:
        problems.add(f"tensor {sparse.values.name!r}, which is sparse")
        constants[sparse.values.name] = np.zeros((), np.float32)
    return constants


def _value(proto: onnx.ValueInfoProto, problems: Problems) -> Value:
    kind = proto.type.WhichOneof("value")
    if kind != "tensor_type":
        problems.add(f"input {proto.name!r}, which is no tensor")
    name = type_name(proto.type.tensor_type.elem_type)
    return Value(proto.name, _shape(proto), name)


def _shape(proto: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    tensor = proto.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None
        for d in tensor.shape.dim
    )


def _dtype(inputs: list[Value], problems: Problems) -> np.dtype:
    supported = [v.dtype for v in inputs if v.dtype in ("float32", "float64")]
    for value in inputs:
        if value.dtype not in supported:
            problems.add(f"input {value.name!r} of {value.dtype}")
        elif value.dtype != supported[0]:
            problems.add(f"inputs of {supported[0]} and {value.dtype}")
    return np.dtype(supported[0] if supported else np.float32)


def _shape_text(shape: Sequence[int | str | None] | None) -> str:
    if shape is None:
        return "of any shape"
    return "(" + ", ".join("?" if n is None else str(n) for n in shape) + ")"
