"""Analysis: what every value of a graph depends on, and so what is computed when.

A value is static (it follows from the file alone, and is computed at load), known (it follows from
the shapes of the inputs, and is computed when those are given) or data (it is computed by the
network). Each node's attributes are read here, once, and everything that cannot be run is
collected.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .emission import Emission
from .errors import Unsupported
from .node import Node
from .numpy_graph import NumpyGraph
from .operators import OPERATORS
from .operators.registry import Emitter, Operator
from .patterns import Patterns

__all__ = ["Analysis", "Problems", "Step"]


class Problems:
    """What a file asks for that is not supported: collected, so that one error names it all."""

    def __init__(self) -> None:
        self._nodes: dict[str, list[str]] = {}

    def add(self, problem: str, node: str = "") -> None:
        self._nodes.setdefault(problem, []).append(node)

    def check(self) -> None:
        """Raise ValueError if there are any."""
        if not self._nodes:
            return
        lines = []
        for problem, nodes in self._nodes.items():
            named = ", ".join(repr(node) for node in nodes if node)
            lines.append(f"  {problem}" + (f": node {named}" if named else ""))
        raise ValueError("onnx.load: the model needs what is not supported:\n" + "\n".join(lines))


class Step(NamedTuple):
    """One node to run. ``known`` ones are computed with NumPy when shapes are given."""

    node: Node
    operator: Operator
    emitter: Emitter
    inputs: list[str]
    known: bool


class Analysis:
    """Walks the nodes in order. ``dtype`` is that of the network's inputs."""

    def __init__(
        self,
        inputs: Iterable[str],
        constants: dict[str, np.ndarray],
        dtype: np.dtype,
        numpy_graph: NumpyGraph,
        problems: Problems,
    ) -> None:
        self.static = constants
        self.steps: list[Step] = []
        self._data = set(inputs)
        self._known: set[str] = set()
        self._dtype, self._numpy, self._problems = dtype, numpy_graph, problems

    def run(self, nodes: Sequence[Node], outputs: Sequence[str]) -> None:
        """Fill ``steps`` and ``static``. Raises ValueError for a graph at odds with itself."""
        taken = [*self._data, *self.static, *outputs]
        nodes = _without_identities(_needed(nodes, outputs), taken)
        uses = Counter(name for node in nodes for name in node.inputs if name)
        uses.update(outputs)
        patterns = Patterns(uses, self.static)
        for node in nodes:
            for name in node.inputs:
                if name and not self.defined(name):
                    raise ValueError(f"onnx.load: {node} reads {name!r}, computed nowhere before")
            for name in node.outputs:
                if name and self.defined(name):
                    raise ValueError(f"onnx.load: {node} computes {name!r}, which exists already")
            self._visit(node, patterns)
        for name in outputs:
            if not self.defined(name):
                raise ValueError(f"onnx.load: nothing computes the output {name!r}")
            if name in self.static and self.static[name].dtype != self._dtype:
                self._problems.add(f"output {name!r} of {self.static[name].dtype}")
        self.steps = _used(self.steps, outputs)
        needed = {name for step in self.steps for name in step.inputs} | set(outputs)
        self.static = {name: a for name, a in self.static.items() if name in needed}

    def defined(self, name: str) -> bool:
        return name in self._data or name in self._known or name in self.static

    def _visit(self, node: Node, patterns: Patterns) -> None:
        operator = OPERATORS.get(node.op) if not node.domain else None
        data = [name in self._data for name in node.inputs]
        known = operator is not None and operator.folds and not any(data)
        if node.op in ("Shape", "Size") and operator:
            known = True
        node.known, node.dtype = known, self._dtype
        node.static = {i: self.static[n] for i, n in enumerate(node.inputs) if n in self.static}
        emitter = self._read(node, operator, data)
        static = known and len(node.static) == sum(map(bool, node.inputs))
        outputs = [name for name in node.outputs if name]
        if emitter is None or operator is None:
            self._data.update(outputs)
        elif static:
            self.static.update(self._fold(node, emitter))
        else:
            (self._known if known else self._data).update(outputs)
            step = Step(node, operator, emitter, node.inputs, known)
            if not known and (match := patterns.match(node)):
                source, emitter = match
                step = Step(node, OPERATORS["Identity"], emitter, [source], known)
            self.steps.append(step)

    def _read(self, node: Node, operator: Operator | None, data: list[bool]) -> Emitter | None:
        if operator is None:
            where = f" of {node.domain}" if node.domain else ""
            self._problems.add(f"operator {node.op}{where}", node.name)
            return None
        try:
            emitter = operator.read(node)
            _check_inputs(node, emitter)
            self._check_operands(node, operator, data)
        except Unsupported as problem:
            self._problems.add(f"{node.op} with {problem}", node.name)
            return None
        for attribute in node.unread():
            self._problems.add(
                f"{node.op} with attribute {attribute!r} (opset {node.opset})", node.name
            )
        return emitter

    def _check_operands(self, node: Node, operator: Operator, data: list[bool]) -> None:
        if node.known:
            return
        if operator.known_only:
            raise Unsupported("inputs that depend on the network's input")
        for i, depends in enumerate(data):
            if depends and i in operator.constants:
                raise Unsupported(f"input {i} that depends on the network's input")
            array = node.static.get(i)
            if array is None or i in operator.constants | operator.either:
                continue
            if array.dtype != self._dtype:
                raise Unsupported(f"input {i} of {array.dtype} (the network is {self._dtype})")

    def _fold(self, node: Node, emitter: Emitter) -> dict[str, np.ndarray]:
        inputs = [self.static[name] if name else None for name in node.inputs]
        dtype = inputs[0].dtype if inputs and inputs[0] is not None else self._dtype
        try:
            results = emitter(Emission(self._numpy, dtype, node.name), *inputs)
        except (ArithmeticError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"onnx.load: {node}: {error}") from error
        return dict(named_results(node, results))


