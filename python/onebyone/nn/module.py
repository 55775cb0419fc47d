"""Module: named parameters, buffers and submodules, and what can be asked of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..weights import StrPath, save_weights
from .arrays import as_numpy, float_dtype, frozen
from .state import load_state
from .summary import summary

if TYPE_CHECKING:
    from .._core import Array, Graph

__all__ = ["Module", "Parameter"]

Shape: TypeAlias = tuple[int, ...]
Visit: TypeAlias = "Callable[[str, Module, Shape], Shape]"


class Parameter:
    """Marks an array as a parameter of the module it is assigned to: ``self.scale = Parameter(a)``.

    Reading the attribute afterwards gives a read-only copy of ``data``.
    """

    __slots__ = ("data",)

    def __init__(self, data: Array) -> None:
        self.data = data


class Module:
    """Base of all layers.

    Assigning a :class:`Parameter` or a Module to an attribute registers it, in order. Parameters
    and buffers read as read-only arrays; assigning an array of the same shape and dtype replaces
    one, and anything else raises ValueError or TypeError and changes nothing. Buffers are state
    that is not trained, such as running statistics.

    A layer implements :meth:`forward`, :meth:`output_shape` and, if it multiplies,
    :meth:`multiply_adds`; :meth:`lower`, so that it can be compiled; one that keeps anything
    derived from its parameters also :meth:`parameters_changed`. A module made of other modules
    extends :class:`onebyone.nn.Container`.
    """

    ignored_state: tuple[str, ...] = ()
    """Names that a state dict may hold for this module although the module has no use for them."""

    optional_state: tuple[str, ...] = ()
    """Names of this module that a state dict may lack; what the module holds then stays."""

    def __init__(self) -> None:
        for store in ("_parameters", "_buffers", "_modules"):
            self.__dict__[store] = {}

    def __call__(self, x: Array, layout: str = "NCHW") -> Array:
        """Run the module on ``x``, images in ``layout`` "NCHW" or "NHWC"; return its output."""
        return self.forward(x, layout)

    def forward(self, x: Array, layout: str) -> Array:
        """Compute the output for ``x``."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, layout)")

    def output_shape(self, input_shape: Shape, layout: str = "NCHW") -> Shape:
        """Return the shape of the output for an input of ``input_shape``, without computing it.

        Raises ValueError that names the layer if it cannot take such an input.
        """
        raise NotImplementedError(f"{type(self).__name__} has no output_shape(input_shape, layout)")

    def multiply_adds(self, input_shape: Shape, layout: str = "NCHW") -> int:
        """Return how many multiply-adds an input of ``input_shape`` takes by the direct method."""
        return 0

    def lower(self, graph: Graph, x: int, name: str, layout: str) -> int:
        """Emit the module's operations into ``graph``; return the id of their result.

        ``x`` is the id of the input. Images in a graph are (N, C, H, W); ``layout`` is that of the
        arrays which :meth:`forward` would be given, for layers whose axes count in it. ``name`` is
        the module's dotted path.

        Raises TypeError if the module cannot be compiled.
        """
        raise TypeError(
            f"{name or 'the model'} ({type(self).__name__}) cannot be compiled: it has no "
            "lower(graph, x, name, layout). Define one that emits its operations and returns the "
            'id of the last, such as `return graph.activation(x, "relu", name=name)`; a module '
            "made of other layers can extend onebyone.nn.Container and define connect(x, run)"
        )

    def parameters_changed(self) -> None:
        """Drop what was derived from the parameters; called after any of them was replaced."""

    def register_parameter(self, name: str, value: Array | None) -> None:
        """Add a parameter; None reserves a name that has no array, such as an absent bias."""
        self._register(self._parameters, name, value)

    def register_buffer(self, name: str, value: Array | None) -> None:
        """Add a buffer: part of ``state_dict()``, counted as non-trainable."""
        self._register(self._buffers, name, value)

    def register_module(self, name: str, module: Module) -> None:
        """Add a submodule, or replace the one of that name."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.{name}: expects a Module, got {module!r}")
        self._check_name(self._modules, name)
        self._modules[name] = module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this one, named ``prefix``, and all below, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the direct submodules."""
        return iter(self._modules.items())

    def named_parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (dotted name, read-only array) for all parameters, each once."""
        return _named_arrays(self.named_modules(), "_parameters")

    def parameters(self) -> Iterator[np.ndarray]:
        """Yield all parameters as read-only arrays, each once."""
        return (array for _, array in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (dotted name, read-only array) for all buffers, each once."""
        return _named_arrays(self.named_modules(), "_buffers")

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all parameters and buffers by dotted name, as torch names them.

        The arrays are read-only snapshots: later assignments to the module do not change them.
        """
        return dict(_named_arrays(self._walk(""), "_parameters", "_buffers"))

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Replace all parameters and buffers by ``state``: NumPy arrays or torch tensors by name.

        Floating-point arrays of another precision are converted. Everything is checked before
        anything is changed. Names in a module's ``ignored_state`` may be there, those in its
        ``optional_state`` may be missing.

        Raises ValueError that lists missing names, unexpected names and wrong shapes; TypeError for
        an entry that is no array of numbers of the right kind.
        """
        load_state(dict(self._walk("")), state)

    def save(self, path: StrPath) -> None:
        """Write ``state_dict()`` to a .npz or .safetensors file, read by ``onebyone.load_weights``.

        The file appears complete or not at all. Raises ImportError if .safetensors is asked for and
        the extra ``onebyone[safetensors]`` is not installed, ValueError for another suffix, OSError
        if the file cannot be written.
        """
        save_weights(path, self.state_dict())

    def astype(self, dtype: str | np.dtype | type) -> Module:
        """Convert floating-point parameters and buffers to float32 or float64; return self."""
        dtype = float_dtype(dtype, f"{type(self).__name__}.astype")
        for module in self.modules():
            for store in (module._parameters, module._buffers):
                for name, array in store.items():
                    if array is not None and array.dtype.kind == "f" and array.dtype != dtype:
                        store[name] = frozen(array.astype(dtype))
            module.parameters_changed()
        return self

    def summary(self, input_shape: Iterable[int | None], layout: str = "NCHW") -> str:
        """Return a table of the layers: output shapes, parameters, multiply-adds, and their totals.

        ``input_shape`` is one image, (C, H, W) or (H, W, C) by ``layout``, or has the batch size,
        or None for any, before it; (features,) and (batch, features) serve networks of linear
        layers. Multiply-adds count the direct method: per image, or for the batch if its size is
        given. Nothing is run. Raises ValueError that names the layer that cannot take its input.
        """
        return summary(self, input_shape, layout)

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of ``repr``."""
        return ""

    def __repr__(self) -> str:
        head, lines = f"{type(self).__name__}({self.extra_repr()}", []
        for name, module in self._modules.items():
            lines.append(f"  ({name}): " + repr(module).replace("\n", "\n  "))
        return head + ("\n" + "\n".join(lines) + "\n)" if lines else ")")

    def __getattr__(self, name: str) -> Any:
        for store in ("_parameters", "_buffers", "_modules"):
            values = self.__dict__.get(store, {})
            if name in values:
                return values[name]
        if "_modules" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__}: call super().__init__() first")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value.data)
        elif isinstance(value, Module) or name in self._modules:
            self.register_module(name, value)
        elif name in self._parameters:
            self._replace(self._parameters, name, value)
        elif name in self._buffers:
            self._replace(self._buffers, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copying and unpickling give writable arrays.
        self.__dict__.update(state)
        for store in (self._parameters, self._buffers):
            store.update({k: frozen(v) for k, v in store.items() if v is not None})

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, module in self._modules.items():
            yield from module._walk(f"{prefix}.{name}" if prefix else name)

    def _check_name(self, store: Mapping[str, Any], name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{type(self).__name__}: {name!r} is no name without dots")
        if name not in store and hasattr(self, name):
            raise ValueError(f"{type(self).__name__}: attribute {name!r} exists already")

    def _register(self, store: dict[str, Any], name: str, value: Array | None) -> None:
        self._check_name(store, name)
        if value is not None:
            value = frozen(as_numpy(value, f"{type(self).__name__}.{name}"))
        store[name] = value
        self.parameters_changed()

    def _replace(self, store: dict[str, Any], name: str, value: Array) -> None:
        where, old = f"{type(self).__name__}.{name}", store[name]
        if old is None:
            raise ValueError(f"{where}: this layer was made without one, it cannot be assigned")
        array = as_numpy(value, where)
        if array.shape != old.shape:
            raise ValueError(f"{where}: expects shape {old.shape}, got {array.shape}")
        if array.dtype != old.dtype:
            raise TypeError(
                f"{where}: expects {old.dtype}, got {array.dtype}; "
                f'convert it with .astype("{old.dtype}")'
            )
        store[name] = frozen(array)
        self.parameters_changed()


def _named_arrays(
    modules: Iterable[tuple[str, Module]], *stores: str
) -> Iterator[tuple[str, np.ndarray]]:
    for prefix, module in modules:
        for store in stores:
            for name, array in getattr(module, store).items():
                if array is not None:
                    yield (f"{prefix}.{name}" if prefix else name), array
