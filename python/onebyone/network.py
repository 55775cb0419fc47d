"""compile: a model prepared for inputs of one shape after another, run by the core as one call."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _core, nn, onnx
from .profile import table

if TYPE_CHECKING:
    from ._core import Array

__all__ = ["Network", "compile"]

Shape: TypeAlias = tuple[int, ...]

_KEPT = 8
"""Networks, one for each combination of input shapes, that stay compiled: the last used."""


def compile(
    model: nn.Module | onnx.Graph,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    *,
    layout: str = "NCHW",
    num_threads: int | None = None,
) -> Network:
    """Prepare a whole network: one call of the core runs it, with everything fused that can be.

    Parameters
    ----------
    model
        A :class:`onebyone.nn.Module`, or what :func:`onebyone.onnx.load` returned.
    input_shape
        The input's shape in ``layout``, with the batch; a sequence of shapes for several inputs.
        The images of a batch are run one by one, each on a thread of its own, where the model
        treats them independently.
    layout
        "NCHW" or "NHWC": of inputs and outputs with four dimensions.
    num_threads
        Upper bound on the threads of each call; None follows ``set_num_threads`` and ``threads``.

    Returns
    -------
    Network
        ``net(x)`` runs it. Weights are taken as they are now; an input of another shape compiles
        the model again, with its weights as they are then.

    Raises
    ------
    TypeError, ValueError
        An argument, or the layer or node that cannot take such an input, is named.

    Examples
    --------
    >>> import numpy as np, onebyone as ob
    >>> model = ob.nn.Sequential(ob.nn.Conv2d(3, 8, 3), ob.nn.ReLU())
    >>> net = ob.compile(model, (1, 3, 32, 32))
    >>> net(np.ones((1, 3, 32, 32), np.float32)).shape
    (1, 8, 30, 30)
    """
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f'compile: layout must be "NCHW" or "NHWC", not {layout!r}')
    if not isinstance(model, (nn.Module, onnx.Graph)):
        raise TypeError(
            "compile: model must be an onebyone.nn.Module or what onebyone.onnx.load returned, "
            f"not {type(model).__name__}"
        )
    return Network(model, _shapes(input_shape), layout, num_threads)


class Network:
    """A compiled network; see :func:`compile`. Calls from several threads at once are safe.

    Calling: ``net(x)``, or ``net(a, b)`` for several inputs. Returns the output, or a tuple of
    them, as arrays of the library that the input came from. Inputs of other shapes than before
    compile the model anew; the networks of the last 8 combinations of shapes are kept.

    Attributes
    ----------
    input_shapes : tuple of tuple of int
        What the network was compiled for first.
    layout : str
        "NCHW" or "NHWC".
    memory
        Bytes of weights, activations and workspace, for ``input_shapes``.
    """

    def __init__(
        self,
        model: nn.Module | onnx.Graph,
        input_shapes: tuple[Shape, ...],
        layout: str,
        num_threads: int | None,
    ) -> None:
        self._model, self._num_threads = model, num_threads
        self.input_shapes, self.layout = input_shapes, layout
        self._compiled: OrderedDict[Any, _core._Network] = OrderedDict()
        self._lock, self._compiling = threading.Lock(), threading.Lock()
        self._first = self._for(input_shapes)

    def __call__(self, *inputs: Array) -> Array | tuple[Array, ...]:
        """Run the network."""
        return self._for(self._shapes_of(inputs))(*inputs)

    def profile(self, *inputs: Array) -> str:
        """Run the network, timing each operation; return a table of time, share, rate, algorithm.

        GFLOP/s count the direct method, so that algorithms compare. The images of a batch that
        are run one by one are timed one after another, on all threads, and their times summed.
        """
        return table(self._for(self._shapes_of(inputs)).profile(*inputs))

    @property
    def memory(self) -> Any:
        return self._first.memory

    def __repr__(self) -> str:
        return repr(self._first)

    def _shapes_of(self, inputs: tuple[Array, ...]) -> tuple[Shape, ...]:
        """Return the inputs' shapes; the first ones for what has none, which the core judges."""
        try:
            return tuple([tuple(x.shape) for x in inputs])
        except AttributeError:
            return self.input_shapes

    def _for(self, shapes: tuple[Shape, ...]) -> _core._Network:
        if (network := self._kept(shapes)) is None:
            # One at a time; calls of shapes that are compiled already do not wait.
            with self._compiling:
                if (network := self._kept(shapes)) is None:
                    network = self._compile(shapes)
                    with self._lock:
                        self._compiled[self._key(shapes)] = network
                        while len(self._compiled) > _KEPT:
                            self._compiled.popitem(last=False)
        return network

    def _kept(self, shapes: tuple[Shape, ...]) -> _core._Network | None:
        with self._lock:
            network = self._compiled.get(key := self._key(shapes))
            if network is not None:
                self._compiled.move_to_end(key)
            return network

    def _key(self, shapes: tuple[Shape, ...]) -> Any:
        return shapes, _core.get_precision()

    def _compile(self, shapes: tuple[Shape, ...]) -> _core._Network:
        first = [_channels_first(shape, self.layout) for shape in shapes]
        if not isinstance(self._model, nn.Module):
            graph = _core.Graph(self._model.dtype)
            self._model.lower(graph, first, self.layout)
            network = graph.compile(self._num_threads)
            self._model.forget()
            return network
        if len(first) != 1:
            raise ValueError(f"compile: a Module has one input, not {len(first)}")
        dtype = next((str(array.dtype) for array in self._model.parameters()), "float32")
        graph = _core.Graph(dtype)
        x = graph.input("x", first[0], self.layout)
        graph.output("y", self._model.lower(graph, x, "", self.layout), self.layout)
        return graph.compile(self._num_threads)


def _shapes(input_shape: Any) -> tuple[Shape, ...]:
    """Return one shape or several as a tuple of shapes."""
    try:
        sizes = tuple(input_shape)
        several = bool(sizes) and all(isinstance(size, Iterable) for size in sizes)
        shapes = sizes if several else (sizes,)
        shapes = tuple(tuple(operator.index(size) for size in shape) for shape in shapes)
    except TypeError:
        raise TypeError(
            "compile: input_shape must be a tuple of integers, or a tuple of such tuples, "
            f"not {input_shape!r}"
        ) from None
    if any(size < 0 for shape in shapes for size in shape):
        raise ValueError(f"compile: input_shape must not be negative, got {input_shape!r}")
    return shapes


def _channels_first(shape: Shape, layout: str) -> Shape:
    if layout == "NHWC" and len(shape) == 4:
        return (shape[0], shape[3], shape[1], shape[2])
    return shape
