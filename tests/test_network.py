"""ob.compile: what the compiled network computes, for which inputs, and what it says of itself."""

import threading

import numpy as np
import onebyone as ob
import pytest
import torch
from helpers import to_layout, uniform
from onebyone import nn


def body(dtype="float32"):
    nn.manual_seed(3)
    layers = [nn.Conv2d(3, 8, 3, padding=1, activation="relu"), nn.Conv1x1(8, 5)]
    return nn.Sequential(*layers).astype(dtype)


@pytest.fixture
def model(dtype):
    return body(dtype)


def test_computes_what_the_module_does(rng, dtype, layout, model):
    x = to_layout(uniform(rng, (2, 3, 11, 13), dtype), layout)
    net = ob.compile(model, x.shape, layout=layout)
    y, want = net(x), model(x, layout)
    assert y.shape == want.shape and y.dtype == dtype
    np.testing.assert_allclose(y, want, rtol=0, atol=100 * np.finfo(dtype).eps)


def test_strided_and_frozen_inputs(rng, model, dtype):
    x = uniform(rng, (2, 3, 10, 12), dtype)
    net = ob.compile(model, x.shape)
    want = net(x)
    spread = np.full((4, 6, 20, 24), np.nan, dtype)
    spread[::2, ::2, ::2, ::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for same in (spread[::2, ::2, ::2, ::2], np.asfortranarray(x), x[::-1].copy()[::-1], frozen):
        assert np.array_equal(net(same), want)
    assert net(x[:0]).shape == (0, 5, 10, 12)


def test_torch_in_torch_out(rng):
    x = uniform(rng, (1, 3, 10, 12), np.float32)
    net = ob.compile(body(), x.shape)
    y = net(torch.from_numpy(x))
    assert isinstance(y, torch.Tensor)
    assert np.array_equal(y.numpy(), net(x))


def test_threads_do_not_change_the_result(rng):
    x = uniform(rng, (2, 3, 37, 41), np.float32)
    results = [ob.compile(body(), x.shape, num_threads=n)(x) for n in (1, 2, 3)]
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_images_do_not_depend_on_their_batch(rng):
    x = uniform(rng, (3, 3, 17, 19), np.float32)
    net = ob.compile(body(), x.shape)
    y = net(x)
    for i in range(3):
        assert np.array_equal(net(x[i : i + 1])[0], y[i])


class Counted(nn.Module):
    """Counts how often it is compiled."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def lower(self, graph, x, name, layout):
        self.count += 1
        return graph.activation(x, "relu", name=name)


def test_compiles_once_for_each_shape(rng):
    model = Counted()
    net = ob.compile(model, (1, 2))
    for width in (2, 3, 2, 3, 4):
        x = uniform(rng, (1, width), np.float32)
        assert np.array_equal(net(x), np.maximum(x, 0))
    assert model.count == 3


def test_keeps_the_last_eight(rng):
    model = Counted()
    net = ob.compile(model, (1,))
    for n in range(1, 10):
        net(np.ones(n, np.float32))
    assert model.count == 9
    for n in range(9, 1, -1):
        net(np.ones(n, np.float32))
    assert model.count == 9
    net(np.ones(1, np.float32))
    assert model.count == 10
    net(np.ones(2, np.float32))
    assert model.count == 10, "the last used stay"


def test_several_threads_at_once(rng):
    """Every thread gets its own result, and each shape is compiled once."""
    model = Counted()
    net = ob.compile(model, (1,))
    wrong, start = [], threading.Barrier(8)

    def call(seed):
        generator = np.random.default_rng(seed)
        start.wait()
        for _ in range(50):
            x = generator.standard_normal(generator.integers(1, 6)).astype(np.float32)
            if not np.array_equal(net(x), np.maximum(x, 0)):
                wrong.append(x)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and model.count == 5


def test_precision_compiles_anew(rng):
    model = Counted()
    net = ob.compile(model, (2,))
    x = np.ones(2, np.float32)
    ob.set_precision("exact")
    try:
        net(x)
        assert model.count == 2
    finally:
        ob.set_precision("fast")
    net(x)
    assert model.count == 2


def test_says_what_it_is(rng):
    x = uniform(rng, (1, 3, 20, 20), np.float32)
    net = ob.compile(body(), x.shape)
    assert net.input_shapes == ((1, 3, 20, 20),) and net.layout == "NCHW"
    assert set(net.memory) == {"weights", "activations", "workspace"}
    assert net.memory["weights"] >= 4 * (8 * 27 + 5 * 8)
    assert "conv" in repr(net)
    lines = net.profile(x).splitlines()
    assert "time" in lines[0] and "GFLOP/s" in lines[0]
    assert lines[-1].startswith("total") and "100.0%" in lines[-1]


def test_wrong_arguments():
    model = body()
    with pytest.raises(TypeError, match="onnx"):
        ob.compile("model.onnx", (1, 3, 8, 8))
    with pytest.raises(ValueError, match="layout"):
        ob.compile(model, (1, 3, 8, 8), layout="CHWN")
    for shape in (None, 3, "abc", (1, 3, 8, 8.5), ((1, 3), 4)):
        with pytest.raises(TypeError, match="input_shape"):
            ob.compile(model, shape)
    with pytest.raises(ValueError, match="input_shape"):
        ob.compile(model, (1, 3, -8, 8))
    with pytest.raises(ValueError, match="one input"):
        ob.compile(model, [(1, 3, 8, 8), (1, 3, 8, 8)])
    with pytest.raises(ValueError, match="3"):
        ob.compile(model, (1, 4, 8, 8))
    for threads in (0, -1):
        with pytest.raises(ValueError, match="threads"):
            ob.compile(model, (1, 3, 8, 8), num_threads=threads)


def test_wrong_calls():
    net = ob.compile(body(), (1, 3, 8, 8))
    x = np.ones((1, 3, 8, 8), np.float32)
    with pytest.raises(TypeError, match="float64"):
        net(x.astype(np.float64))
    with pytest.raises((TypeError, ValueError), match="x"):
        net("image")
    with pytest.raises(ValueError):
        net(np.ones((1, 4, 8, 8), np.float32))
    with pytest.raises(ValueError):
        net(x, x)
    with pytest.raises(ValueError):
        net()


def test_weights_that_are_subnormal(rng, dtype):
    """They count as 0: nothing that a sum of normal numbers would show."""
    layer = nn.Conv2d(6, 5, 3, dtype=dtype)
    weight = uniform(rng, (5, 6, 3, 3), dtype)
    weight[:, 1::2] *= np.finfo(dtype).tiny / 4
    layer.weight = weight
    x = uniform(rng, (1, 6, 12, 13), dtype)
    np.testing.assert_allclose(
        ob.compile(layer, x.shape)(x), layer(x), rtol=0, atol=100 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_chain_writes_the_callers_layout(layout, batch, rng):
    """As large as its output: no image of the network's own is."""
    model = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 20, 1))
    x = uniform(rng, (batch, 3, 37, 41), "float32")
    net = ob.compile(model, to_layout(x, layout).shape, layout=layout)
    assert net.memory["activations"] < batch * 20 * 37 * 41 * 4
    got = net(to_layout(x, layout))
    np.testing.assert_allclose(got, to_layout(model(x), layout), rtol=1e-4, atol=1e-5)


