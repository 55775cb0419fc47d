"""The networks of `ob.models`: torchvision's names and sizes, torch's results, sane weights."""

import numpy as np
import onebyone as ob
import pytest
import torch
import torch_networks
from helpers import FLOAT32, run_python, to_layout, uniform
from torch_graph import TorchGraph, lowered

PARAMETERS = {
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "googlenet": 6_624_904,
    "inception_v3": 23_834_568,
    "mobilenet_v2": 3_504_872,
    "nin": 7_595_176,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "squeezenet": 1_235_496,
    "vgg16": 138_357_544,
}

# Some of torchvision's names, written from its published state dicts.
NAMES = {
    "densenet121": [
        "features.conv0.weight",
        "features.norm0.running_var",
        "features.denseblock1.denselayer1.norm1.weight",
        "features.denseblock4.denselayer16.conv2.weight",
        "features.transition3.conv.weight",
        "features.norm5.bias",
        "classifier.bias",
    ],
    "efficientnet_b0": [
        "features.0.0.weight",
        "features.1.0.block.0.0.weight",
        "features.1.0.block.1.fc1.bias",
        "features.2.1.block.2.fc2.weight",
        "features.7.0.block.3.1.num_batches_tracked",
        "features.8.1.running_mean",
        "classifier.1.weight",
    ],
    "googlenet": [
        "conv1.conv.weight",
        "conv3.bn.running_var",
        "inception3a.branch1.conv.weight",
        "inception3a.branch2.1.conv.weight",
        "inception4e.branch3.0.bn.bias",
        "inception5b.branch4.1.conv.weight",
        "fc.weight",
    ],
    "inception_v3": [
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_5b.branch5x5_2.bn.weight",
        "Mixed_6a.branch3x3.conv.weight",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.conv.weight",
        "Mixed_7c.branch3x3dbl_3b.bn.running_mean",
        "Mixed_7c.branch_pool.conv.weight",
        "fc.bias",
    ],
    "mobilenet_v2": [
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.2.conv.3.running_mean",
        "features.17.conv.2.weight",
        "features.18.1.bias",
        "classifier.1.weight",
    ],
    "nin": ["features.0.0.weight", "features.0.4.bias", "features.7.4.weight"],
    "resnet18": [
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer4.1.bn2.num_batches_tracked",
        "fc.weight",
    ],
    "resnet50": [
        "layer1.0.downsample.1.running_var",
        "layer3.5.conv3.weight",
        "layer4.2.bn3.bias",
        "fc.bias",
    ],
    "squeezenet": [
        "features.0.weight",
        "features.3.squeeze.weight",
        "features.12.expand3x3.bias",
        "classifier.1.weight",
    ],
    "vgg16": ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"],
}

SIZES = {"inception_v3": (107, 98), "nin": (77, 91), "vgg16": (45, 70)}
"""Images small enough for a test, and of odd sides; 65 x 74 for the others."""

all_models = pytest.mark.parametrize("name", PARAMETERS)


@pytest.fixture(scope="module", params=PARAMETERS)
def network(request):
    """(name, model); the tests of one network run after each other and share it."""
    return request.param, make(request.param)


def make(name):
    ob.nn.manual_seed(7)
    return getattr(ob.models, name)()


def images(name, count=2):
    size = SIZES.get(name, (65, 74))
    return uniform(np.random.default_rng(3), (count, 3, *size), FLOAT32)


def test_all_models_are_tested():
    assert set(ob.models.__all__) == set(PARAMETERS) == set(NAMES)


def test_parameters_and_names(network):
    name, model = network
    assert sum(p.size for p in model.parameters()) == PARAMETERS[name]
    state = model.state_dict()
    for key in NAMES[name]:
        assert key in state
    size = 299 if name == "inception_v3" else 224
    text = model.summary((3, size, size))
    assert f"Trainable params: {PARAMETERS[name]:,}\n" in text
    assert model.output_shape((5, size, size, 3), "NHWC") == (5, 1000)


def test_random_weights_keep_the_signal(network):
    """Nothing vanishes, explodes or stops depending on the image, as a benchmark needs it."""
    name, model = network
    graph = TorchGraph(images(name))
    logits = graph.values[model.lower(graph, 0, "", "NCHW")]
    for value, call in zip(graph.values[1:], graph.calls, strict=True):
        strength = float(value.square().mean().sqrt())
        assert 1e-4 < strength < 1e4, call
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3 * float(logits.abs().max())
    assert float(logits.std(1).min()) > 1e-4


