"""Each activation against the math module in double precision, over its whole range.

Two ways lead to the same code: the epilogue of a convolution (here a 1x1 with weight 1, which
multiplies exactly) and the layers of ob.nn. Both are held to the same bounds.

The bounds, for a result y, are ULPS * eps * |y| + FLOOR * eps. The floor is zero where the formula
can be evaluated without cancellation. It is not where two numbers near 1 are subtracted:
- tanh by way of exp subtracts 1 from a number near 1, so that its error is about eps however
  small the result is (for tiny x a second test asks for relative accuracy);
- gelu is x/2 * (1 + erf(x / sqrt 2)): for negative x the sum cancels, and its error of about one
  eps is multiplied by |x|/2, where |x| < 6 before the result vanishes;
- sigmoid by way of tanh has the error of tanh; silu multiplies it by |x|, up to 17 in float32 and
  37 in float64 before exp(x) is lost beside 1;
- hardsigmoid and hardswish round x + 3 once, near -3 to a number much larger than the result.
"""

import math

import numpy as np
import onebyone as ob
import pytest
from helpers import ACTIVATIONS, FLOAT32, eps, truth
from onebyone import nn

BOUNDS = {
    # name: (ULPS, FLOOR)
    "relu": (0, 0),
    "relu6": (0, 0),
    "clip": (0, 0),
    "leaky_relu": (2, 0),
    "hardsigmoid": (4, 1),
    "hardswish": (4, 4),
    "sigmoid": (8, 1),
    "tanh": (8, 1),
    "silu": (8, 4),
    "gelu": (8, 8),
}
LAYERS = {
    "relu": lambda: nn.ReLU(),
    "relu6": lambda: nn.ReLU6(),
    "leaky_relu": lambda: nn.LeakyReLU(),
    ("leaky_relu", 0.2): lambda: nn.LeakyReLU(0.2),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
    "silu": lambda: nn.SiLU(),
    "hardswish": lambda: nn.Hardswish(),
    "hardsigmoid": lambda: nn.Hardsigmoid(),
    "gelu": lambda: nn.GELU(),
}


def epilogue(x, activation, layout="NCHW"):
    one = np.ones((1, 1, 1, 1), x.dtype)
    shape = (1, 1, 1, -1) if layout == "NCHW" else (1, 1, -1, 1)
    return ob.conv2d(x.reshape(shape), one, activation=activation, layout=layout).reshape(x.shape)


def layer(x, activation):
    return LAYERS[activation]()(x.reshape(1, -1)).reshape(x.shape)


ROUTES = [(epilogue, a) for a in ACTIVATIONS] + [(layer, a) for a in LAYERS]


@pytest.fixture(params=ROUTES, ids=lambda r: f"{r[0].__name__}-{r[1]}")
def route(request):
    return request.param


def name_of(activation):
    return activation if isinstance(activation, str) else activation[0]


def samples(dtype):
    """Dense where the functions bend, then every binary order of magnitude, both signs."""
    fine = np.linspace(-12, 12, 4001)
    coarse = np.linspace(-110, 110, 1101)
    info = np.finfo(dtype)
    powers = np.ldexp(
        1.37, np.arange(info.minexp - 5, info.maxexp - 1, 3 if info.bits == 32 else 9)
    )
    corners = [-3, 3, 6, -0.5, 0.75, 88.73, -87.34, -88.73, -103.98, 709.7, -708.4, -745.2]
    near = np.nextafter(np.array(corners, dtype), dtype.type(np.inf))
    x = np.concatenate([fine, coarse, powers, -powers, corners, near, [0.0, info.max, info.min]])
    return x.astype(dtype)


def test_accuracy(route, dtype):
    function, activation = route
    x = samples(dtype)
    y = function(x, activation)
    assert y.dtype == dtype
    want = truth(rounded_parameters(activation, dtype), x)
    ulps, floor = BOUNDS[name_of(activation)]
    tiny = float(np.finfo(dtype).tiny)  # below it a result may lose bits, or all of them
    bound = eps(dtype) * ulps * np.abs(want) + eps(dtype) * floor + (tiny if ulps else 0)
    with np.errstate(invalid="ignore"):
        error = np.abs(y.astype(np.float64) - want)
    wrong = ~(error <= bound)
    worst = int(np.argmax(np.where(wrong, np.where(np.isnan(error), np.inf, error - bound), 0)))
    assert not wrong.any(), (
        f"{wrong.sum()} of {x.size} wrong; {activation}({x[worst]!r}) is {want[worst]!r}, "
        f"got {y[worst]!r}: off by {error[worst]:.3g}, allowed {bound[worst]:.3g}"
    )


def rounded_parameters(activation, dtype):
    """The parameters as the dtype holds them: 0.2 in float32 is not 0.2."""
    if isinstance(activation, str):
        # The default slope of leaky_relu, 0.01, is rounded just so.
        if activation == "leaky_relu":
            return ("leaky_relu", float(dtype.type(0.01)))
        return activation
    return (activation[0], *(float(dtype.type(p)) for p in activation[1:]))


