"""``onebyone bench --cuda``: layers on a GPU against cuDNN through torch.

Every engine runs on torch's current stream and is timed by CUDA events around a burst of calls, the
engines in turns. Results are compared with the float64 reference before anything is timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .. import cuda
from ..plan import Conv2dPlan
from .errors import BenchError, MissingExtra
from .layers import Layer
from .problem import checked_rows, error, expected, make_arrays
from .results import geomean

__all__ = ["DTYPES", "Measured", "check_gpu", "measure", "report"]

DTYPES = {"float32": 5e-5, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 4e-2}
"""What --dtype takes, and how far a result may be off in relation to the largest output: the
rounding of 16-bit inputs and outputs, not a wrong index, which is off by the output itself."""

_WARM_UP_CALLS = 10
_BURST_SECONDS = 0.02

Engine = Callable[[], Any]


class Measured(NamedTuple):
    """One engine on one layer: seconds a call, the median of its bursts, and its error."""

    engine: str
    seconds: float
    error: float
    note: str = ""


def check_gpu() -> Any:
    """torch, if there is a GPU for it and for us. Raises BenchError with the reason."""
    if not cuda.is_available():
        raise BenchError(f"--cuda: {cuda.why_not()}")
    try:
        import torch
    except ImportError as missing:
        raise MissingExtra(
            "--cuda needs torch built for CUDA, see https://pytorch.org"
        ) from missing
    if not torch.cuda.is_available():
        raise BenchError("--cuda: this torch finds no GPU; install one that is built for CUDA")
    return torch


def measure(
    torch: Any, layer: Layer, dtype: str, rounds: int, *, device: str = "cuda"
) -> list[Measured]:
    """Our NHWC and NCHW and cuDNN's on one layer. Raises BenchError where a result is wrong."""
    want = expected(layer, 1)
    engines, found = _engines(torch, layer, dtype, device), {}
    for name, (run, note) in engines.items():
        output = run().float().cpu().numpy()[:, :, checked_rows(layer)]
        off = error(np.ascontiguousarray(output), want)
        if off > DTYPES[dtype]:
            raise BenchError(f"{layer.text}: {name} is off by {off:.2g} in {dtype}")
        found[name] = off, note
    calls = {name: _calls(torch, run) for name, (run, _) in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, (run, _) in engines.items():
            times[name].append(_burst(torch, run, calls[name]))
    return [Measured(name, statistics.median(times[name]), *found[name]) for name in engines]


def _engines(torch: Any, layer: Layer, dtype: str, device: str) -> dict[str, tuple[Engine, str]]:
    """Name -> (a call whose result is (N, K, OH, OW), what it says of itself)."""
    kind = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    arrays = make_arrays(layer)
    x, weight, bias = (
        torch.from_numpy(a).to(device, kind) for a in (arrays.x, arrays.weight, arrays.bias)
    )
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    geometry = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    before = cuda.get_allow_tf32()
    cuda.set_allow_tf32(dtype == "tf32")
    try:
        engines = {}
        for layout in ("NHWC", "NCHW"):
            image = x.permute(0, 2, 3, 1).contiguous() if layout == "NHWC" else x
            plan = Conv2dPlan(
                weight,
                bias,
                **geometry,
                padding=layer.padding,
                input_shape=tuple(image.shape),
                layout=layout,
            )
            engines[f"ours {layout}"] = _ours(plan, image, layout), repr(plan).partition(": ")[2]
    finally:
        cuda.set_allow_tf32(before)
    (top, bottom), (left, right) = layer.padding
    if top != bottom or left != right:
        return engines  # cuDNN pads evenly: a padding of its own would be timed with it
    for layout, form in (("NHWC", torch.channels_last), ("NCHW", torch.contiguous_format)):
        image, filters = (a.contiguous(memory_format=form) for a in (x, weight))
        engines[f"cuDNN {layout}"] = _cudnn(torch, image, filters, bias, (top, left), geometry), ""
    return engines


def _ours(plan: Conv2dPlan, image: Any, layout: str) -> Engine:
    out = plan(image)
    view = out.permute(0, 3, 1, 2) if layout == "NHWC" else out

    def run() -> Any:
        plan(image, out=out)
        return view

    return run


def _cudnn(torch: Any, x: Any, weight: Any, bias: Any, padding: Any, geometry: Any) -> Engine:
    def run() -> Any:
        with torch.inference_mode():
            return torch.nn.functional.conv2d(x, weight, bias, padding=padding, **geometry)

    return run


def _calls(torch: Any, run: Engine) -> int:
    """How many calls a burst has, after some to warm up."""
    for _ in range(_WARM_UP_CALLS):
        run()
    seconds = _burst(torch, run, _WARM_UP_CALLS)
    return max(1, min(1000, round(_BURST_SECONDS / max(seconds, 1e-9))))


def _burst(torch: Any, run: Engine, calls: int) -> float:
    """Seconds a call on the GPU's clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / calls


def report(layers: Iterable[tuple[Layer, list[Measured]]], dtype: str) -> str:
    """The table of a run: microseconds, and cuDNN's best time through our best."""
    lines, ratios = [f"{dtype}, microseconds a call"], []
    for layer, measured in layers:
        cells = " ".join(f"{m.engine} {m.seconds * 1e6:.1f}" for m in measured)
        ours = min(m.seconds for m in measured if m.engine.startswith("ours"))
        theirs = [m.seconds for m in measured if m.engine.startswith("cuDNN")]
        line = f"{layer.text:<36} {cells}  {2e-12 * layer.macs / ours:.2f} TFLOP/s"
        if theirs:
            ratios.append(min(theirs) / ours)
            line += f"  ratio {ratios[-1]:.2f}"
        lines.append(line)
    if ratios:
        lines.append(f"geometric mean of the ratios: {geomean(ratios):.2f} (above 1 we are faster)")
    return "\n".join(lines)
