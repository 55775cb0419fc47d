"""Layers against torch modules with the same state dict, summaries, and the care of parameters."""

import itertools
import re

import numpy as np
import onebyone as ob
import pytest
import torch
from helpers import FLOAT32, from_layout, mismatch, to_layout, tolerance, uniform
from onebyone import nn


def numpy_state(module):
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def expected(module, x):
    """torch's answer in double precision, leaving the module as it was."""
    with torch.no_grad():
        y = module.double()(torch.from_numpy(x).double()).numpy()
    module.float()
    return y


CONVOLUTIONS = [
    ((3, 5, 1), {}),
    ((7, 17, 3), {"padding": 1}),
    ((6, 12, (3, 2)), {"stride": 2, "padding": (1, 0), "groups": 3}),
    ((5, 8, 3), {"dilation": 2, "bias": False}),
    ((4, 4, 3, 2, 1, 1, 4, False), {}),
    ((3, 9, 5), {"padding": "same"}),
    ((3, 9, (2, 4)), {"padding": "valid", "stride": (1, 2)}),
]


@pytest.mark.parametrize(("args", "kwargs"), CONVOLUTIONS, ids=str)
def test_conv2d(args, kwargs, rng, layout):
    theirs = torch.nn.Conv2d(*args, **kwargs)
    ours = nn.Conv2d(*args, **kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(numpy_state(theirs))
    x = uniform(rng, (2, args[0], 9, 8), FLOAT32)
    y = from_layout(ours(to_layout(x, layout), layout), layout)
    bound = tolerance(ours.weight[0].size + 1, FLOAT32)
    assert not mismatch(y, expected(theirs, x), bound, FLOAT32)
    y = from_layout(ours(to_layout(x[0], layout), layout=layout), layout)
    assert not mismatch(y, expected(theirs, x)[0], bound, FLOAT32)


def test_default_layout_is_nchw(rng):
    layer = nn.Conv2d(3, 5, 1)
    x = uniform(rng, (1, 3, 3, 3), FLOAT32)
    np.testing.assert_array_equal(layer(x), layer(x, layout="NCHW"))
    assert not np.array_equal(layer(x), layer(x, layout="NHWC"))


def test_one_layer_for_many_shapes_layouts_and_back(rng):
    """Whatever a layer keeps from one call must fit the next."""
    theirs = torch.nn.Conv2d(3, 7, 3, padding=1)
    ours = nn.Conv2d(3, 7, 3, padding=1)
    ours.load_state_dict(numpy_state(theirs))
    for size, layout in itertools.product([(5, 5), (9, 4), (5, 5), (1, 1)], ["NCHW", "NHWC"]):
        x = uniform(rng, (2, 3, *size), FLOAT32)
        y = from_layout(ours(to_layout(x, layout), layout), layout)
        assert not mismatch(y, expected(theirs, x), tolerance(28, FLOAT32), FLOAT32)


def test_conv_activation(rng, layout):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 7, 3), torch.nn.SiLU())
    ours = nn.Conv2d(3, 7, 3, activation="silu")
    ours.load_state_dict({k.removeprefix("0."): v for k, v in numpy_state(theirs).items()})
    x = uniform(rng, (2, 3, 6, 5), FLOAT32)
    y = from_layout(ours(to_layout(x, layout), layout), layout)
    assert not mismatch(y, expected(theirs, x), tolerance(28, FLOAT32, "silu"), FLOAT32)


def test_conv1x1(rng, layout):
    theirs = torch.nn.Conv2d(5, 9, 1, stride=2)
    ours = nn.Conv1x1(5, 9, stride=2)
    assert ours.weight.shape == (9, 5, 1, 1) and ours.bias.shape == (9,)
    ours.load_state_dict(numpy_state(theirs))
    x = uniform(rng, (2, 5, 7, 6), FLOAT32)
    y = from_layout(ours(to_layout(x, layout), layout), layout)
    assert not mismatch(y, expected(theirs, x), tolerance(6, FLOAT32), FLOAT32)
    assert list(nn.Conv1x1(5, 9, bias=False).state_dict()) == ["weight"]
    relu = nn.Conv1x1(5, 9, activation="relu")
    assert from_layout(relu(to_layout(x, layout), layout), layout).min() == 0


def test_linear(rng):
    for bias in [True, False]:
        theirs = torch.nn.Linear(17, 9, bias=bias)
        ours = nn.Linear(17, 9, bias=bias)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        ours.load_state_dict(numpy_state(theirs))
        for shape in [(17,), (3, 17), (2, 3, 17)]:
            x = uniform(rng, shape, FLOAT32)
            assert not mismatch(ours(x), expected(theirs, x), tolerance(18, FLOAT32), FLOAT32)
    x = uniform(rng, (3, 17), FLOAT32)
    assert nn.Linear(17, 40, activation="relu")(x).min() == 0