@pytest.mark.parametrize("activation", ["tanh", "hardswish", "silu", "gelu", "leaky_relu"])
def test_relative_accuracy_near_zero(activation, dtype):
    """Odd ones out of cancellation: near 0 these are linear in x, and tiny x keep their digits."""
    x = np.ldexp(1.37, np.arange(-60, -20, 3)).astype(dtype)
    x = np.concatenate([x, -x])
    y = epilogue(x, activation).astype(np.float64)
    want = truth(rounded_parameters(activation, dtype), x)
    assert np.all(np.abs(y - want) <= 16 * eps(dtype) * np.abs(want)), activation


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "hardsigmoid", "relu6"])
def test_bounded_functions_keep_their_bounds(activation, dtype):
    x = samples(dtype)
    y = epilogue(x, activation)
    low, high = {"tanh": (-1, 1), "relu6": (0, 6)}.get(activation, (0, 1))
    assert y.min() == low and y.max() == high
    assert (y >= low).all() and (y <= high).all()


def test_zero(route, dtype):
    function, activation = route
    x = np.array([0.0, -0.0] * 20, dtype)
    y = function(x, activation)
    want = 0.5 if name_of(activation) in ("sigmoid", "hardsigmoid") else 0.0
    assert np.all(y == want)


LIMITS = {
    # name: (at -inf, at +inf)
    "relu": (0, math.inf),
    "relu6": (0, 6),
    "leaky_relu": (-math.inf, math.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "silu": (0, math.inf),
    "hardswish": (0, math.inf),
    "hardsigmoid": (0, 1),
    "gelu": (0, math.inf),
    "clip": (-0.5, 0.75),
}


def test_infinity(route, dtype):
    """The limit; for x * g(x) at -inf, where g is 0, also the NaN of infinity times zero."""
    function, activation = route
    name = name_of(activation)
    low, high = LIMITS[name]
    y = function(np.array([-np.inf, np.inf] * 21, dtype), activation)
    assert np.all(y[1::2] == high), y[1]
    product = name in ("silu", "hardswish", "gelu")
    assert np.all((y[::2] == low) | (product & np.isnan(y[::2]))), y[0]


def test_nan_stays_and_does_not_spread(route, dtype):
    """At every position in a vector."""
    function, activation = route
    for position in range(37):
        x = np.linspace(-4, 4, 37).astype(dtype)
        clean = function(x, activation)
        x[position] = np.nan
        y = function(x, activation)
        assert np.isnan(y[position]), position
        others = np.arange(37) != position
        np.testing.assert_array_equal(y[others], clean[others])


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_value_does_not_depend_on_position_or_layout(activation, dtype):
    """The vector body and the remainder compute the same bits."""
    x = np.linspace(-5, 5, 61).astype(dtype)
    whole = epilogue(x, activation)
    np.testing.assert_array_equal(epilogue(x, activation, "NHWC"), whole)
    for n in [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33]:
        np.testing.assert_array_equal(epilogue(x[:n], activation), whole[:n], f"first {n}")
        np.testing.assert_array_equal(epilogue(x[n:], activation), whole[n:], f"from {n}")


def test_parameters(dtype):
    x = np.array([-3.0, -0.5, 0.0, 0.5, 9.0], dtype)
    assert epilogue(x, ("leaky_relu", 0.25)).tolist() == [-0.75, -0.125, 0, 0.5, 9]
    assert epilogue(x, ("leaky_relu", 0)).tolist() == [0, 0, 0, 0.5, 9]
    assert epilogue(x, ("leaky_relu", -1.0)).tolist() == [3, 0.5, 0, 0.5, 9]
    assert epilogue(x, ("leaky_relu", 2)).tolist() == [-6, -1, 0, 0.5, 9]
    assert epilogue(x, ("clip", -1, 0.25)).tolist() == [-1, -0.5, 0, 0.25, 0.25]
    assert epilogue(x, ("clip", 2.0, 2.0)).tolist() == [2] * 5
    assert epilogue(x, ("clip", -np.inf, np.inf)).tolist() == x.tolist()
    assert epilogue(x, ("clip", -np.inf, 0)).tolist() == [-3, -0.5, 0, 0, 0]


def test_gelu_is_the_exact_one():
    """Not the tanh approximation, which differs by up to 5e-4."""
    x = np.array([-2.0, 1.0], np.float32)
    np.testing.assert_allclose(epilogue(x, "gelu"), [-0.04550026, 0.84134475], rtol=1e-5)


def test_leaky_relu_slope_defaults_to_a_hundredth():
    x = np.array([-1.0], FLOAT32)
    assert epilogue(x, "leaky_relu")[0] == np.float32(-0.01)


def test_inputs_are_not_written(route, dtype):
    function, activation = route
    x = samples(dtype)[:100]
    before = x.copy()
    function(x, activation)
    np.testing.assert_array_equal(x, before)
