"""Run by test_isa.py under each ONEBYONE_ISA: a compact grid against the plain loops in float64.

Prints one line of JSON: the active ISA, the ISAs that the plans name, the number of cases, and
the first failures.
"""

import itertools
import json

import numpy as np
import onebyone as ob


def cases():
    """(channels, filters, size, kernel, geometry), around every tile of every ISA."""
    edges = [1, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49]
    for i, (c, k) in enumerate(itertools.product(edges, edges)):
        yield c, k, (1 + i % 7, 1 + i % 13), (1, 1), {}
    for n in range(1, 50):  # every remainder of a tile of pixels
        yield 5, 17, (1, n), (1, 1), {}
    for stride, padding in itertools.product([1, 2, (2, 3)], [0, 1, ((0, 2), (1, 0)), "same"]):
        yield 17, 9, (7, 10), (1, 1), {"stride": stride, "padding": padding}
        yield 3, 17, (9, 8), (3, 3), {"stride": stride, "padding": padding}
        yield 7, 33, (8, 9), (5, 2), {"stride": stride, "padding": padding, "dilation": (1, 2)}
    for groups, c, k in [(2, 1, 1), (3, 4, 5), (17, 1, 1), (33, 1, 2), (2, 17, 16)]:
        yield groups * c, groups * k, (7, 6), (1, 1), {"groups": groups}
        yield groups * c, groups * k, (7, 6), (3, 3), {"groups": groups, "padding": 1}
        yield groups * c, groups * k, (7, 6), (3, 3), {"groups": groups, "stride": 2}
    for c in [257, 513, 2049]:
        yield c, 19, (5, 4), (1, 1), {}
    yield 512, 17, (4, 5), (3, 3), {"padding": 1}


EPILOGUES = [
    None,
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


def check(case, dtype, layout, algorithm, activation, residual, rng):
    channels, filters, size, kernel, geometry = case
    shape = (2, channels, *size) if layout == "NCHW" else (2, *size, channels)
    per_group = channels // geometry.get("groups", 1)
    x = rng.uniform(-1, 1, shape).astype(dtype)
    w = rng.uniform(-1, 1, (filters, per_group, *kernel)).astype(dtype)
    b = rng.uniform(-1, 1, filters).astype(dtype)
    kwargs = {**geometry, "layout": layout, "activation": activation}
    r = None
    if residual:
        plan = ob.Conv2dPlan(w, b, **geometry, input_shape=shape, layout=layout)
        r = rng.uniform(-1, 1, plan.output_shape).astype(dtype)
    double = [None if a is None else a.astype(np.float64) for a in (x, w, b, r)]
    want = ob.conv2d(*double[:3], residual=double[3], algorithm="reference", **kwargs)
    y = ob.conv2d(x, w, b, residual=r, algorithm=algorithm, **kwargs)
    k = per_group * kernel[0] * kernel[1] + 1 + residual
    bound = 2 * (k + 1) * np.finfo(dtype).eps
    bound = bound if activation is None else 1.5 * bound + 16 * np.finfo(dtype).eps
    error = np.abs(y - want).max()
    return None if y.dtype == dtype and error <= bound else f"off by {error:.3g} > {bound:.3g}"


def main():
    rng = np.random.default_rng(5)
    epilogues = itertools.cycle(itertools.product(EPILOGUES, [False, True, False]))
    count, failures, isas = 0, [], set()
    for case, dtype, layout in itertools.product(
        list(cases()), [np.float32, np.float64], ["NCHW", "NHWC"]
    ):
        algorithms = ["auto", "direct", "gemm"] if case[3] == (1, 1) else ["auto", "direct"]
        for algorithm in algorithms:
            activation, residual = next(epilogues) if count % 2 else (None, False)
            problem = check(case, dtype, layout, algorithm, activation, residual, rng)
            count += 1
            if problem:
                name = np.dtype(dtype).name
                failures.append(
                    f"{case} {name} {layout} {algorithm} {activation} {residual}: {problem}"
                )
    for dtype in [np.float32, np.float64]:
        w = np.ones((4, 3, 3, 3), dtype)
        isas.add(ob.Conv2dPlan(w, input_shape=(1, 3, 9, 9)).isa)
    print(
        json.dumps(
            {
                "isa": ob.isa(),
                "plan_isas": sorted(isas),
                "cases": count,
                "failed": len(failures),
                "failures": failures[:12],
            }
        )
    )


if __name__ == "__main__":
    main()
