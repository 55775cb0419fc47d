"""Containers and the blocks of the literature against the same blocks in torch."""

import numpy as np
import pytest
import torch
import torch_networks as theirs
from helpers import FLOAT32, FLOAT64, eps, from_layout, mismatch, to_layout, uniform
from onebyone import nn
from torch_graph import lowered
from torch_networks import trained

BLOCKS = {
    "MLPConv": (
        lambda: nn.MLPConv(3, 7, 5, stride=2, padding=2),
        lambda: theirs.mlpconv(3, 7, 5, stride=2, padding=2),
        3,
    ),
    "MLPConv, hidden": (
        lambda: nn.MLPConv(5, 6, 3, hidden_channels=(17, 4)),
        lambda: theirs.mlpconv(5, 6, 3, hidden=(17, 4)),
        5,
    ),
    "NaiveInception": (
        lambda: nn.NaiveInception(9, 5, 7, 3),
        lambda: theirs.naive_inception(9, 5, 7, 3),
        9,
    ),
    "Inception": (
        lambda: nn.Inception(19, 5, 3, 7, 2, 4, 6),
        lambda: theirs.inception(19, 5, 3, 7, 2, 4, 6),
        19,
    ),
    "Inception, batch norm": (
        lambda: nn.Inception(19, 5, 3, 7, 2, 4, 6, batch_norm=True, kernel_size=3),
        lambda: theirs.inception_bn(19, 5, 3, 7, 2, 4, 6),
        19,
    ),
    "BasicBlock": (lambda: nn.BasicBlock(7, 7), lambda: theirs.BasicBlock(7, 7), 7),
    "BasicBlock, projection": (
        lambda: nn.BasicBlock(7, 10, stride=2),
        lambda: theirs.BasicBlock(7, 10, 2),
        7,
    ),
    "Bottleneck": (lambda: nn.Bottleneck(12, 3), lambda: theirs.Bottleneck(12, 3), 12),
    "Bottleneck, projection": (
        lambda: nn.Bottleneck(12, 5, stride=2),
        lambda: theirs.Bottleneck(12, 5, 2),
        12,
    ),
    "Bottleneck, channels alone": (
        lambda: nn.Bottleneck(5, 3),
        lambda: theirs.Bottleneck(5, 3),
        5,
    ),
    "Fire": (lambda: nn.Fire(11, 3, 5, 6), lambda: theirs.Fire(11, 3, 5, 6), 11),
    "InvertedResidual": (
        lambda: nn.InvertedResidual(5, 5),
        lambda: theirs.InvertedResidual(5, 5),
        5,
    ),
    "InvertedResidual, stride": (
        lambda: nn.InvertedResidual(5, 7, stride=2, expand_ratio=3),
        lambda: theirs.InvertedResidual(5, 7, 2, 3),
        5,
    ),
    "InvertedResidual, no expansion": (
        lambda: nn.InvertedResidual(6, 4, 1, 1),
        lambda: theirs.InvertedResidual(6, 4, 1, 1),
        6,
    ),
}


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS)
def block(request):
    """(ours, theirs, input channels) with the same state."""
    ours, twin, channels = request.param
    torch.manual_seed(1)
    ours, twin = ours(), trained(twin())
    assert list(ours.state_dict()) == list(twin.state_dict())
    ours.load_state_dict(twin.state_dict())
    return ours, twin.double(), channels


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (9, 6), (8, 13)], ids=str)
def test_block(block, size, dtype, layout, rng):
    ours, twin, channels = block
    if type(ours) is nn.MLPConv:  # its filter must fit
        size = tuple(s + 4 for s in size)
    x = uniform(rng, (3, channels, *size), dtype)
    with torch.no_grad():
        want = twin(torch.from_numpy(x).double()).numpy()
    ours.astype(dtype)
    image = to_layout(x, layout)
    y = from_layout(ours(image, layout), layout)
    assert not mismatch(y, want, 400 * eps(dtype), dtype)
    one = from_layout(ours(image[1], layout), layout)
    np.testing.assert_array_equal(one, y[1])
    assert ours.output_shape(image.shape, layout) == to_layout(y, layout).shape


def test_block_lowered(block, rng):
    ours, twin, channels = block
    x = uniform(rng, (2, channels, 9, 6), FLOAT32)
    with torch.no_grad():
        want = twin(torch.from_numpy(x).double()).numpy()
    for layout in ["NCHW", "NHWC"]:
        _, y = lowered(ours, x, layout)
        assert not mismatch(y, want, 1e-12, FLOAT64)


