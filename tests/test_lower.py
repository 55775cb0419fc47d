"""What layers emit when a network is compiled: the operations, their names and their result."""

import numpy as np
import pytest
from helpers import FLOAT32, from_layout, mismatch, to_layout, tolerance, uniform
from onebyone import nn
from torch_graph import lowered


def network():
    return nn.Sequential(
        {
            "stem": nn.Conv2d(3, 8, 3, 2, padding=((0, 1), (2, 1)), activation="relu"),
            "features": nn.Sequential(
                nn.Residual(nn.Conv2d(8, 8, 3, padding=1, groups=4), activation="relu6"),
                nn.Concat({"left": nn.Conv1x1(8, 5, bias=False), "right": nn.Hardswish()}),
                nn.Dropout(),
            ),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(13 * 5 * 4, 10, activation="tanh"),
        }
    )


def test_operations_and_names(layout, rng):
    calls, _ = lowered(network(), uniform(rng, (2, 3, 11, 7), FLOAT32), layout)
    assert calls == [
        ("conv2d", "stem"),
        ("conv2d", "features.0.body"),
        ("add", "features.0.add"),
        ("activation", "features.0.activation"),
        ("conv2d", "features.1.left"),
        ("activation", "features.1.right"),
        ("concat", "features.1.concat"),
        ("reshape", "flatten"),
        ("linear", "fc"),
    ]


def test_result(layout, rng):
    model, x = network(), uniform(rng, (2, 3, 11, 7), FLOAT32)
    _, want = lowered(model, x, layout)
    assert not mismatch(model(to_layout(x, layout), layout), want, 1e-5, FLOAT32)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.ReLU6(),
        nn.LeakyReLU(0.3),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.SiLU(),
        nn.Hardswish(),
        nn.Hardsigmoid(),
        nn.GELU(),
    ],
    ids=repr,
)
def test_activations(activation, rng):
    x = 4 * uniform(rng, (3, 17), FLOAT32)
    calls, want = lowered(activation, x)
    assert calls == [("activation", "")]
    assert not mismatch(activation(x), want, 1e-5, FLOAT32)


@pytest.mark.parametrize("kwargs", [{"padding": "same", "stride": 2}, {"dilation": 2}], ids=str)
def test_conv_options(kwargs, rng, layout):
    layer, x = nn.Conv2d(5, 9, 3, **kwargs), uniform(rng, (2, 5, 8, 7), FLOAT32)
    _, want = lowered(layer, x, layout)
    y = from_layout(layer(to_layout(x, layout), layout), layout)
    assert not mismatch(y, want, tolerance(46, FLOAT32), FLOAT32)


def test_linear_works_along_the_last_axis_of_the_array(rng, layout):
    """Which is the channels of an NHWC image, the second axis in a graph."""
    x = uniform(rng, (2, 5, 3, 5), FLOAT32)
    layer = nn.Linear(5, 7, activation="relu")
    _, want = lowered(layer, x, layout)
    y = from_layout(layer(to_layout(x, layout), layout), layout)
    assert not mismatch(y, want, tolerance(6, FLOAT32), FLOAT32)


