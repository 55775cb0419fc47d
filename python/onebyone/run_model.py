"""What ``onebyone summary`` and ``onebyone run`` do with a model."""

from __future__ import annotations

import difflib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import models, onnx
from .config import get_num_threads, isa
from .model_commands import ModelError
from .network import Network, compile

__all__ = ["run", "summarise"]

_CLASSES = 5
_SIDES = {"inception_v3": 299}
"""Of the images that networks of ``onebyone.models`` are made for, where not 224."""


def summarise(name: str, shapes: Sequence[tuple[int, ...]] | None) -> None:
    """Print the table of an ONNX file's operations or of an ``onebyone.models`` network's layers.

    Raises ModelError for a name that is neither, or shapes that do not fit.
    """
    if name.endswith(".onnx"):
        print(_checked(_load(name).summary, shapes))
        return
    if name not in models.__all__:
        near = difflib.get_close_matches(name, models.__all__, 1, cutoff=0.8)
        known = f"did you mean {near[0]}?" if near else f"those are {', '.join(models.__all__)}"
        raise ModelError(f"{name!r} is no .onnx file and no network of onebyone.models: {known}")
    if shapes and len(shapes) != 1:
        raise ModelError(f"{name} has one input, --shape was given {len(shapes)} times")
    side = _SIDES.get(name, 224)
    shape = shapes[0] if shapes else (3, side, side)
    print(_checked(getattr(models, name)().summary, shape))


def run(
    name: str,
    image: str | None,
    *,
    shapes: Sequence[tuple[int, ...]] | None,
    mean: Sequence[float],
    std: Sequence[float],
    num_threads: int | None,
    repeat: int,
) -> None:
    """Run an ONNX model on a photograph and print outputs, time and profile.

    Raises ModelError for a file that cannot be read or run.
    """
    graph = _load(name)
    if image is None:
        inputs = [_random(shape) for shape in _shapes(graph, shapes)]
    elif len(graph.inputs) != 1:
        raise ModelError(f"{name} has {len(graph.inputs)} inputs, an image is only one")
    else:
        inputs = [_photograph(image, graph.inputs[0], shapes, mean, std)]
    inputs = [x.astype(graph.dtype) for x in inputs]
    started = time.perf_counter()
    net = _checked(compile, graph, [x.shape for x in inputs], num_threads=num_threads)
    compiled = time.perf_counter() - started
    results = net(*inputs)
    for value, x in zip(graph.inputs, inputs, strict=True):
        print(f"Input {value.name}: {x.shape}")
    results = results if isinstance(results, tuple) else (results,)
    for value, y in zip(graph.outputs, results, strict=True):
        _print_output(value.name, y)
    _print_time(net, inputs, repeat, compiled, num_threads)
    print("\n" + net.profile(*inputs))


def _load(name: str) -> onnx.Graph:
    return _checked(onnx.load, name)


def _checked(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call what may refuse its arguments; its message becomes one line."""
    try:
        return function(*args, **options)
    except (ImportError, MemoryError, OSError, TypeError, ValueError) as error:
        raise ModelError(" ".join(str(error).split())) from error


def _shapes(graph: onnx.Graph, given: Sequence[tuple[int, ...]] | None) -> list[tuple[int, ...]]:
    """Return the shapes the user gave, or the model's own with a batch of 1."""
    if given:
        if len(given) != len(graph.inputs):
            raise ModelError(f"--shape is needed {len(graph.inputs)} times, once for each input")
        return list(given)
    result = []
    for value in graph.inputs:
        sizes = list(value.shape or (None,))
        if len(sizes) > 1 and not isinstance(sizes[0], int):
            sizes[0] = 1
        if not all(isinstance(n, int) for n in sizes):
            raise ModelError(
                f"the model leaves sizes of input {value.name!r} open: give --shape, or an --image"
            )
        result.append(tuple(sizes))
    return result


def _random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _photograph(path, value: onnx.Value, shapes, mean, std) -> np.ndarray:
    """Return the image as the model's input: (1, C, H, W), or (1, H, W, C) if the model says so.

    It is resized to the model's height and width; where those are open, it keeps its own, rounded
    to multiples of 32, which networks halve five times.
    """
    if shapes and len(shapes) != 1:
        raise ModelError("with --image, --shape is given at most once")
    shape = shapes[0] if shapes else value.shape
    if shape is None or len(shape) != 4:
        raise ModelError(f"input {value.name!r} is no batch of images: its shape is {shape}")
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels, rows, columns = (shape[3], *shape[1:3]) if last else shape[1:]
    if channels not in (1, 3):
        raise ModelError(f"input {value.name!r} has {channels} channels, an image has 1 or 3")
    if channels == 1:
        mean, std = np.mean(mean), np.mean(std)
    x = (_read_image(path, channels, rows, columns) - np.float32(mean)) / np.float32(std)
    x = np.ascontiguousarray((x if last else x.transpose(2, 0, 1))[None])
    return np.repeat(x, shape[0], 0) if isinstance(shape[0], int) else x


def _read_image(path: str, channels: int, rows: Any, columns: Any) -> np.ndarray:
    """Return (H, W, C) in 0 to 1."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ModelError('--image needs Pillow: pip install "onebyone[demo]"') from None
    try:
        with Image.open(path) as image:
            image = image.convert("RGB" if channels == 3 else "L")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ModelError(f"cannot read the image {path!r}: {error}") from error
    width = columns if isinstance(columns, int) else max(round(image.width / 32), 1) * 32
    height = rows if isinstance(rows, int) else max(round(image.height / 32), 1) * 32
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).reshape(height, width, channels) / 255


def _print_output(name: str, y: np.ndarray) -> None:
    if not y.size:
        print(f"Output {name}: {y.shape}")
        return
    print(f"Output {name}: {y.shape}, {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}")
    if y.ndim == 2 and y.shape[1] > 1:
        best = np.argsort(-y[0])[:_CLASSES]
        print("  largest of the first: " + ", ".join(f"{y[0, i]:.4g} at {i}" for i in best))


def _print_time(net: Network, inputs, repeat: int, compiled: float, num_threads) -> None:
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        net(*inputs)
        times.append(time.perf_counter() - started)
    median = statistics.median(times) * 1e3
    print(
        f"Time: {median:,.2f} ms, the median of {repeat} runs after the first; compiled in "
        f"{compiled * 1e3:,.0f} ms; {isa()}, threads {num_threads or get_num_threads()}"
    )