def test_torch_in_torch_out(block, layout, rng):
    ours, _, channels = block
    x = to_layout(uniform(rng, (1, channels, 9, 6), FLOAT32), layout)
    y = ours(torch.from_numpy(x), layout)
    assert type(y) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), ours(x, layout))


def test_multiply_adds_and_summary(block, layout):
    """Counted by hooks on torch's convolutions."""
    ours, twin, channels = block
    total = 0

    def count(module, _, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for module in twin.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    twin(torch.zeros(2, channels, 9, 6).double())
    shape = (2, channels, 9, 6) if layout == "NCHW" else (2, 9, 6, channels)
    assert ours.multiply_adds(shape, layout) == total
    text = ours.summary(shape, layout)
    parameters = sum(p.numel() for p in twin.parameters())
    assert f"Multiply-adds: {total:,} for" in text
    assert f"Trainable params: {parameters:,}\n" in text


def test_savings_that_the_docstrings_state():
    def weights(module):
        return sum(p.size for name, p in module.named_parameters() if name.endswith("weight"))

    assert weights(nn.NaiveInception(192, 64, 128, 32)) == 387_072
    assert weights(nn.Inception(192, 64, 96, 128, 16, 32, 32)) == 163_328
    assert nn.NaiveInception(192, 64, 128, 32).output_shape((1, 192, 28, 28))[1] == 416
    assert nn.Inception(192, 64, 96, 128, 16, 32, 32).output_shape((1, 192, 28, 28))[1] == 256
    assert weights(nn.Fire(64, 16, 64, 64)) == 11_264 and 64 * 128 * 9 == 73_728
    bottleneck = nn.Bottleneck(256, 64)
    assert bottleneck.multiply_adds((1, 256, 1, 1)) == 69_632
    assert nn.BasicBlock(256, 256).multiply_adds((1, 256, 1, 1)) == 1_179_648
    assert nn.InvertedResidual(24, 24).multiply_adds((1, 24, 1, 1)) == 8_208


def test_concat_joins_channels(rng, layout):
    x = uniform(rng, (2, 5, 4, 3), FLOAT32)
    image = to_layout(x, layout)
    block = nn.Concat(nn.ReLU(), nn.Identity(), nn.Conv1x1(5, 3))
    assert list(block.state_dict()) == ["2.weight", "2.bias"]
    y = from_layout(block(image, layout), layout)
    np.testing.assert_array_equal(y[:, :5], np.maximum(x, 0))
    np.testing.assert_array_equal(y[:, 5:10], x)
    np.testing.assert_array_equal(
        y[:, 10:], from_layout(getattr(block, "2")(image, layout), layout)
    )
    assert block.output_shape(image.shape, layout) == to_layout(y, layout).shape
    named = nn.Concat({"left": nn.ReLU(), "right": nn.Conv1x1(5, 3)})
    assert list(named.state_dict()) == ["right.weight", "right.bias"]
    assert nn.Concat(nn.Identity())(image) is image


def test_concat_of_vectors(rng, layout):
    x = uniform(rng, (3, 7), FLOAT32)
    y = nn.Concat(nn.Linear(7, 4), nn.Identity())(x, layout)
    assert y.shape == (3, 11)
    np.testing.assert_array_equal(y[:, 4:], x)


@pytest.mark.parametrize("activation", [None, "relu", ("leaky_relu", 0.2)], ids=str)
def test_residual(activation, rng, layout):
    x = uniform(rng, (2, 5, 4, 3), FLOAT32)
    image = to_layout(x, layout)
    for shortcut in [None, nn.Conv1x1(5, 6, stride=2)]:
        body = nn.Conv2d(5, 5 if shortcut is None else 6, 3, 1 if shortcut is None else 2, 1)
        block = nn.Residual(body, shortcut, activation)
        names = ["body.weight", "body.bias"]
        names += [] if shortcut is None else ["shortcut.weight", "shortcut.bias"]
        assert list(block.state_dict()) == names
        y = block(image, layout)
        want = body(image, layout) + (image if shortcut is None else shortcut(image, layout))
        want = {None: want, "relu": np.maximum(want, 0)}.get(
            activation, np.where(want < 0, np.float32(0.2) * want, want)
        )
        assert not mismatch(y, want.astype(np.float64), 1e-6, FLOAT32)
        assert block.output_shape(image.shape, layout) == y.shape


def test_residual_does_not_write_its_input(rng):
    x = uniform(rng, (1, 4, 3, 3), FLOAT32)
    x.flags.writeable = False
    np.testing.assert_array_equal(nn.Residual(nn.Identity())(x), 2 * x)


def test_dropout_and_identity(rng, layout):
    for layer in [nn.Dropout(), nn.Dropout(0.2), nn.Identity()]:
        x = uniform(rng, (2, 3, 4), FLOAT32)
        assert layer(x, layout) is x
        assert layer.output_shape((2, 3, 4), layout) == (2, 3, 4)
        assert not layer.state_dict()
    assert repr(nn.Dropout(0.2)) == "Dropout(p=0.2)"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: nn.Residual(nn.Conv1x1(4, 5))(x), ["Residual", "(1, 5, 6, 6)", "(1, 4, 6, 6)"]),
        (lambda x: nn.Residual(nn.Conv2d(4, 4, 3))(x), ["Residual", "4, 4)", "6, 6)"]),
        (lambda x: nn.Concat(nn.Conv2d(4, 4, 3), nn.Identity())(x), ["Concat", "(1, 4, 4, 4)"]),
        (lambda x: nn.Concat(nn.Flatten(), nn.Identity())(x), ["Concat"]),
    ],
)
def test_shapes_that_do_not_join(call, words):
    """Broadcasting would hide the mistake."""
    with pytest.raises(ValueError) as caught:
        call(np.ones((1, 4, 6, 6), np.float32))
    for word in words:
        assert word in str(caught.value)