@pytest.mark.parametrize(
    "name",
    ["ReLU", "ReLU6", "LeakyReLU", "Sigmoid", "Tanh", "SiLU", "Hardswish", "Hardsigmoid", "GELU"],
)
def test_activation_layers(name, rng, layout):
    theirs, ours = getattr(torch.nn, name)(), getattr(nn, name)()
    assert not ours.state_dict()
    for shape in [(2, 5, 4, 3), (7, 19)]:
        x = 8 * uniform(rng, shape, FLOAT32)
        x_ours = to_layout(x, layout) if x.ndim == 4 else x
        y = ours(x_ours, layout)
        y = from_layout(y, layout) if x.ndim == 4 else y
        assert not mismatch(y, expected(theirs, x), 1e-5, FLOAT32)


def test_leaky_relu_layer_takes_its_slope():
    x = np.array([[-2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(nn.LeakyReLU(0.25)(x), [[-0.5, 3.0]])


def test_flatten_has_one_order_in_both_layouts():
    """Channel by channel, as torch does, so that the next Linear fits either layout."""
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    for layout in ["NCHW", "NHWC"]:
        y = nn.Flatten()(to_layout(x, layout), layout)
        np.testing.assert_array_equal(y, x.reshape(2, 60))


def torch_network():
    t = torch.nn
    return t.Sequential(
        t.Conv2d(3, 8, 3, stride=2, padding=1),
        t.ReLU(),
        t.Sequential(t.Conv2d(8, 13, 1), t.Hardswish(), t.Conv2d(13, 6, 3, groups=1)),
        t.Flatten(),
        t.Linear(6 * 3 * 2, 10),
        t.Tanh(),
    )


def our_network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Sequential(nn.Conv1x1(8, 13), nn.Hardswish(), nn.Conv2d(13, 6, 3)),
        nn.Flatten(),
        nn.Linear(6 * 3 * 2, 10),
        nn.Tanh(),
    )


NAMES = ["0.weight", "0.bias", "2.0.weight", "2.0.bias", "2.2.weight", "2.2.bias"]
NAMES += ["4.weight", "4.bias"]


def test_sequential(rng, layout):
    theirs, ours = torch_network(), our_network()
    assert list(ours.state_dict()) == list(theirs.state_dict()) == NAMES
    ours.load_state_dict(theirs.state_dict())
    x = uniform(rng, (4, 3, 10, 8), FLOAT32)
    y = ours(to_layout(x, layout), layout)
    assert not mismatch(y, expected(theirs, x), 1e-5, FLOAT32)


def test_torch_in_torch_out(rng, layout):
    ours = our_network()
    x = to_layout(uniform(rng, (2, 3, 10, 8), FLOAT32), layout)
    y = ours(torch.from_numpy(x), layout)
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), ours(x, layout))


def totals(text):
    """The numbers behind total, trainable and non-trainable parameters, in this order."""
    found = re.findall(r"(?im)^.*?((?:non-)?(?:total|trainable))\s+param\w*\W+([\d,]+)", text)
    return {name.lower(): int(number.replace(",", "")) for name, number in found}


def classic(*filters):
    return nn.Sequential(
        nn.Conv2d(3, 512, 3, padding="same"), *(nn.Conv1x1(512, k) for k in filters)
    )


@pytest.mark.parametrize(
    ("filters", "added", "total"),
    [
        ((), "14,336", "14,336"),
        ((512,), "262,656", "276,992"),
        ((64,), "32,832", "47,168"),
        ((1024,), "525,312", "539,648"),
    ],
)
@pytest.mark.parametrize("batch", [(), (1,)])
def test_summary_of_the_classic_projections(filters, added, total, batch, layout):
    """A 1x1 convolution changes the channels and keeps height and width."""
    model = classic(*filters)
    image = (3, 256, 256) if layout == "NCHW" else (256, 256, 3)
    text = model.summary((*batch, *image), layout=layout)
    last = filters[-1] if filters else 512
    shape = f"{last}, 256, 256" if layout == "NCHW" else f"256, 256, {last}"
    row = next(line for line in reversed(text.splitlines()) if shape in line)
    assert re.search(rf"(?<![\d,]){added}(?![\d,])", row), text
    macs = 256 * 256 * (512 * last if filters else 512 * 27)
    # Written out or abbreviated: 17,179,869,184 or 17.18 G or 17.2G.
    forms = [f"{macs:,}", str(macs)]
    forms += [f"{macs / unit:,.{digits}f}" for unit in (1e6, 1e9) for digits in (0, 1, 2, 3)]
    assert any(re.search(rf"(?<![\d.,]){re.escape(form)}(?!\d)", row) for form in forms), text
    assert "Conv" in row
    number = int(total.replace(",", ""))
    assert totals(text) == {"total": number, "trainable": number, "non-trainable": 0}, text
    assert total in text
    assert re.search(r"(?i)layer.*output shape.*param", text), text