def test_against_torch(network):
    """A state dict of the torch network loads; both layouts and the graph give its results."""
    name, model = network
    torch.manual_seed(5)
    twin = torch_networks.trained(getattr(torch_networks, name)())
    x = images(name)
    assert list(model.state_dict()) == list(twin.state_dict())
    model.load_state_dict(twin.state_dict())
    if "bn1.num_batches_tracked" in model.state_dict():
        assert model.state_dict()["bn1.num_batches_tracked"] == 100
    with torch.no_grad():
        want = twin.double()(torch.from_numpy(x).double()).numpy()
    scale = np.abs(want).max()
    for layout in ["NCHW", "NHWC"]:
        y = model(to_layout(x, layout), layout)
        assert y.shape == (2, 1000) and y.dtype == np.float32
        assert np.abs(y - want).max() <= 1e-4 * scale
    calls, y = lowered(model, x)
    assert np.abs(y - want).max() <= 1e-10 * scale
    parts = {name for name, _ in model.named_modules()}
    joins = ("add", "mul", "concat", "activation")
    for operation, path in calls:
        assert path in parts or (operation in joins and path.rpartition(".")[0] in parts), path
    assert len({path for _, path in calls if path.split(".")[-1] not in ("relu",)}) > 10


def test_random_weights_repeat():
    states = []
    for seed in [1, 1, 2]:
        ob.nn.manual_seed(seed)
        states.append(ob.models.squeezenet().state_dict())
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key])
    assert not np.array_equal(states[0]["features.0.weight"], states[2]["features.0.weight"])
    assert not states[0]["features.0.bias"].any()
    assert ob.nn.Conv2d(3, 4, 3).bias.any(), "layers made elsewhere are drawn as in torch"


@all_models
def test_num_classes(name):
    if name == "vgg16":
        pytest.skip("half a gigabyte for what the others show")
    model = getattr(ob.models, name)(num_classes=7)
    shape = (1, 3, 299, 299)
    assert model.output_shape(shape) == (1, 7)
    assert sum(p.size for p in model.parameters()) < PARAMETERS[name]


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_weights_from_files(suffix, tmp_path):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"weights.{suffix}"
    first, second, x = ob.models.resnet18(), ob.models.resnet18(), images("resnet18", 1)
    want = first(x)
    assert not np.array_equal(second(x), want)
    first.save(path)
    second.load_state_dict(ob.load_weights(path))
    np.testing.assert_array_equal(second(x), want)
    assert ob.load_weights(path)["bn1.num_batches_tracked"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "head", "names"),
    [
        (
            "googlenet",
            "aux2",
            ["conv.conv.weight", "conv.bn.running_var", "fc1.weight", "fc2.bias"],
        ),
        ("inception_v3", "AuxLogits", ["conv0.conv.weight", "conv1.bn.bias", "fc.weight"]),
    ],
)
def test_auxiliary_classifiers_are_passed_over(name, head, names):
    model = make(name)
    state = dict(model.state_dict())
    state.update({f"{head}.{key}": np.ones(3, np.float32) for key in names})
    model.load_state_dict(state)
    with pytest.raises(ValueError, match="extra"):
        model.load_state_dict({**state, f"{head}.extra.weight": np.ones(3, np.float32)})


def test_state_dicts_of_old_torch_lack_a_counter():
    """Those written before torch 0.4.1; the weights are all there."""
    model = ob.models.resnet18()
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("batches_tracked")}
    state["fc.bias"] = np.ones(1000, np.float32)
    model.load_state_dict(state)
    assert model.fc.bias.all() and model.bn1.num_batches_tracked == 0
    del state["bn1.running_mean"]
    with pytest.raises(ValueError, match=r"missing: bn1\.running_mean$"):
        model.load_state_dict(state)


def test_wrong_input_names_the_layer():
    with pytest.raises(ValueError, match=r"3.*channels"):
        make("squeezenet")(np.ones((1, 4, 64, 64), np.float32))


def test_models_are_imported_when_asked_for():
    code = """
import sys
import onebyone as ob
assert "onebyone.models.resnet" not in sys.modules
assert set(ob.models.__all__) <= set(dir(ob.models))
for name in ob.models.__all__:
    assert callable(getattr(ob.models, name)), name
from onebyone.models import squeezenet, vgg16
try:
    ob.models.lenet
except AttributeError as error:
    assert "lenet" in str(error)
else:
    raise AssertionError
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


@all_models
def test_documented(name):
    text = getattr(ob.models, name).__doc__
    assert f"{PARAMETERS[name]:,} parameters" in text and "arXiv" in text