@pytest.mark.parametrize(
    ("layer", "operation"),
    [
        (nn.MaxPool2d(3, 2, 1), "max_pool2d"),
        (nn.MaxPool2d((2, 3), dilation=(2, 1), ceil_mode=True), "max_pool2d"),
        (nn.AvgPool2d(3, 2, 1), "avg_pool2d"),
        (nn.AvgPool2d(2, padding=1, ceil_mode=True, count_include_pad=False), "avg_pool2d"),
        (nn.AvgPool2d(2, divisor_override=3), "avg_pool2d"),
        (nn.AdaptiveAvgPool2d((3, 2)), "adaptive_avg_pool2d"),
        (nn.AdaptiveAvgPool2d((None, 1)), "adaptive_avg_pool2d"),
        (nn.GlobalAvgPool2d(), "adaptive_avg_pool2d"),
    ],
    ids=repr,
)
def test_pooling(layer, operation, rng, layout):
    x = uniform(rng, (2, 5, 8, 7), FLOAT32)
    calls, want = lowered(nn.Sequential({"pool": layer}), x, layout)
    assert calls == [(operation, "pool")]
    y = from_layout(layer(to_layout(x, layout), layout), layout)
    assert not mismatch(y, want, tolerance(56, FLOAT32), FLOAT32)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(affine, rng, layout):
    x, layer = uniform(rng, (2, 5, 4, 3), FLOAT32), nn.BatchNorm2d(5, eps=0.01, affine=affine)
    layer.running_mean = uniform(rng, 5, FLOAT32)
    layer.running_var = 1 + rng.random(5, FLOAT32)
    weight, bias = np.ones(5, FLOAT32), np.zeros(5, FLOAT32)
    if affine:
        layer.weight, layer.bias = weight, bias = uniform(rng, (2, 5), FLOAT32)
    calls, y = lowered(layer, x, layout)
    assert calls == [("batch_norm", "")]
    mean, variance, weight, bias = (
        a.astype(np.float64)[:, None, None]
        for a in (layer.running_mean, layer.running_var, weight, bias)
    )
    want = (x - mean) / np.sqrt(variance + 0.01) * weight + bias
    np.testing.assert_allclose(y, want, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, -1, -4])
def test_softmax_works_along_an_axis_of_the_array(dim, rng, layout):
    x = uniform(rng, (2, 5, 4, 3), FLOAT32)
    _, y = lowered(nn.Softmax(dim), x, layout)
    sums = np.asarray(to_layout(y, layout)).sum(dim)
    np.testing.assert_allclose(sums, 1, atol=1e-12)
    vectors = uniform(rng, (3, 7), FLOAT32)
    _, y = lowered(nn.Softmax(), vectors, layout)
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-12)


def test_layers_that_do_nothing_emit_nothing(rng):
    x = uniform(rng, (2, 7), FLOAT32)
    for layer in [nn.Identity(), nn.Dropout(), nn.Flatten(), nn.Sequential()]:
        calls, y = lowered(layer, x)
        assert calls == []
        np.testing.assert_array_equal(y, x)


def test_a_shared_layer_is_emitted_where_it_stands(rng):
    layer = nn.Conv1x1(4, 4)
    calls, _ = lowered(nn.Sequential(layer, nn.ReLU(), layer), uniform(rng, (1, 4, 2, 2), FLOAT32))
    assert calls == [("conv2d", "0"), ("activation", "1"), ("conv2d", "2")]


def test_shapes_are_checked_as_in_a_call(rng, layout):
    x = uniform(rng, (1, 4, 6, 5), FLOAT32)
    shapes = (
        ["(1, 4, 6, 5)", "(1, 4, 4, 3)"] if layout == "NCHW" else ["(1, 6, 5, 4)", "(1, 4, 3, 4)"]
    )
    for block in [nn.Concat(nn.Identity(), nn.Conv2d(4, 4, 3)), nn.Residual(nn.Conv2d(4, 4, 3))]:
        with pytest.raises(ValueError) as caught:
            lowered(block, x, layout)
        for shape in shapes:
            assert shape in str(caught.value)


class Twice(nn.Module):
    def forward(self, x, layout):
        return 2 * x


def test_a_layer_that_cannot_be_compiled_says_how_it_could(rng):
    x = uniform(rng, (1, 4, 6, 5), FLOAT32)
    model = nn.Sequential({"stem": nn.Conv1x1(4, 4), "body": nn.Sequential(nn.ReLU(), Twice())})
    with pytest.raises(TypeError) as caught:
        lowered(model, x)
    for word in ["body.1", "Twice", "lower(graph, x, name, layout)", "graph.", "connect(x, run)"]:
        assert word in str(caught.value)
    with pytest.raises(TypeError, match=r"the model \(Twice\)"):
        lowered(Twice(), x)

    class Lowered(Twice):
        def lower(self, graph, x, name, layout):
            return graph.binary(x, x, "add", name=name)

    calls, y = lowered(nn.Sequential(Lowered()), x)
    assert calls == [("add", "0")]
    np.testing.assert_array_equal(y, 2 * x.astype(np.float64))
