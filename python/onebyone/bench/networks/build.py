"""The files of a network that is to be measured, and the output that it must have."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import models, nn
from ..errors import BenchError, MissingExtra
from . import FORMATS, Network

if TYPE_CHECKING:
    import onnx

    from .model import Model

__all__ = ["build", "check_network", "network_names"]

_LARGER = {"inception_v3": 299}
"""Height and width of the input where the paper's are not 224."""


def network_names() -> list[str]:
    """Those of ``onebyone.models``."""
    return sorted(models.__all__)


def check_network(text: str) -> None:
    """Raises BenchError unless the text is NAME or FILE.onnx, with @NxCxHxW or without."""
    name, shape = _parse(text)
    if name.endswith(".onnx"):
        if not Path(name).is_file():
            raise BenchError(f"{name} is no file")
    elif name not in models.__all__:
        raise BenchError(
            f"--networks takes .onnx files and {', '.join(network_names())}, not {name!r}"
        )
    if shape is not None and (len(shape) != 4 or min(shape) < 1):
        raise BenchError(f"{text!r}: expects sizes like @1x3x224x224 behind the name")


@contextmanager
def build(text: str, formats: Iterable[str]) -> Iterator[Network]:
    """Write a network's files, for those of ``formats`` that can hold it, into a folder of the
    moment.

    Raises BenchError if the network cannot be read or run, MissingExtra where onnx or onnxruntime,
    whose output is the reference, is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            f'networks need {error.name}; install it with: pip install "onebyone[bench-peers]"'
        ) from error
    from .model import Model, NetworkError

    with tempfile.TemporaryDirectory(prefix="onebyone-bench-") as folder:
        name, shape = _parse(text)
        try:
            proto = (
                _fixed(onnx.load(name), shape) if name.endswith(".onnx") else _named(name, shape)
            )
            model = Model.read(proto)
            sizes = model.shape(model.input)
        except (NetworkError, TypeError, ValueError, OSError) as error:
            raise BenchError(f"{text}: {error}") from error
        except Exception as error:  # of onnx and protobuf, which have no common ancestor
            raise BenchError(f"{text} is no model that onnx can read: {error}") from error
        path = Path(folder, *FORMATS["onnx"])
        onnx.save(proto, path)
        x = _pixels(sizes)
        np.save(Path(folder, "input.npy"), x)
        try:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            y = session.run(None, {model.input: x})[0]
            del session
            model.shapes |= _shapes_of(proto, model.unknown(), {model.input: x})
        except Exception as error:
            raise BenchError(f"{text}: onnxruntime does not run it: {error}") from error
        if not np.isfinite(y).all() or not np.abs(y).max() > np.finfo(np.float32).tiny:
            raise BenchError(f"{text}: for random pixels the output is not finite, or zero")
        np.save(Path(folder, "output.npy"), y)
        unwritten = {}
        if {"ncnn", "litert"} & set(formats):
            folded = Model.read(_folded(path))
            for form in formats:
                try:
                    _write(form, folded, Path(folder))
                except NetworkError as error:
                    unwritten[form] = str(error)
        yield Network(Path(text).name, folder, model.macs(), model.bytes(), unwritten)


def _shapes_of(
    proto: onnx.ModelProto, names: Sequence[str], inputs: dict[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    """The shapes that the values have in a run: onnx cannot infer what depends on the data."""
    import onnx
    import onnxruntime

    if not names:
        return {}
    watched = onnx.ModelProto()
    watched.CopyFrom(proto)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return {
        name: np.shape(value) for name, value in zip(names, session.run(None, inputs), strict=True)
    }


def _parse(text: str) -> tuple[str, list[int] | None]:
    name, at, sizes = text.rpartition("@")
    if not at:
        return text, None
    parts = sizes.split("x")
    return name, [int(p) if p.isdecimal() else 0 for p in parts]


def _pixels(shape: Sequence[int]) -> np.ndarray:
    """Normal with variance 1, the scale of images as ImageNet's networks expect them."""
    return np.random.default_rng(2).standard_normal(shape, np.float32)


def _named(name: str, shape: list[int] | None) -> onnx.ModelProto:
    import onnx

    from .record import export_onnx

    size = _LARGER.get(name, 224)
    nn.manual_seed(zlib.crc32(name.encode()))
    model = getattr(models, name)()
    _liven(model, _pixels((1, 3, size, size)))
    return onnx.load_from_string(export_onnx(model, shape or (1, 3, size, size), name))


def _liven(model: nn.Module, x: np.ndarray) -> None:
    """Give biases and batch norms, which begin as zeros and ones, values as training leaves them.

    An engine may drop an addition of zeros, and without statistics of their own the activations of
    EfficientNet grow to 1e5 and its sigmoids shrink to denormals.
    """
    rng = np.random.default_rng(1)
    state = model.state_dict()
    for name, a in state.items():
        if a.ndim == 1 and a.dtype == np.float32:
            state[name] = a + rng.uniform(-0.1, 0.1, a.shape).astype(np.float32)
    model.load_state_dict(state)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.forward = partial(_learn, norm)
    model(x)
    for norm in norms:
        del norm.forward


def _learn(norm: nn.BatchNorm2d, x: np.ndarray, layout: str) -> np.ndarray:
    """The norm's forward, after it learnt the size of what it is given.

    The variance is that about zero, and means stay small: one image's pixels differ little in deep
    layers of random weights, and taking their mean away would leave mostly rounding errors.
    """
    size = np.square(x).mean((0, 2, 3), dtype=np.float64)
    norm.running_mean = (norm.running_mean * np.sqrt(size)).astype(np.float32)
    norm.running_var = size.astype(np.float32)
    return type(norm).forward(norm, x, layout)


def _fixed(proto: onnx.ModelProto, shape: list[int] | None) -> onnx.ModelProto:
    """The model for one input shape; an unknown batch size is 1."""
    from .model import NetworkError

    constants = {t.name for t in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        dims = value.type.tensor_type.shape.dim
        given = [d.dim_value for d in dims]
        if given and given[0] < 1:
            given[0] = 1
        sizes = shape or given
        if min(sizes, default=0) < 1:
            names = ["x".join(d.dim_param or str(d.dim_value) for d in dims)]
            raise NetworkError(f"{value.name} is {names[0]}: give it sizes, FILE@1x3x224x224")
        if len(sizes) != len(given):
            raise NetworkError(f"{value.name} has {len(given)} axes, not {len(sizes)}")
        for dim, size in zip(dims, sizes, strict=True):
            dim.dim_value = size
    # What was inferred for other sizes, and names of sizes, would contradict these.
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return proto


def _folded(path: Path) -> onnx.ModelProto:
    """The model after onnxruntime computed constants and folded batch norms into convolutions."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    target = path.with_name("folded.onnx")
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    proto = onnx.load(target)
    target.unlink()
    return proto


def _write(form: str, model: Model, folder: Path) -> None:
    paths = [folder / name for name in FORMATS[form]]
    if form == "ncnn":
        from .to_ncnn import write_ncnn

        write_ncnn(model, *paths)
    elif form == "litert":
        from .to_litert import write_litert

        write_litert(model, *paths)