class Mixing(nn.Module):
    """Adds to each image what is between it and the others."""

    def lower(self, graph, x, name, layout):
        return graph.binary(x, graph.softmax(x, 0), "add")


def two_ends():
    """Images and a classifier: part of the network runs for each image, part for all at once."""
    nn.manual_seed(5)
    layers = [nn.Conv2d(3, 24, 3, padding=1, activation="silu"), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(24 * 20 * 22, 30), nn.ReLU(), nn.Linear(30, 7))


@pytest.mark.parametrize("batch", [2, 3, 5])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("make", [body, two_ends])
def test_a_batch_has_the_bits_of_its_images(make, threads, batch, layout, dtype, rng):
    model = make().astype(dtype)
    x = to_layout(uniform(rng, (batch, 3, 40, 44), dtype), layout)
    net = ob.compile(model, x.shape, layout=layout, num_threads=threads)
    one = ob.compile(model, (1, *x.shape[1:]), layout=layout, num_threads=1)
    want = np.concatenate([one(x[i : i + 1]) for i in range(batch)])
    assert np.array_equal(net(x), want)
    # Where the call has another number of threads than the network was made for.
    net = ob.compile(model, x.shape, layout=layout)
    for n in (1, 2, 7):
        with ob.threads(n):
            assert np.array_equal(net(x), want)
            net.profile(x)


def test_images_that_depend_on_each_other(rng):
    x = uniform(rng, (4, 3, 9, 10), np.float32)
    y = ob.compile(nn.Sequential(Mixing(), nn.ReLU()), x.shape)(x)
    share = np.exp(x) / np.exp(x).sum(0)
    np.testing.assert_allclose(y, np.maximum(x + share, 0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_needs_the_memory_of_the_images_that_run_at_once(threads):
    def activations(batch):
        return ob.compile(body(), (batch, 3, 160, 160), num_threads=threads).memory["activations"]

    assert 0 < activations(16) <= threads * activations(1)


def test_says_how_a_batch_is_run(rng):
    x = uniform(rng, (5, 3, 200, 200), np.float32)
    net = ob.compile(body(), x.shape, num_threads=2)
    first = repr(net).splitlines()[0]
    assert "each image of 5, 2 at once on one thread each, the last 1 on all threads" in first
    assert len(net.profile(x).splitlines()) == len(repr(net).splitlines()) - 1 + 4
