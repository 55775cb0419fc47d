"""What `import onebyone` brings: all promised names, and nothing optional."""

import ast
import inspect
from importlib import metadata, resources

import onebyone as ob
import pytest
from helpers import run_python
from onebyone import _core

OPTIONAL = [
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "ncnn",
    "PIL",
    "matplotlib",
    "rich",
    "safetensors",
    "jax",
    "pandas",
    "scipy",
]


def test_import_loads_nothing_optional():
    code = f"""
import sys
import numpy as np
import onebyone as ob
ob.conv2d(np.ones((1, 3, 4, 4), np.float32), np.ones((2, 3, 1, 1), np.float32))
ob.nn.Sequential(ob.nn.Conv1x1(3, 4), ob.nn.ReLU()).summary((1, 3, 4, 4))
loaded = [name for name in {OPTIONAL!r} if name in sys.modules]
assert not loaded, loaded
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "" and result.stderr == ""


@pytest.mark.parametrize(
    "name",
    [
        "Conv2dPlan",
        "Network",
        "compile",
        "conv1d",
        "conv2d",
        "empty_cache",
        "get_cache_limit",
        "get_num_threads",
        "get_precision",
        "isa",
        "linear",
        "load_weights",
        "models",
        "nn",
        "set_cache_limit",
        "set_num_threads",
        "set_precision",
        "show_config",
        "supported_isas",
        "threads",
        "__version__",
    ],
)
def test_names(name):
    assert hasattr(ob, name)
    if name not in ("models", "nn", "__version__"):
        assert callable(getattr(ob, name))


@pytest.mark.parametrize(
    "name",
    [
        "Module",
        "Sequential",
        "Conv2d",
        "Conv1x1",
        "Linear",
        "Flatten",
        "ReLU",
        "ReLU6",
        "LeakyReLU",
        "Sigmoid",
        "Tanh",
        "SiLU",
        "Hardswish",
        "Hardsigmoid",
        "GELU",
        "Identity",
        "Dropout",
        "Container",
        "Concat",
        "Residual",
        "MLPConv",
        "NaiveInception",
        "Inception",
        "BasicBlock",
        "Bottleneck",
        "Fire",
        "InvertedResidual",
    ],
)
def test_names_of_layers(name):
    layer = getattr(ob.nn, name)
    assert issubclass(layer, ob.nn.Module)
    for method in ["__call__", "summary", "state_dict", "load_state_dict", "save"]:
        assert callable(getattr(layer, method))


@pytest.mark.parametrize("name", ["conv2d", "conv1d", "linear", "Conv2dPlan", "threads", "isa"])
def test_public_functions_are_documented(name):
    assert len(inspect.getdoc(getattr(ob, name)) or "") > 60


def test_all_lists_what_exists():
    assert len(set(ob.__all__)) == len(ob.__all__)
    assert {"conv2d", "conv1d", "linear", "Conv2dPlan", "nn", "threads"} <= set(ob.__all__)
    for name in ob.__all__:
        assert hasattr(ob, name), name


def test_version():
    assert ob.__version__ == _core.__version__
    try:
        installed = metadata.version("onebyone")
    except metadata.PackageNotFoundError:
        pytest.skip("imported from a build directory: there is no metadata to agree with")
    assert installed == ob.__version__


def test_typed_marker_is_installed():
    assert (resources.files("onebyone") / "py.typed").is_file()


def stub():
    return ast.parse((resources.files("onebyone") / "_core.pyi").read_text("utf-8"))


def functions_and_classes(tree):
    return {n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def test_stub_lists_the_names_of_the_core():
    listed = {n.name for n in functions_and_classes(stub()) if not n.name.startswith("_")}
    present = {name for name in dir(_core) if not name.startswith("_")}
    present = {name for name in present if callable(getattr(_core, name))}
    assert listed == present


def test_stub_lists_the_members_of_the_plan():
    (plan,) = (node for node in functions_and_classes(stub()) if node.name == "Conv2dPlan")
    listed = {node.name for node in plan.body if isinstance(node, ast.FunctionDef)}
    present = {name for name in dir(_core.Conv2dPlan) if not name.startswith("_")}
    assert {name for name in listed if not name.startswith("_")} == present
    for name in present:
        assert isinstance(inspect.getattr_static(_core.Conv2dPlan, name), property)


@pytest.mark.parametrize("name, made", [("Graph", "_Graph32"), ("_Network", "_Network32")])
def test_stub_lists_the_members_of_networks(name, made):
    (described,) = (node for node in functions_and_classes(stub()) if node.name == name)
    listed = {node.name for node in described.body if isinstance(node, ast.FunctionDef)}
    present = {member for member in dir(getattr(_core, made)) if not member.startswith("_")}
    assert {member for member in listed if not member.startswith("_")} == present


def test_show_config(capsys):
    assert ob.show_config() is None
    text = capsys.readouterr().out
    assert ob.__version__ in text and ob.isa() in text and "thread" in text.lower()


def test_build_info():
    info = _core.build_info()
    assert info and all(isinstance(k, str) and isinstance(v, str) for k, v in info.items())


def test_measured_peak_is_a_rate():
    assert _core.measure_peak(1, 0.01) > 1e6
    assert _core.measure_peak(num_threads=1, seconds=0.01, dtype="float64") > 1e6
    with pytest.raises((ValueError, TypeError)):
        _core.measure_peak(dtype="int8")