def test_summary_computes_nothing_large():
    """Shapes alone decide: an image of 4 TB costs nothing."""
    text = nn.Sequential(nn.Conv1x1(4, 8), nn.ReLU()).summary((1, 4, 2**19, 2**19))
    assert "524288" in text.replace(",", "") and totals(text)["total"] == 40


def test_summary_of_nested_networks(layout):
    model = our_network()
    text = model.summary((1, 3, 10, 8) if layout == "NCHW" else (1, 10, 8, 3), layout)
    parameters = sum(v.size for v in model.state_dict().values())
    assert totals(text) == {"total": parameters, "trainable": parameters, "non-trainable": 0}
    for name in ["Conv2d", "Conv1x1", "ReLU", "Hardswish", "Flatten", "Linear", "Tanh"]:
        assert name in text


def test_summary_names_the_layer_that_does_not_fit():
    with pytest.raises(ValueError, match="512"):
        nn.Sequential(nn.Conv2d(3, 512, 1), nn.Conv1x1(64, 32)).summary((1, 3, 8, 8))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_state_dict_round_trip(kind, rng, layout):
    first, second = our_network(), our_network()
    x = to_layout(uniform(rng, (2, 3, 10, 8), FLOAT32), layout)
    state = {k: uniform(rng, v.shape, FLOAT32) for k, v in first.state_dict().items()}
    first.load_state_dict(state)
    want = first(x, layout)
    assert not np.array_equal(second(x, layout), want)
    state = first.state_dict()
    assert all(isinstance(v, np.ndarray) for v in state.values())
    second.load_state_dict(
        state if kind == "numpy" else {k: torch.tensor(v) for k, v in state.items()}
    )
    np.testing.assert_array_equal(second(x, layout), want)
    for k, v in second.state_dict().items():
        np.testing.assert_array_equal(v, state[k])


def test_torch_parameters_load_directly(rng):
    """A torch module's state dict, and its parameters themselves, without detach()."""
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    ours = nn.Sequential(nn.Conv2d(3, 4, 1))
    x = uniform(rng, (1, 3, 4, 4), FLOAT32)
    for state in [theirs.state_dict(), dict(theirs.named_parameters())]:
        ours.load_state_dict(state)
        assert not mismatch(ours(x), expected(theirs, x), tolerance(4, FLOAT32), FLOAT32)


def test_loading_takes_a_copy(rng):
    layer = nn.Conv2d(3, 4, 1)
    state = {"weight": uniform(rng, (4, 3, 1, 1), FLOAT32), "bias": uniform(rng, 4, FLOAT32)}
    layer.load_state_dict(state)
    x = uniform(rng, (1, 3, 4, 4), FLOAT32)
    want = layer(x)
    for value in state.values():
        value[...] = np.nan
    np.testing.assert_array_equal(layer(x), want)
    assert np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda s: s.pop("2.0.weight"), ["2.0.weight"]),
        (lambda s: (s.pop("0.bias"), s.pop("4.weight")), ["0.bias", "4.weight"]),
        (lambda s: s.update({"9.weight": s["0.weight"]}), ["9.weight"]),
        (lambda s: s.update({"4.bias": np.ones(11, np.float32)}), ["4.bias", "10", "11"]),
        (lambda s: s.update({"4.weight": s["4.weight"].T}), ["4.weight", "10", "36"]),
        (lambda s: s.update({"2.2.bias": np.ones((1, 6), np.float32)}), ["2.2.bias", "6"]),
        (lambda s: s.update({"4.bias": np.ones(10, np.complex64)}), ["4.bias"]),
        (lambda s: s.update({"4.bias": None}), ["4.bias"]),
        (lambda s: (s.pop("4.bias"), s.update({"fc.bias": s["0.bias"]})), ["4.bias", "fc.bias"]),
    ],
)
def test_load_state_dict_errors_name_the_parameter_and_change_nothing(change, names, rng):
    model = our_network()
    x = uniform(rng, (2, 3, 10, 8), FLOAT32)
    want = model(x)
    before = {k: v.copy() for k, v in model.state_dict().items()}
    state = {k: np.full_like(v, 0.5) for k, v in before.items()}
    change(state)
    with pytest.raises((ValueError, TypeError, KeyError)) as caught:
        model.load_state_dict(state)
    for name in names:
        assert name in str(caught.value)
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v, before[k])
    np.testing.assert_array_equal(model(x), want)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("as_text", [True, False])
