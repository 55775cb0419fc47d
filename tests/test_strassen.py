"""algorithm="strassen", and where a network takes it: against float64."""

import numpy as np
import onebyone as ob
import pytest
from helpers import FLOAT32, uniform
from onebyone import nn

pytestmark = pytest.mark.usefixtures("restore_precision")


def relative_rms(y, expected):
    return np.sqrt(np.mean((y - expected) ** 2) / np.mean(expected**2))


@pytest.mark.parametrize(
    ("batch", "channels", "filters", "size"),
    [(1, 2, 2, (1, 1)), (2, 64, 96, (7, 7)), (1, 1024, 256, (14, 14)), (3, 18, 71, (5, 23))],
)
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_agrees_with_float64(rng, dtype, batch, channels, filters, size, activation):
    x = uniform(rng, (batch, *size, channels), dtype)
    w = uniform(rng, (filters, channels, 1, 1), dtype)
    bias, residual = uniform(rng, (filters,), dtype), uniform(rng, (batch, *size, filters), dtype)
    options = {"residual": residual, "activation": activation, "layout": "NHWC"}
    y = ob.conv2d(x, w, bias, **options, algorithm="strassen")
    expected = ob.conv2d(
        x.astype("f8"),
        w.astype("f8"),
        bias.astype("f8"),
        **options | {"residual": residual.astype("f8")},
        algorithm="reference",
    )
    assert relative_rms(y, expected) < (1e-6 if dtype == FLOAT32 else 5e-15)


def test_stride_views_and_out(rng):
    x = uniform(rng, (2, 21, 18, 40), FLOAT32)[:, ::-1, 1:, ::2]
    w = uniform(rng, (36, 20, 1, 1), FLOAT32)
    options = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "layout": "NHWC"}
    want = ob.conv2d(x, w, **options)
    out = np.full_like(want, np.nan)
    assert ob.conv2d(x, w, **options, algorithm="strassen", out=out) is out
    np.testing.assert_allclose(out, want, atol=2e-5)


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "groups", "layout", "word"),
    [
        (5, 8, 1, 1, "NHWC", "from 5"),
        (8, 8, 3, 1, "NHWC", "3x3"),
        (8, 8, 1, 2, "NHWC", "2 groups"),
        (8, 8, 1, 1, "NCHW", "layout NCHW"),
    ],
)
def test_says_what_it_cannot_serve(channels, filters, kernel, groups, layout, word):
    shape = (1, channels, 6, 6) if layout == "NCHW" else (1, 6, 6, channels)
    x, w = np.ones(shape, "f4"), np.ones((filters, channels // groups, kernel, kernel), "f4")
    with pytest.raises(ValueError, match=r"strassen.*even numbers.*'auto' or 'direct'") as error:
        ob.conv2d(x, w, groups=groups, layout=layout, algorithm="strassen")
    assert word in str(error.value)


def test_a_single_convolution_sums_plain_products():
    w = np.ones((256, 1024, 1, 1), "f4")
    assert ob.Conv2dPlan(w, input_shape=(1, 14, 14, 1024), layout="NHWC").algorithm == "gemm"


def test_networks_take_it_where_it_is_faster_unless_exact(rng):
    ob.set_precision("fast")
    model = nn.Sequential(nn.Conv1x1(512, 256, activation="relu"), nn.Conv1x1(256, 512))
    x = uniform(rng, (1, 512, 14, 14), FLOAT32)
    net = ob.compile(model, x.shape)
    assert repr(net).count("strassen") == 2, repr(net)
    fast = net(x)
    with ob.threads(1):
        np.testing.assert_array_equal(net(x), fast)
    ob.set_precision("exact")
    exact = ob.compile(model, x.shape)
    assert "strassen" not in repr(exact)
    assert 0 < relative_rms(fast, exact(x)) < 2e-6
    np.testing.assert_array_equal(net(x), exact(x))


def test_an_infinity_stays_at_its_pixel(rng):
    ob.set_precision("fast")
    net = ob.compile(nn.Conv1x1(512, 256), (1, 512, 14, 14))
    assert "strassen" in repr(net)
    x = uniform(rng, (1, 512, 14, 14), FLOAT32)
    x[0, 100, 3, 4] = np.inf
    y = net(x)
    finite = np.isfinite(y).all(axis=1)[0]
    assert not finite[3, 4] and finite.sum() == 14 * 14 - 1


def test_two_that_gain_by_it_are_no_chain(rng):
    ob.set_precision("fast")
    wide = nn.Sequential(nn.Conv1x1(192, 384, activation="relu"), nn.Conv1x1(384, 192))
    net = ob.compile(wide, (1, 192, 40, 40))
    assert repr(net).count("strassen") == 2 and "chain" not in repr(net)
    ob.set_precision("exact")
    exact = ob.compile(wide, (1, 192, 40, 40))
    assert "chain" in repr(exact)
    x = uniform(rng, (1, 192, 40, 40), FLOAT32)
    chained = exact(x)
    ob.set_precision("fast")
    assert relative_rms(net(x), chained) < 2e-6