def named_results(node: Node, results: Any) -> Iterable[tuple[str, Any]]:
    """Pair an emitter's results with the names that the node gives them."""
    results = results if isinstance(results, tuple) else (results,)
    for i, name in enumerate(node.outputs):
        if name:
            if i >= len(results):
                raise ValueError(f"onnx.load: {node} has {len(results)} outputs, not {i + 1}")
            yield name, results[i]


def _needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if not needed.isdisjoint(name for name in node.outputs if name):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _without_identities(nodes: Sequence[Node], taken: Iterable[str]) -> list[Node]:
    """Let readers of a copy read the original: exporters put copies everywhere.

    Copies whose names are ``taken`` stay: outputs, and what is at odds with itself, to be refused.
    """
    computed = Counter(name for node in nodes for name in node.outputs)
    computed.update(taken)
    source: dict[str, str] = {}
    kept = []
    for node in nodes:
        node.inputs = [source.get(name, name) for name in node.inputs]
        copies = node.op == "Identity" and not node.domain
        if copies and len(node.inputs) == len(node.outputs) == 1 == computed[node.outputs[0]]:
            source[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    return kept


def _used(steps: Sequence[Step], outputs: Iterable[str]) -> list[Step]:
    """Drop what only a pattern had used."""
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if not needed.isdisjoint(name for name in step.node.outputs if name):
            needed.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _check_inputs(node: Node, emitter: Emitter) -> None:
    """Raise ValueError unless the node has as many inputs as the emitter takes."""
    parameters = list(inspect.signature(emitter).parameters.values())[1:]
    most = len(parameters)
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = max(len(node.inputs), 1)
            required = range(i, most)
        else:
            required = range(i, i + (parameter.default is parameter.empty))
        for position in required:
            if position >= len(node.inputs) or not node.inputs[position]:
                raise ValueError(f"onnx.load: {node} lacks input {position}")
    if any(node.inputs[most:]):
        raise ValueError(f"onnx.load: {node} has {len(node.inputs)} inputs, not at most {most}")