def test_save_and_load_weights(suffix, as_text, rng, tmp_path):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"weights.{suffix}"
    path = str(path) if as_text else path
    model, other = our_network(), our_network()
    state = {k: uniform(rng, v.shape, FLOAT32) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    model.save(path)
    assert (tmp_path / f"weights.{suffix}").is_file()
    loaded = ob.load_weights(path)
    assert set(loaded) == set(NAMES)
    for k, v in loaded.items():
        assert v.dtype == np.float32
        np.testing.assert_array_equal(v, state[k])
    other.load_state_dict(loaded)
    x = uniform(rng, (1, 3, 10, 8), FLOAT32)
    np.testing.assert_array_equal(other(x), model(x))


def test_save_and_load_refuse_what_they_do_not_know(tmp_path):
    with pytest.raises(ValueError, match="npz"):
        our_network().save(tmp_path / "weights.pt")
    assert not list(tmp_path.iterdir())
    (tmp_path / "weights.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(ValueError, match="npz"):
        ob.load_weights(tmp_path / "weights.pkl")
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        ob.load_weights(tmp_path / "missing.npz")


def test_pickled_arrays_are_never_loaded(tmp_path):
    """An npz of objects would run code on loading."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", weight=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError):
        dict(ob.load_weights(tmp_path / "trap.npz"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "make", [lambda: nn.Conv2d(3, 4, 3), lambda: nn.Linear(3, 4)], ids=["Conv2d", "Linear"]
)
def test_parameters_are_read_only_arrays(make):
    layer = make()
    for value in [layer.weight, layer.bias, *layer.state_dict().values()]:
        assert isinstance(value, np.ndarray) and value.dtype == np.float32
        assert not value.flags.writeable
        with pytest.raises(ValueError):
            value[...] = 0


def test_assignment_takes_effect_in_the_next_call(rng, layout):
    layer = nn.Conv2d(3, 17, 3, padding=1)
    model = nn.Sequential(layer, nn.ReLU())
    x = uniform(rng, (1, 3, 6, 5), FLOAT32)
    image = to_layout(x, layout)
    model(image, layout)
    for _ in range(3):
        w, b = uniform(rng, (17, 3, 3, 3), FLOAT32), uniform(rng, 17, FLOAT32)
        layer.weight = w
        layer.bias = b
        want = ob.conv2d(image, w, b, padding=1, activation="relu", layout=layout)
        np.testing.assert_array_equal(model(image, layout), want)
        np.testing.assert_array_equal(model.state_dict()["0.weight"], w)
        w[...] = np.nan
        np.testing.assert_array_equal(model(image, layout), want)


def test_assignment_checks_the_shape(rng):
    layer = nn.Conv2d(3, 4, 1)
    before = layer.weight.copy()
    for value in [np.ones((4, 3), np.float32), np.ones((3, 4, 1, 1), np.float32), "w"]:
        with pytest.raises((ValueError, TypeError), match="weight"):
            layer.weight = value
    with pytest.raises((ValueError, TypeError), match="bias"):
        layer.bias = np.ones(5, np.float32)
    np.testing.assert_array_equal(layer.weight, before)


def test_fresh_weights_are_finite_random_and_differ():
    first, second = nn.Conv2d(16, 32, 3), nn.Conv2d(16, 32, 3)
    for layer in (first, second):
        assert np.isfinite(layer.weight).all()
        assert 0 < layer.weight.std() < 1
    assert not np.array_equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: nn.Conv2d(0, 4, 3), "in_channels"),
        (lambda: nn.Conv2d(3, -1, 3), "out_channels"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "stride"),
        (lambda: nn.Conv2d(3, 4, 3, padding="SAME"), "padding"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups"),
        (lambda: nn.Conv2d(3, 4, 3, activation="swish"), "activation"),
        (lambda: nn.Linear(0, 4), "in_features"),
    ],
)
def test_constructors_check_their_arguments(make, word):
    """When the layer is made, not when it is first called."""
    with pytest.raises((ValueError, TypeError), match=word):
        make()


def test_wrong_input_names_the_numbers():
    model = our_network()
    with pytest.raises(ValueError, match="3"):
        model(np.ones((1, 4, 10, 8), np.float32))
    with pytest.raises(TypeError, match="int"):
        model(np.ones((1, 3, 10, 8), int))
    with pytest.raises(ValueError, match="layout"):
        model(np.ones((1, 3, 10, 8), np.float32), layout="nchw")
