"""What the tests share: inputs, float64 references by torch, layouts, tolerances, subprocesses."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

# Tiny products gain nothing from threads, and two OpenMP runtimes would fight over the cores.
torch.set_num_threads(1)

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)

ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "silu",
    "hardswish",
    "hardsigmoid",
    "gelu",
    ("leaky_relu", 0.2),
    ("clip", -0.5, 0.75),
]


def eps(dtype):
    return float(np.finfo(dtype).eps)


def tolerance(k, dtype, activation=None):
    """Absolute error allowed to a sum of k products of numbers in [-1, 1].

    An activation adds its own rounding (test_activations.py bounds it), and its slope, at most 1.5
    (hardswish), stretches the error of the sum.
    """
    bound = 2 * (k + 1) * eps(dtype)
    return bound if activation is None else 1.5 * bound + 16 * eps(dtype)


def uniform(rng, shape, dtype):
    """Numbers in [-1, 1] that use the whole mantissa of their dtype."""
    return rng.uniform(-1, 1, shape).astype(dtype)


def to_layout(x, layout):
    """(…, C, H, W) to the layout asked for, contiguous."""
    return np.ascontiguousarray(np.moveaxis(x, -3, -1) if layout == "NHWC" else x)


def from_layout(y, layout):
    """The inverse of to_layout, as a view."""
    return np.moveaxis(y, -1, -3) if layout == "NHWC" else y


def pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def same_padding(size, kernel, stride, dilation):
    """(before, after) such that the output is ceil(size / stride), the odd one out at the end."""
    out = -(-size // stride)
    total = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def explicit_padding(padding, size, kernel, stride, dilation):
    """Any padding of the contract as ((top, bottom), (left, right))."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        dims = zip(size, kernel, pair(stride), pair(dilation), strict=True)
        return tuple(same_padding(*dim) for dim in dims)
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    return tuple(pair(p) for p in padding)


