"""`onebyone bench --networks`: what is recorded, what peers make of it, and what is refused."""

import numpy as np
import pytest
from onebyone import nn
from test_cli import cli, refused

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onebyone.bench import engines, markdown, results, runner, table  # noqa: E402
from onebyone.bench.errors import BenchError  # noqa: E402
from onebyone.bench.memory import Watch  # noqa: E402
from onebyone.bench.networks.build import build, check_network  # noqa: E402
from onebyone.bench.networks.fuse import with_activations, with_gelu, with_silu  # noqa: E402
from onebyone.bench.networks.model import Model, NetworkError  # noqa: E402
from onebyone.bench.networks.record import Recorder, export_onnx  # noqa: E402

QUICK = runner.Pace(rounds=1, seconds=0)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def norm(graph, x, channels):
    return graph.batch_norm(
        x, drawn(channels) + 1, drawn(channels), drawn(channels), drawn(channels) + 1, 1e-5
    )


def every_operation(graph, x):
    """Whatever layers emit, on odd sizes: a 5-channel image of 13 x 11."""
    y = graph.conv2d(x, drawn(8, 5, 3, 3), drawn(8), stride=2, padding=((0, 1), (2, 1)))
    y = graph.activation(norm(graph, y, 8), "relu")
    y = graph.max_pool2d(y, 3, 2, 1)
    wide = graph.conv2d(y, drawn(16, 8, 1, 1, seed=1), activation="silu")
    wide = graph.conv2d(wide, drawn(16, 1, 3, 3), padding="same", groups=16, activation="relu6")
    squeezed = graph.conv2d(
        graph.adaptive_avg_pool2d(wide, 1), drawn(16, 16, 1, 1), drawn(16), activation="sigmoid"
    )
    wide = graph.binary(wide, squeezed, "mul")
    y = graph.binary(y, graph.conv2d(wide, drawn(8, 16, 1, 1, seed=2), drawn(8)), "add")
    grouped = graph.conv2d(y, drawn(4, 4, 1, 1), groups=2, activation="hardswish")
    averaged = graph.avg_pool2d(y, 3, 1, 1, count_include_pad=True)
    y = graph.concat([y, grouped, averaged], 1)
    y = graph.activation(norm(graph, y, 20), "relu")
    y = graph.max_pool2d(y, 2, 2, 0, ceil_mode=True)
    n, c, h, w = graph.shape(y)
    y = graph.reshape(y, (n, c * h * w))
    y = graph.linear(y, drawn(9, c * h * w), drawn(9), activation="relu")
    return graph.softmax(graph.linear(y, drawn(7, 9), drawn(7)), 1)


@pytest.fixture
def file(tmp_path):
    graph = Recorder()
    graph.output("y", every_operation(graph, graph.input("x", (1, 5, 13, 11))))
    path = tmp_path / "every.onnx"
    onnx.save(graph.model("every"), path)
    return str(path)


def test_recorded_shapes_are_onnxs(file):
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    model = Model.read(proto)
    assert model.shapes["y"] == (1, 7) and model.shapes["x"] == (1, 5, 13, 11)
    wide, squeezed, last = 3 * 3 * 16 * (8 + 9 + 8), 16 * 16, 9 * 80 + 9 * 7
    assert model.macs() == 6 * 6 * 8 * 45 + wide + squeezed + 3 * 3 * 4 * 4 + last


@pytest.mark.parametrize("peer", engines.PEERS)
def test_peers_agree_with_onnxruntime(file, peer):
    for package in engines.PEERS[peer].packages:
        pytest.importorskip(package)
    specs = engines.find_peers(peer)
    with build(file, {spec.form for spec in specs}) as network:
        assert network.text == "every.onnx"
        (result,) = runner.measure([network], specs, 2, QUICK, cold=False, say=lambda result: None)
    assert result.refused == {}
    assert set(result.engines) == {spec.name for spec in specs}
    assert all(m.memory is None or m.memory >= 0 for m in result.engines.values())


def test_what_differs_is_not_timed(file):
    pytest.importorskip("torch")
    with build(file, ["onnx"]) as network:
        np.save(f"{network.folder}/output.npy", network.expected() * np.float32(1.01))
        (result,) = runner.measure(
            [network], engines.find_peers("torch"), 1, QUICK, cold=False, say=lambda result: None
        )
    assert result.engines == {} and "wrong" in result.refused["torch NCHW"]


def test_fusion():
    graph = Recorder()
    x = graph.input("x", (1, 4))
    y = graph.activation(x, "silu")
    half = graph.constant(np.array(0.5, np.float32))
    one = graph.constant(np.array(1, np.float32))
    root = graph.constant(np.array(2**0.5, np.float32))
    erf = graph._node("Erf", [graph.binary(y, root, "div")], (1, 4), "")
    y = graph.binary(graph.binary(y, graph.binary(erf, one, "add"), "mul"), half, "mul")
    y = graph.linear(y, drawn(3, 4), activation="relu")
    graph.output("y", y)
    model = Model.read(graph.model("network"))
    fused = with_activations(with_gelu(with_silu(model)), ("Gemm",), ("Relu",))
    assert [node.op for node in fused.nodes] == ["Silu", "Gelu", "Gemm", "Identity"]
    assert fused.nodes[2].outputs == fused.nodes[3].inputs