def test_shapes_that_do_not_join_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match="shortcut"):
        nn.Residual(nn.Conv1x1(4, 5)).output_shape((1, 4, 6, 6))
    with pytest.raises(ValueError, match="channels"):
        nn.Concat(nn.Conv2d(4, 4, 3), nn.Identity()).summary((4, 6, 6))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Concat(), "branch"),
        (lambda: nn.Concat(3), "Module"),
        (lambda: nn.Residual(None), "body"),
        (lambda: nn.Residual(nn.ReLU(), nn.ReLU(), "swish"), "Residual.*swish"),
        (lambda: nn.Dropout(1.5), "p must be"),
        (lambda: nn.Dropout("half"), "p must be"),
        (lambda: nn.MLPConv(3, 0, 3), "hidden_channels|out_channels"),
        (lambda: nn.MLPConv(3, 4, 3, hidden_channels=(1, 2, 3)), "hidden_channels"),
        (lambda: nn.Inception(3, 1, 1, 1, 1, 1, 1, kernel_size=0), "kernel_size"),
        (lambda: nn.BasicBlock(3, 4, 0), "stride"),
        (lambda: nn.Bottleneck(3, 4, "2"), "stride"),
        (lambda: nn.InvertedResidual(3, 4, expand_ratio=0), "expand_ratio"),
    ],
)
def test_constructors_check_their_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_own_shortcut(rng):
    x = uniform(rng, (1, 4, 5, 5), FLOAT32)
    block = nn.BasicBlock(4, 4, downsample=nn.Conv1x1(4, 4))
    assert "downsample.weight" in block.state_dict()
    assert block(x).shape == x.shape


def test_a_container_of_ones_own(rng, layout):
    """One description: called, measured, compiled."""

    class Gate(nn.Container):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv1x1(4, 4)
            self.pool = nn.AdaptiveAvgPool2d(1)

        def connect(self, x, run):
            return run.concat([run.scale(x, run(x, "pool", "body")), run.activate(x, "relu")])

    gate, x = Gate(), uniform(rng, (2, 4, 5, 3), FLOAT32)
    y = from_layout(gate(to_layout(x, layout), layout), layout)
    factors = gate.body(x.mean((2, 3), keepdims=True))
    want = np.concatenate([x * factors, np.maximum(x, 0)], 1)
    np.testing.assert_allclose(y, want, atol=1e-6)
    assert gate.output_shape(to_layout(x, layout).shape, layout) == to_layout(y, layout).shape
    assert gate.multiply_adds((2, 4, 5, 3)) == 2 * 16
    calls, value = lowered(gate, x, layout)
    np.testing.assert_allclose(value, want, atol=1e-6)
    assert calls == [
        ("adaptive_avg_pool2d", "pool"),
        ("conv2d", "body"),
        ("mul", "mul"),
        ("activation", "activation"),
        ("concat", "concat"),
    ]

    class Wrong(Gate):
        def connect(self, x, run):
            return run.scale(x, x)

    with pytest.raises(ValueError, match="Wrong"):
        Wrong()(x)
    with pytest.raises(NotImplementedError, match=r"Container has no connect\(x, run\)"):
        nn.Container()(x)
