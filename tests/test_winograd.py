"""algorithm="winograd", and when auto takes it: against torch in double precision."""

import numpy as np
import onebyone as ob
import pytest
from helpers import Case, call_case, case_data, conv2d_torch, mismatch, to_layout, uniform

KERNELS = [
    (3, 3),
    (2, 2),
    (5, 5),
    (7, 7),
    (1, 3),
    (3, 1),
    (1, 7),
    (7, 1),
    (2, 3),
    (1, 2),
    (5, 1),
    (4, 4),
]
PADDINGS = [0, 1, 3, ((0, 2), (1, 0)), "same", "valid"]


def cases():
    channels = [(1, 1), (3, 8), (7, 5), (8, 16), (17, 33), (40, 70)]
    sizes = [(7, 7), (8, 9), (14, 13), (5, 23), (12, 4), (30, 17)]
    for i, kernel in enumerate(KERNELS):
        for j, padding in enumerate(PADDINGS):
            c, k = channels[(i + j) % len(channels)]
            size = sizes[(i + 2 * j) % len(sizes)]
            if padding in (0, "valid"):
                size = (max(size[0], kernel[0]), max(size[1], kernel[1]))
            yield Case(
                c,
                k,
                size,
                kernel,
                padding=padding,
                batch=1 + j % 2,
                bias=j % 3 != 0,
                residual=(i + j) % 2 == 0,
                activation=[None, "relu", "silu", ("clip", -0.5, 0.5)][(i + j) % 4],
            )
    strided = [
        ((3, 3), 2),
        ((5, 5), 2),
        ((4, 4), 2),
        ((6, 3), 2),
        ((3, 3), (1, 2)),
        ((5, 2), (2, 1)),
        ((1, 3), (1, 2)),
        ((7, 7), 2),
        ((8, 4), 2),
    ]
    for i, (kernel, stride) in enumerate(strided):
        for j, padding in enumerate(PADDINGS):
            c, k = channels[(i + j) % len(channels)]
            size = (15 + 2 * i, 12 + 3 * j)
            yield Case(
                c,
                k,
                size,
                kernel,
                stride=stride,
                padding=padding,
                batch=1 + j % 2,
                bias=j % 3 != 0,
                residual=(i + j) % 2 == 0,
                activation=[None, "relu", "silu"][(i + j) % 3],
            )
    yield Case(12, 18, (11, 9), (3, 3), padding=1, groups=3)
    yield Case(24, 18, (21, 18), (3, 3), stride=2, padding=1, groups=3)
    yield Case(64, 64, (10, 10), (3, 3), padding=1, groups=2, batch=2)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_with_torch(dtype, layout):
    for case in cases():
        want = case_data(case, dtype)[-1]
        got = call_case(ob.conv2d, case, dtype, layout, algorithm="winograd")
        problem = mismatch(got, want, 12 * case.tolerance(dtype), dtype)
        assert problem is None, f"{case}: {problem}"


def plan_of(channels, filters, size, kernel=3, **kwargs):
    rng = np.random.default_rng(0)
    w = uniform(rng, (filters, channels, kernel, kernel), "float32")
    shape = (1, channels, size, size)
    if kwargs.get("layout") == "NHWC":
        shape = (1, size, size, channels)
    return ob.Conv2dPlan(w, input_shape=shape, padding="same", **kwargs)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_auto_takes_it_where_it_saves_time(layout):
    assert plan_of(64, 64, 56, layout=layout).algorithm == "winograd"
    assert plan_of(512, 512, 28, layout=layout).algorithm == "winograd"
    assert plan_of(32, 64, 28, kernel=5, layout=layout).algorithm == "winograd"
    assert plan_of(3, 64, 56, layout="NCHW").algorithm == "direct"
    assert plan_of(64, 128, 56, stride=2, layout=layout).algorithm == "winograd"
    assert plan_of(64, 64, 28, kernel=5, stride=2, layout=layout).algorithm == "winograd"
    assert plan_of(512, 512, 8, stride=2, layout=layout).algorithm == "direct"
    assert plan_of(64, 64, 56, stride=3, layout=layout).algorithm == "direct"
    assert plan_of(64, 64, 56, dilation=2, layout=layout).algorithm == "direct"


def test_few_channels_go_along_rows_or_stay_direct():
    """Where registers hold the sums of four tiles: AVX-512 and NEON."""
    plan = plan_of(3, 64, 56, layout="NHWC")
    assert ("tile=1x4 along-rows" in repr(plan)) == (plan.algorithm == "winograd"), plan
    rng = np.random.default_rng(0)
    x, w = uniform(rng, (2, 56, 50, 3), "float32"), uniform(rng, (64, 3, 3, 3), "float32")
    plan = ob.Conv2dPlan(w, input_shape=x.shape, padding=1, layout="NHWC")
    once = ob.conv2d(x, w, padding=1, layout="NHWC")
    np.testing.assert_array_equal(
        once, ob.conv2d(x, w, padding=1, layout="NHWC", algorithm="direct")
    )
    np.testing.assert_allclose(plan(x), once, atol=2e-5)
    x[1, 20, 30, 2] = np.inf
    np.testing.assert_array_equal(
        np.isfinite(plan(x)), np.isfinite(ob.conv2d(x, w, padding=1, layout="NHWC"))
    )