def test_a_value_that_is_read_twice_is_not_fused():
    graph = Recorder()
    x = graph.linear(graph.input("x", (1, 4)), drawn(4, 4))
    graph.output("y", graph.binary(x, graph.activation(x, "relu"), "add"))
    model = Model.read(graph.model("network"))
    fused = with_activations(model, ("Gemm",), ("Relu",))
    assert [node.op for node in fused.nodes] == ["Gemm", "Relu", "Add", "Identity"]


def test_modules_are_exported():
    torch = pytest.importorskip("torch")
    from onebyone.bench.networks.interpret import Interpreter

    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding="same", activation="relu"), nn.Flatten(), nn.Linear(6 * 35, 4)
    )
    model = Model.read(onnx.load_from_string(export_onnx(module, (2, 3, 5, 7))))
    x = drawn(2, 3, 5, 7)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        y = Interpreter(model, memory_format)(torch.from_numpy(x))
        np.testing.assert_allclose(y.numpy(), module(x), rtol=1e-5, atol=1e-5)


def test_an_operation_that_is_not_recorded():
    class Odd(nn.Module):
        def lower(self, graph, x, name, layout):
            return graph.cumulate(x)

    with pytest.raises(TypeError, match="cumulate"):
        export_onnx(Odd(), (1, 3, 4, 4))


def dynamic_file(path, inputs=1):
    value = onnx.helper.make_tensor_value_info
    names = [f"x{i}" for i in range(inputs)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sum", names, ["y"])],
        "dynamic",
        [value(name, onnx.TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in names],
        [value("y", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=9), path)
    return str(path)


def test_open_sizes_are_fixed(tmp_path):
    path = dynamic_file(tmp_path / "dynamic.onnx")
    with build(f"{path}@2x3x4x5", ["onnx", "ncnn"]) as network:
        assert network.text == "dynamic.onnx@2x3x4x5" and network.macs == 0
        assert network.input().shape == network.expected().shape == (2, 3, 4, 5)
        with pytest.raises(RuntimeError, match="one image"):
            network.files("ncnn")
    with pytest.raises(BenchError, match="nx3xhxw"), build(path, ["onnx"]):
        pass


def test_shapes_that_only_a_run_knows(tmp_path):
    """A size computed from the pixels: shape inference gives the product's rank at most."""
    make, tensor = onnx.helper.make_node, onnx.helper.make_tensor
    graph = onnx.helper.make_graph(
        [
            make("ReduceMax", ["x"], ["most"], keepdims=0),
            make("Mul", ["most", "zero"], ["nothing"]),
            make("Cast", ["nothing"], ["index"], to=onnx.TensorProto.INT64),
            make("Add", ["index", "sizes"], ["shape"]),
            make("Reshape", ["x", "shape"], ["rows"]),
            make("MatMul", ["rows", "weight"], ["y"]),
        ],
        "data",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 4, 5])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [
            tensor("zero", onnx.TensorProto.FLOAT, [], [0.0]),
            tensor("sizes", onnx.TensorProto.INT64, [2], [12, 5]),
            tensor("weight", onnx.TensorProto.FLOAT, [5, 7], drawn(5, 7).ravel().tolist()),
        ],
    )
    path = tmp_path / "data.onnx"
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset]), path)
    with build(str(path), ["onnx"]) as network:
        assert network.macs == 12 * 5 * 7 and network.expected().shape == (12, 7)


def test_what_cannot_be_measured(tmp_path):
    two = dynamic_file(tmp_path / "two.onnx", 2)
    with pytest.raises(BenchError, match="2 inputs"), build(f"{two}@1x3x4x4", ["onnx"]):
        pass
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nonsense")
    with pytest.raises(BenchError, match=r"broken\.onnx"), build(str(broken), ["onnx"]):
        pass
    with pytest.raises(NetworkError, match="not known"):
        Model([], {}, {}, "x", "y").shape("x")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "resnet50"),
        ("missing.onnx", "no file"),
        ("resnet50@3x224x224", "@1x3x224x224"),
        ("resnet50@1x3x224", "@1x3x224x224"),
    ],
)
def test_wrong_names(text, word):
    with pytest.raises(BenchError, match=word):
        check_network(text)


def test_memory_is_watched():
    watch = Watch()
    if watch.growth() is None:
        pytest.skip("the system does not tell")
    held = np.ones(4 << 20)
    assert watch.growth() >= held.nbytes * 0.9
    del held
    watch.restart()
    assert watch.growth() < 16 << 20


def test_command(file, tmp_path):
    pytest.importorskip("rich")
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("r.json", "r.png", "r.md")]
    result = cli(
        *("bench", "--networks", file, "--against", "onnxruntime,torch", "--quick"),
        *("--json", files[0], "--plot", files[1], "--markdown", files[2]),
    )
    assert result.returncode == 0, result.stderr
    run = results.load_run(str(files[0]))
    assert run.layers[0].refused == {}
    assert run.engine_names() == ["ours", "onnxruntime", "torch NCHW", "torch NHWC"]
    assert run.layers[0].layer == "every.onnx" and run.layers[0].kind == "network"
    text = files[2].read_text("utf-8")
    assert text.startswith("# Measured networks") and "Memory in MB" in text
    assert text.splitlines() == list(markdown._lines(run))
    assert table.what(run.layers) == "network"


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--networks", "nonsense"), "resnet50"),
        (("--networks", "--layer", "1x3x4x4 -> 4 k1"), "--layer"),
        (("--networks", "--cold"), "--cold"),
        (("--networks", "--algorithm", "direct"), "--algorithm"),
    ],
    ids=str,
)
def test_wrong_arguments(args, word):
    assert word in refused(cli("bench", *args))
