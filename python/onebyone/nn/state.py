"""Loading a state dict: everything is checked and converted before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .arrays import as_numpy, frozen

if TYPE_CHECKING:
    from .._core import Array
    from .module import Module

__all__ = ["load_state"]


def load_state(modules: Mapping[str, Module], state: Mapping[str, Array]) -> None:
    """Replace parameters and buffers of ``modules`` (by dotted name) by their entries in ``state``.

    Raises as :meth:`onebyone.nn.Module.load_state_dict` documents.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict: expects a dict of arrays by name, got {type(state).__name__}; "
            "files are read with onebyone.load_weights(path)"
        )
    slots: dict[str, tuple[dict[str, np.ndarray], str]] = {}
    ignored: set[str] = set()
    optional: set[str] = set()
    for prefix, module in modules.items():
        dot = f"{prefix}." if prefix else ""
        ignored.update(dot + name for name in module.ignored_state)
        optional.update(dot + name for name in module.optional_state)
        for store in (module._parameters, module._buffers):
            slots.update({dot + k: (store, k) for k, v in store.items() if v is not None})

    problems = []
    for name in optional.difference(state):
        slots.pop(name, None)
    if missing := [name for name in slots if name not in state]:
        problems.append(f"missing: {', '.join(missing)}")
    if unexpected := [str(name) for name in state if name not in slots and name not in ignored]:
        problems.append(f"unexpected: {', '.join(unexpected)}")
    arrays = {
        name: as_numpy(state[name], f"load_state_dict: {name}") for name in slots if name in state
    }
    wrong = []
    for name, array in arrays.items():
        store, key = slots[name]
        if array.shape != store[key].shape:
            wrong.append(f"{name} expects {store[key].shape}, got {array.shape}")
    if wrong:
        problems.append(f"wrong shape: {', '.join(wrong)}")
    if problems:
        raise ValueError(f"load_state_dict: {'; '.join(problems)}")

    converted = {name: _converted(arrays[name], *slots[name], name) for name in slots}
    for name, (store, key) in slots.items():
        store[key] = converted[name]
    for module in modules.values():
        module.parameters_changed()


def _converted(
    array: np.ndarray, store: Mapping[str, np.ndarray], key: str, name: str
) -> np.ndarray:
    dtype = store[key].dtype
    if array.dtype.kind != dtype.kind:
        raise TypeError(f"load_state_dict: {name} expects {dtype}, got {array.dtype}")
    return frozen(array.astype(dtype, copy=False))
