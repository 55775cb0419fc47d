"""The operations between convolutions against torch and onnxruntime."""

import numpy as np
import onebyone as ob
import pytest
import torch
import torch.nn.functional as F
from helpers import FLOAT32, eps, from_layout, mismatch, to_layout, uniform, views

ERRORS = (TypeError, ValueError)


def double(a):
    return None if a is None else torch.from_numpy(np.array(a, order="C")).double()


RESIZES = [
    {"mode": "nearest"},
    {"mode": "nearest-exact"},
    {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": True},
    {"mode": "bicubic", "align_corners": False},
    {"mode": "bicubic", "align_corners": True},
]


@pytest.mark.parametrize("options", RESIZES, ids=str)
@pytest.mark.parametrize(
    "where",
    [
        {"scale_factor": 2},
        {"scale_factor": 3.0},
        {"scale_factor": (0.5, 1.5)},
        {"size": (7, 20)},
        {"size": 1},
        {"size": (4, 11)},
    ],
    ids=str,
)
def test_interpolate(options, where, rng, dtype, layout):
    for c, size in [(1, (4, 11)), (3, (5, 8)), (40, (6, 7)), (16, (2, 33))]:
        x = uniform(rng, (2, c, *size), dtype)
        want = F.interpolate(double(x), **where, **options).numpy()
        y = ob.interpolate(to_layout(x, layout), **where, **options, layout=layout)
        # Coordinates of up to 66 are rounded to the dtype before they weigh.
        bound = 0 if options["mode"].startswith("nearest") else 1000 * eps(dtype)
        problem = mismatch(from_layout(y, layout), want, bound, dtype)
        assert not problem, (c, size, problem)


def test_interpolate_views(rng, layout):
    x = to_layout(uniform(rng, (2, 5, 4, 6), FLOAT32), layout)
    for options in RESIZES:
        want = ob.interpolate(x, (9, 8), **options, layout=layout)
        for name, view in views(x):
            y = ob.interpolate(view, (9, 8), **options, layout=layout)
            np.testing.assert_allclose(y, want, rtol=0, atol=1e-5, err_msg=name)
            y = ob.interpolate(view[1], (9, 8), **options, layout=layout)
            np.testing.assert_allclose(y, want[1], rtol=0, atol=1e-5, err_msg=name)
        with ob.threads(3):
            y = ob.interpolate(x, (9, 8), **options, layout=layout)
        np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("x", "4 dimensions"), {"x": np.ones((4, 5), np.float32)}),
        (("x", "no pixels"), {"x": np.ones((1, 2, 0, 5), np.float32)}),
        (("size", "scale_factor"), {"size": None}),
        (("size", "scale_factor", "not both"), {"scale_factor": 2}),
        (("size", "at least 1"), {"size": 0}),
        (("size",), {"size": 1.5}),
        (("scale_factor",), {"size": None, "scale_factor": -1}),
        (("scale_factor",), {"size": None, "scale_factor": "2"}),
        (("scale_factor",), {"size": None, "scale_factor": (1, 2, 3)}),
        (("scale_factor", "at least 1"), {"size": None, "scale_factor": 0.1}),
        (("mode",), {"mode": "area"}),
        (("mode",), {"mode": None}),
        (("align_corners",), {"align_corners": True}),
        (("align_corners",), {"mode": "bilinear", "align_corners": "yes"}),
        (("layout",), {"layout": "HWC"}),
        (("out",), {"out": np.ones((1, 2, 2, 3), np.float32)}),
    ],
    ids=str,
)
def test_interpolate_errors(words, arguments):
    with pytest.raises(ERRORS) as caught:
        ob.interpolate(**{"x": np.ones((1, 2, 4, 5), np.float32), "size": 6, **arguments})
    for word in ("interpolate", *words):
        assert word in str(caught.value), str(caught.value)