def output_size(size, kernel, stride, padding, dilation):
    """(OH, OW), or None where the kernel does not fit into the padded image."""
    pads = explicit_padding(padding, size, kernel, stride, dilation)
    result = []
    for n, k, s, p, d in zip(size, kernel, pair(stride), pads, pair(dilation), strict=True):
        span = d * (k - 1) + 1
        if n + sum(p) < span:
            return None
        result.append((n + sum(p) - span) // s + 1)
    return tuple(result)


def activate_torch(y, activation):
    name, *args = activation if isinstance(activation, tuple) else (activation,)
    if name is None:
        return y
    if name == "clip":
        return torch.clamp(y, *args)
    return getattr(F, name)(y, *args) if hasattr(F, name) else getattr(torch, name)(y)


def conv2d_torch(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    activation=None,
    residual=None,
    dtype=torch.float64,
):
    """torch's convolution of NCHW arrays, computed in `dtype`, as a NumPy array (NCHW)."""

    def tensor(a):
        return None if a is None else torch.from_numpy(np.array(a, order="C")).to(dtype)

    stride, dilation = pair(stride), pair(dilation)
    (top, bottom), (left, right) = explicit_padding(
        padding, x.shape[-2:], weight.shape[-2:], stride, dilation
    )
    padded = F.pad(tensor(x), (left, right, top, bottom))
    with torch.no_grad():
        y = F.conv2d(padded, tensor(weight), tensor(bias), stride, 0, dilation, groups)
        if residual is not None:
            y = y + tensor(residual)
        return activate_torch(y, activation).numpy()


@dataclass(frozen=True)
class Case:
    """One convolution, printable and hashable. `channels` and `filters` are C and K."""

    channels: int
    filters: int
    size: tuple
    kernel: tuple = (1, 1)
    stride: object = 1
    padding: object = 0
    dilation: object = 1
    groups: int = 1
    batch: int = 1
    bias: bool = True
    residual: bool = False
    activation: object = None

    @property
    def k(self):
        """The length of the sum, with bias and residual."""
        taps = self.channels // self.groups * self.kernel[0] * self.kernel[1]
        return taps + self.bias + self.residual

    @property
    def output_size(self):
        return output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)

    @property
    def geometry(self):
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def arrays(self, dtype):
        """x, weight, bias, residual (NCHW); the same for the same case."""
        seed = hash((self.channels, self.filters, self.size, self.kernel, self.groups, self.batch))
        rng = np.random.default_rng(seed % 2**32)
        x = uniform(rng, (self.batch, self.channels, *self.size), dtype)
        w = uniform(rng, (self.filters, self.channels // self.groups, *self.kernel), dtype)
        b = uniform(rng, self.filters, dtype) if self.bias else None
        shape = (self.batch, self.filters, *self.output_size)
        r = uniform(rng, shape, dtype) if self.residual else None
        return x, w, b, r

    def tolerance(self, dtype):
        return tolerance(self.k, dtype, self.activation)


@lru_cache(maxsize=20000)
def case_data(case, dtype):
    """(x, weight, bias, residual, float64 result of torch); shared, so read-only."""
    x, w, b, r = case.arrays(dtype)
    y = conv2d_torch(x, w, b, **case.geometry, activation=case.activation, residual=r)
    for a in (x, w, b, r, y):
        if a is not None:
            a.flags.writeable = False
    return x, w, b, r, y


GPU_EPS = {torch.float32: 2.0**-23, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


def case_tensors(case, layout, dtype):
    """x, weight, bias, residual as CPU tensors, and the float64 result of their values."""
    x, w, b, r = (
        None if a is None else torch.from_numpy(a.copy()).to(dtype)
        for a in case_data(case, np.dtype(np.float32))[:4]
    )
    values = [None if a is None else a.double().numpy() for a in (x, w, b, r)]
    want = conv2d_torch(
        *values[:3], **case.geometry, activation=case.activation, residual=values[3]
    )

    def placed(a):
        return a if a is None or layout == "NCHW" else a.permute(0, 2, 3, 1).contiguous()

    return placed(x), w, b, placed(r), to_layout(want, layout)


def check_tensor(y, want, dtype, k, product_eps=GPU_EPS[torch.float32]):
    """A CPU tensor of `dtype` against float64: sums of k products with float32's rounding."""
    assert y.dtype == dtype and tuple(y.shape) == want.shape
    bound = GPU_EPS[dtype] * np.abs(want) + 2 * (k + 1) * product_eps + 1e-6
    error = np.abs(y.double().numpy() - want)
    assert (error <= bound).all(), error.max()


def call_case(function, case, dtype, layout, **kwargs):
    """`function` (ob.conv2d) on the arrays of the case in `layout`; the result as NCHW."""
    x, w, b, r, _ = case_data(case, dtype)
    y = function(
        to_layout(x, layout),
        w,
        b,
        **case.geometry,
        activation=case.activation,
        residual=None if r is None else to_layout(r, layout),
        layout=layout,
        **kwargs,
    )
    return from_layout(y, layout)


def mismatch(got, want, bound, dtype):
    """None, or a sentence saying how far `got` is from the float64 array `want`."""
    if not isinstance(got, np.ndarray) or got.dtype != dtype:
        return f"is {type(got).__name__} of {getattr(got, 'dtype', None)}, not {dtype}"
    if got.shape != want.shape:
        return f"has shape {got.shape}, not {want.shape}"
    if got.size == 0:
        return None
    error = np.abs(got.astype(np.float64) - want)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    if error[worst] <= bound:
        return None
    wrong = int(np.sum(~(error <= bound)))
    return (
        f"off by {error[worst]:.3g} (allowed {bound:.3g}) at {tuple(map(int, worst))}, "
        f"{wrong} of {error.size} outputs wrong"
    )


def check_cases(function, cases, dtype, layout, **kwargs):
    """Run all cases; fail once, naming the first dozen that went wrong."""
    assert cases
    failures = []
    for case in cases:
        try:
            y = call_case(function, case, dtype, layout, **kwargs)
        except Exception as error:
            failures.append(f"{case}: {type(error).__name__}: {error}")
            continue
        problem = mismatch(y, case_data(case, dtype)[-1], case.tolerance(dtype), dtype)
        if problem:
            failures.append(f"{case}: {problem}")
    assert not failures, f"{len(failures)} of {len(cases)} cases failed:\n" + "\n".join(
        failures[:12]
    )


def views(a):
    """(name, array) pairs: the values of `a` behind every kind of strides and flags.

    Where the view skips memory, what lies between is NaN, so that a read past it shows.
    """
    yield "contiguous", a.copy()
    yield "fortran", np.asfortranarray(a)
    steps = tuple(slice(1, None, 2) for _ in a.shape)
    sparse = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
    sparse[steps] = a
    yield "every other", sparse[steps]
    margin = tuple(slice(2, -3) for _ in a.shape)
    framed = np.full([n + 5 for n in a.shape], np.nan, a.dtype)
    framed[margin] = a
    yield "window", framed[margin]
    flip = tuple(slice(None, None, -1) for _ in a.shape)
    yield "reversed", a[flip].copy()[flip]
    if a.ndim:
        yield "last axis reversed", a[..., ::-1].copy()[..., ::-1]
        yield "first axis reversed", a[::-1].copy()[::-1]
        yield "last axis first", np.moveaxis(np.moveaxis(a, -1, 0).copy(), 0, -1)
    raw = np.full(a.nbytes + 65, 255, np.uint8)
    unaligned = raw[1 : 1 + a.nbytes].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    yield "unaligned", unaligned
    frozen = a.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def run_python(code_or_path, *args, timeout=120, **environment):
    """Run a snippet or a file with this interpreter; variables set to None are removed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ONEBYONE_")}
    for name, value in environment.items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    program = [str(code_or_path)] if os.path.exists(code_or_path) else ["-c", code_or_path]
    return subprocess.run(
        [sys.executable, *program, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
    )


def truth(activation, x):
    """The activation in float64 by the math module, free of the cancellation of naive formulas."""
    name, *args = activation if isinstance(activation, tuple) else (activation,)

    def sigmoid(v):
        return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))

    def hardsigmoid(v):
        return min(max(v + 3, 0.0), 6.0) / 6

    slope = args[0] if name == "leaky_relu" and args else 0.01
    functions = {
        "relu": lambda v: max(v, 0.0),
        "relu6": lambda v: min(max(v, 0.0), 6.0),
        "leaky_relu": lambda v: v if v >= 0 else slope * v,
        "sigmoid": sigmoid,
        "tanh": math.tanh,
        "silu": lambda v: v * sigmoid(v),
        "hardswish": lambda v: v * hardsigmoid(v),
        "hardsigmoid": hardsigmoid,
        "gelu": lambda v: 0.5 * v * math.erfc(-v / math.sqrt(2)),
        "clip": lambda v: min(max(v, args[0]), args[1]),
    }
    flat = [functions[name](float(v)) for v in np.ravel(x)]
    return np.array(flat, np.float64).reshape(np.shape(x))