def test_chains_begin_along_rows(rng):
    layers = ob.nn.Sequential(
        ob.nn.Conv2d(3, 256, 3, padding=1, activation="relu"), ob.nn.Conv2d(256, 32, 1)
    )
    x = uniform(rng, (2, 3, 64, 60), "float32")
    net = ob.compile(layers, x.shape)
    assert "chain of" in repr(net), repr(net)
    np.testing.assert_allclose(net(x), layers(x), atol=2e-5)
    x[1, 2, 7, 9] = np.nan
    np.testing.assert_array_equal(np.isnan(net(x)), np.isnan(layers(x)))


def test_a_plan_prints_its_tiles():
    text = repr(plan_of(64, 64, 56, layout="NHWC"))
    assert "winograd" in text and "tile=4x" in text, text


def test_result_of_an_image_does_not_depend_on_its_batch(rng):
    x = uniform(rng, (5, 26, 28, 32), "float32")
    w = uniform(rng, (48, 32, 3, 3), "float32")
    together = ob.Conv2dPlan(w, padding=1, input_shape=x.shape, layout="NHWC")
    alone = ob.Conv2dPlan(w, padding=1, input_shape=(1, *x.shape[1:]), layout="NHWC")
    assert together.algorithm == "winograd"
    for i in range(len(x)):
        np.testing.assert_array_equal(together(x)[i : i + 1], alone(x[i : i + 1]))


@pytest.mark.parametrize("channels", [8, 16, 64, 256, 1024])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_relative_error_of_auto(channels, kernel, stride):
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((1, channels, 14 * stride, 15 * stride), np.float32)
    w = rng.standard_normal((16, channels, kernel, kernel), np.float32)
    options = {"padding": kernel // 2, "stride": stride}
    for shown in (x, np.maximum(x, 0)):
        want = conv2d_torch(shown, w, **options)
        plan = ob.Conv2dPlan(w, input_shape=x.shape, **options)
        error = np.sqrt(np.mean((plan(shown) - want) ** 2) / np.mean(want**2))
        assert error <= (3e-6 if kernel == 3 else 5e-6), (plan, error)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_spoil_one_receptive_field(value, layout, rng):
    x = uniform(rng, (2, 20, 12, 13), "float32")
    x[1, 3, 6, 7] = value
    w = uniform(rng, (24, 20, 3, 3), "float32")
    y = ob.conv2d(to_layout(x, layout), w, padding=1, layout=layout, algorithm="winograd")
    finite = np.isfinite(y if layout == "NCHW" else y.transpose(0, 3, 1, 2))
    want = np.ones_like(finite)
    want[1, :, 5:8, 6:9] = False
    np.testing.assert_array_equal(finite, want)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_special_values_with_stride(layout, rng):
    x = uniform(rng, (2, 20, 22, 23), "float32")
    x[1, 3, 7, 10] = np.nan
    w = uniform(rng, (24, 20, 3, 3), "float32")
    options = {"stride": 2, "padding": 1, "layout": layout}
    y = ob.conv2d(to_layout(x, layout), w, algorithm="winograd", **options)
    want = ob.conv2d(to_layout(x, layout), w, algorithm="direct", **options)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(want))
    assert not np.isfinite(want).all()


@pytest.mark.parametrize(
    ("kwargs", "kernel", "words"),
    [
        ({"stride": 3}, (3, 3), "strides 1 and 2"),
        ({"stride": 2}, (1, 3), "of 3 to 8"),
        ({"stride": 2}, (9, 9), "9x9"),
        ({"dilation": (1, 2)}, (3, 3), "dilation"),
        ({}, (1, 1), "not 1x1"),
        ({}, (6, 3), "6x3"),
        ({}, (9, 9), "9x9"),
    ],
)
def test_says_what_it_cannot_serve(kwargs, kernel, words):
    x = np.ones((1, 8, 12, 12), np.float32)
    w = np.ones((4, 8, *kernel), np.float32)
    with pytest.raises(ValueError, match=words) as error:
        ob.conv2d(x, w, algorithm="winograd", **kwargs)
    assert "'auto' or 'direct'" in str(error.value)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_first_layers_of_plans_and_networks(layout):
    """Few channels with stride 2: by Winograd where it is faster, but not for a single call."""
    rng = np.random.default_rng(0)
    x, w = uniform(rng, (1, 3, 64, 64), "float32"), uniform(rng, (64, 3, 7, 7), "float32")
    options = {"stride": 2, "padding": 3, "layout": layout}
    plan = ob.Conv2dPlan(w, input_shape=to_layout(x, layout).shape, **options)
    assert plan.algorithm == "winograd" and "space-to-depth" in repr(plan)
    once = ob.conv2d(to_layout(x, layout), w, **options)
    np.testing.assert_array_equal(
        once, ob.conv2d(to_layout(x, layout), w, **options, algorithm="direct")
    )
    np.testing.assert_allclose(plan(to_layout(x, layout)), once, atol=1e-4)


def test_networks_read_the_first_image_as_it_lies(rng):
    layer = ob.nn.Conv2d(3, 64, 7, stride=2, padding=3)
    net = ob.compile(layer, (2, 3, 64, 60))
    assert "space-to-depth" in repr(net)
    assert "-> (2, 3, 64, 60): copy" not in repr(net), repr(net)
    x = uniform(rng, (2, 3, 64, 60), "float32")
    want = ob.conv2d(x, layer.weight, layer.bias, stride=2, padding=3)
    np.testing.assert_allclose(net(x), want, atol=2e-5)
    x[1, 2, 7, 9] = np.nan
    np.testing.assert_array_equal(
        np.isnan(net(x)), np.isnan(ob.conv2d(x, layer.weight, layer.bias, stride=2, padding=3))
    )
