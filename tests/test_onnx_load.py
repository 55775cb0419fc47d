"""ONNX files: what load says of a model, what it refuses, and that hostile files do no harm."""

import contextlib
import os
import random
import time

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onebyone as ob
import onnx
from helpers import run_python
from onnx_helpers import (
    TensorProto,
    check,
    helper,
    model,
    node_model,
    random_inputs,
    run_onnxruntime,
)

node = helper.make_node
F = np.float32


def small():
    weight = np.random.default_rng(0).random((4, 3, 3, 3)).astype(F)
    nodes = [
        node("Conv", ["x", "w"], ["c"], name="first", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["y"], name="last"),
    ]
    return model(nodes, {"x": ["batch", 3, None, 8]}, ["y"], {"w": weight})


def refused(data, *words):
    with pytest.raises(ValueError) as error:
        ob.onnx.load(data)
    for word in words:
        assert word in str(error.value)
    return str(error.value)


def test_describes_the_model():
    graph = ob.onnx.load(small())
    (x,), (y,) = graph.inputs, graph.outputs
    assert x == ("x", ("batch", 3, None, 8), "float32")
    assert (y.name, y.dtype, graph.dtype, graph.opset) == ("y", "float32", "float32", 13)
    assert "x (batch, 3, ?, 8)" in repr(graph)


def test_summary():
    graph = ob.onnx.load(small())
    text = graph.summary()
    assert "first (Conv)" in text and "Total params: 108" in text and "?" in text
    text = graph.summary([(2, 3, 5, 8)])
    assert "(2, 4, 5, 8)" in text and f"Multiply-adds: {2 * 4 * 5 * 8 * 27:,}" in text
    with pytest.raises(ValueError, match="x"):
        graph.summary([(2, 4, 5, 8)])
    data, _ = node_model("Gemm", [("n", 5), np.ones((5, 7), F)])
    assert "(1, 7)" in ob.onnx.load(data).summary()


def test_paths_and_bytes(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small())
    for source in (path, str(path), small(), bytearray(small()), memoryview(small())):
        assert ob.onnx.load(source).inputs[0].name == "x"
    with pytest.raises(TypeError, match="path"):
        ob.onnx.load(3)
    with pytest.raises(FileNotFoundError):
        ob.onnx.load(tmp_path / "missing.onnx")
    with pytest.raises(OSError):
        ob.onnx.load(tmp_path)


def big():
    """A model whose weights are large enough to be left in its file."""
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(-0.05, 0.05, (64, 64, 3, 3)).astype(F) for name in "vw"}
    nodes = [
        node("Conv", ["x", "v"], ["c"], pads=[1, 1, 1, 1]),
        node("Conv", ["c", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    return model(nodes, {"x": [1, 64, "h", "w_"]}, ["y"], weights)


def test_weights_stay_in_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(big())
    graph = ob.onnx.load(path)
    assert len(graph._file.message) < 1000 and all(graph._file.regions)
    net = ob.compile(graph, (1, 64, 9, 9))
    for size in (9, 7):  # the second is compiled from what was forgotten
        (x,) = random_inputs([(1, 64, size, size)])
        (want,) = run_onnxruntime(big(), [x])
        for got in (net(x), ob.compile(ob.onnx.load(big()), x.shape)(x)):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def test_files_that_change(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(big())
    net = ob.compile(ob.onnx.load(path), (1, 64, 9, 9))
    (x,) = random_inputs([(1, 64, 9, 9)])
    want = net(x)
    path.write_bytes(b"")
    np.testing.assert_array_equal(net(x), want)
    with pytest.raises(ValueError, match=r"model.onnx.*has changed"):
        net(np.ones((1, 64, 5, 5), F))


def test_weights_of_two_graphs():
    """Fields of a message that is given twice add up, for protobuf."""
    proto, rest = onnx.ModelProto.FromString(big()), onnx.ModelProto()
    rest.graph.initializer.append(proto.graph.initializer.pop())
    data = proto.SerializeToString() + rest.SerializeToString()
    (x,) = random_inputs([(1, 64, 5, 5)])
    (want,) = run_onnxruntime(big(), [x])
    got = ob.compile(ob.onnx.load(data), x.shape)(x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def test_names_everything_unsupported_at_once():
    crop = "tf_crop_and_resize"
    nodes = [
        node("NonMaxSuppression", ["x", "x"], ["a"], name="nms"),
        node("NonMaxSuppression", ["a", "x"], ["b"], name="nms2"),
        node("Fancy", ["b"], ["c"], name="own", domain="com.example"),
        node("Relu", ["c"], ["d"], name="odd", slope=0.5),
        node("MaxPool", ["d"], ["e"], name="cube", kernel_shape=[2, 2, 2]),
        node(
            "Resize",
            ["e", "", "s"],
            ["f"],
            name="crop",
            coordinate_transformation_mode=crop,
        ),
        node("Conv", ["f", "x"], ["g"], name="dynamic"),
        node("Cast", ["g"], ["h"], name="half", to=TensorProto.FLOAT16),
        node("Where", ["h", "h", "h"], ["i"], name="mask"),
        node("Add", ["i", "n"], ["y"], name="mixed"),
    ]
    constants = {"s": np.ones(4, F), "n": np.ones(4, np.float64)}
    text = refused(
        model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants),
        "NonMaxSuppression: node 'nms', 'nms2'",
        "Fancy of com.example: node 'own'",
        "attribute 'slope' (opset 13): node 'odd'",
        "3 spatial dimensions",
        "'cube'",
        "tf_crop_and_resize",
        "'crop'",
        "Conv with input 1 that depends on the network's input: node 'dynamic'",
        "conversion to float16: node 'half'",
        "Where with inputs that depend",
        "input 1 of float64 (the network is float32): node 'mixed'",
    )
    assert "Gather" not in text


def test_what_nothing_uses_need_not_be_supported():
    nodes = [node("Relu", ["x"], ["y"]), node("TopK", ["x", "k"], ["v", "i"])]
    data = model(nodes, {"x": [2, 3]}, ["y"], {"k": np.array([1])})
    assert ob.onnx.load(data).outputs[0].name == "y"


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "word"),
    [
        ("MaxPool", [(1, 2, 5, 5)], {"kernel_shape": [2, 2], "outputs": 2}, "output 1"),
        (
            "BatchNormalization",
            [(1, 2)] + [np.ones(2, F)] * 4,
            {"opset": 14, "training_mode": 1},
            "training",
        ),
        ("Dropout", [(2,), np.array(0.5, F), np.array(True)], {}, "training"),
        ("Resize", [(1, 1, 2, 2), None, np.ones(4, F)], {"opset": 18, "antialias": 1}, "antialias"),
        ("Pad", [(2, 2), np.zeros(4, np.int64)], {"opset": 19, "mode": "wrap"}, "wrap"),
        (
            "AveragePool",
            [(1, 1, 5, 5)],
            {"opset": 19, "kernel_shape": [2, 2], "dilations": [2, 2]},
            "dilations",
        ),
        ("Clip", [(2,)], {"min": 0.0}, "'min' (opset 13)"),
        ("Squeeze", [(2, 1)], {"axes": [1]}, "'axes' (opset 13)"),
        ("Relu", [(2,)], {"opset": 6}, "opset 6"),
        ("Relu", [(2,)], {"opset": 99}, "opset 99"),
    ],
    ids=str,
)
def test_unsupported_forms(op, operands, attributes, word):
    refused(node_model(op, operands, **attributes)[0], word)


@pytest.mark.parametrize(
    "dtype", [np.int64, np.float16, np.uint8, np.bool_], ids=lambda dtype: dtype.__name__
)
def test_unsupported_input_types(dtype):
    refused(node_model("Relu", [(2,)], dtype=dtype)[0], "input 'x0'", np.dtype(dtype).name)


def test_unsupported_tensor_types():
    proto = onnx.ModelProto.FromString(small())
    proto.graph.initializer[0].data_type = TensorProto.BFLOAT16
    refused(proto.SerializeToString(), "bfloat16", "'w'")


@pytest.mark.parametrize(
    ("nodes", "word"),
    [
        ([node("Relu", ["nowhere"], ["y"])], "nowhere"),
        ([node("Relu", ["z"], ["y"]), node("Relu", ["x"], ["z"])], "'z'"),
        ([node("Relu", ["y"], ["y"])], "'y'"),
        (
            [
                node("Relu", ["x"], ["a"]),
                node("Add", ["a", "x"], ["a"]),
                node("Relu", ["a"], ["y"]),
            ],
            "'a'",
        ),
        ([node("Relu", ["x"], ["x"]), node("Relu", ["x"], ["y"])], "'x'"),
        ([node("Relu", ["x"], ["z"])], "output 'y'"),
        ([node("Identity", ["y"], ["a"]), node("Identity", ["a"], ["y"])], "'y'"),
        ([node("Identity", ["x"], ["x"]), node("Relu", ["x"], ["y"])], "'x'"),
        ([*[node("Identity", ["x"], ["a"])] * 2, node("Relu", ["a"], ["y"])], "'a'"),
        ([node("Identity", ["x", "x"], ["a"]), node("Relu", ["a"], ["y"])], "2 inputs"),
        ([node("Add", ["x"], ["y"])], "lacks input 1"),
        ([node("Add", ["x", ""], ["y"])], "lacks input 1"),
        ([node("Relu", ["x", "x"], ["y"])], "2 inputs"),
        ([node("Concat", [], ["y"], axis=0)], "lacks input 0"),
        ([node("Concat", ["x"], ["y"])], "axis"),
        ([node("Relu", ["x"], ["a", "y"])], "outputs"),
        ([node("LeakyRelu", ["x"], ["y"], alpha=1)], "alpha"),
        ([node("LeakyRelu", ["x"], ["y"], alpha=float("nan"))], "alpha"),
        ([node("MaxPool", ["x"], ["y"])], "kernel_shape"),
        ([node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[1])], "strides"),
        ([node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[0, 1])], "strides"),
        ([node("Conv", ["x", "x"], ["y"], auto_pad="BAD")], "BAD"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1].op_type,
)
def test_graphs_at_odds_with_themselves(nodes, word):
    data = model(nodes, {"x": [1, 2, 3, 4]}, ["y"])
    with pytest.raises(ValueError, match=word):
        # Some errors need shapes.
        ob.compile(ob.onnx.load(data), (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        ("Conv", [(1, 3, 5, 5), np.ones((4, 2, 3, 3), F)], {}),
        ("Conv", [(1, 3, 5, 5), np.ones((4, 3, 3, 3), F)], {"kernel_shape": [5, 5]}),
        ("Conv", [(1, 3, 5), np.ones((4, 3, 3, 3), F)], {}),
        ("Conv", [(1, 3, 5, 5), np.ones((4, 3, 7, 7), F)], {}),
        ("Conv", [(1, 3, 5, 5), np.ones((4, 3, 3, 3), F), np.ones(3, F)], {}),
        ("Conv", [(1, 3, 5, 5), np.ones((4, 3, 3, 3), F)], {"group": 0}),
        ("Conv", [(1, 3, 5, 5), np.ones((4, 3, 3, 3), F)], {"group": -3}),
        ("Gemm", [(2, 3), np.ones((4, 5), F)], {}),
        ("MatMul", [(2, 3), (4, 5)], {}),
        ("Add", [(2, 3), (4,)], {}),
        ("Reshape", [(2, 3), np.array([4, -1])], {}),
        ("Reshape", [(2, 3), np.array([-1, -1])], {}),
        ("Reshape", [(2, 3), np.array([2**62, 2**62])], {}),
        ("Expand", [(2, 3), np.array([5, 3])], {}),
        ("Expand", [(1, 3), np.array([2**40, 1])], {}),
        ("Expand", [(1, 1, 1), np.array([2**62, 2**62, 8])], {}),
        ("Tile", [(2, 3), np.array([2**31, 2**31])], {}),
        ("Pad", [(2, 3), np.array([2**40, 0, 0, 0])], {}),
        ("Pad", [(2, 3), np.array([-5, 0, 0, 0])], {}),
        ("Pad", [(2, 3), np.array([2**62, 2**62, 2**62, 2**62])], {}),
        ("Pad", [(2, 3), np.array([2, 0, 0, 0])], {"mode": "reflect"}),
        ("Resize", [(1, 1, 2, 2), None, np.array([1, 1, 1e9, 1e9], F)], {}),
        ("Resize", [(1, 1, 2, 2), None, np.array([1, 1, 0, 1], F)], {}),
        ("Resize", [(1, 1, 2, 2), None, np.array([1, 1, np.nan, 1], F)], {}),
        ("Resize", [(1, 1, 2, 2), None, np.array([1, 2, 2, 2], F)], {}),
        ("Resize", [(1, 1, 2, 2)], {}),
        ("Transpose", [(2, 3)], {"perm": [0, 0]}),
        ("Transpose", [(2, 3)], {"perm": [0, 1, 2]}),
        ("Concat", [(2, 3), (3, 3)], {"axis": 1}),
        ("Concat", [(2, 3)], {"axis": 2}),
        ("Split", [(5, 2), np.array([2, 2])], {"outputs": 2}),
        ("Slice", [(5,), np.array([0]), np.array([1]), np.array([3])], {}),
        ("Slice", [(5,), np.array([0]), np.array([1]), np.array([0]), np.array([0])], {}),
        ("Gather", [(5,), np.array([5])], {}),
        ("Gather", [(5,), np.array([-6])], {}),
        ("MaxPool", [(1, 1, 5, 5)], {"kernel_shape": [2**40, 2**40]}),
        ("MaxPool", [(1, 1, 5, 5)], {"kernel_shape": [2, 2], "pads": [2**40] * 4}),
        ("MaxPool", [(1, 1, 5, 5)], {"kernel_shape": [0, 2]}),
        ("MaxPool", [(1, 1, 5, 5)], {"kernel_shape": [2, 2], "pads": [5, 5, 5, 5]}),
        ("AveragePool", [(5, 5)], {"kernel_shape": [2, 2]}),
        ("Softmax", [(2, 3)], {"axis": 7}),
        ("ReduceSum", [(2, 3), np.array([5])], {}),
        ("BatchNormalization", [(1, 3), *[np.ones(2, F)] * 4], {}),
        ("DepthToSpace", [(1, 3, 2, 2)], {"blocksize": 2}),
        ("DepthToSpace", [(1, 4, 2, 2)], {"blocksize": 0}),
        ("LRN", [(1, 3, 2, 2)], {"size": 0}),
        ("Squeeze", [(2, 3), np.array([0])], {}),
        ("Unsqueeze", [(2, 3), np.array([0, 0])], {}),
        ("Flatten", [(2, 3)], {"axis": 5}),
        ("PRelu", [(2, 3), np.ones(4, F)], {}),
        ("LayerNormalization", [(2, 3), np.ones(4, F)], {"opset": 17}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nodes_that_cannot_take_what_they_get(op, operands, attributes):
    with pytest.raises(ValueError, match="node"):
        data, shapes = node_model(op, operands, **attributes)
        ob.compile(ob.onnx.load(data), shapes)


def test_truncated_and_damaged_files():
    """Any prefix, and any few flipped bytes, give a graph or a ValueError."""
    data, generator = small(), random.Random(0)
    for length in range(0, len(data), 7):
        try_to_load(data[:length])
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try_to_load(bytes(damaged))
    refused(b"", "ONNX")
    refused(b"Dear reader, this is a letter.", "ONNX")
    refused(bytes(1000), "ONNX")


def try_to_load(data):
    with contextlib.suppress(ValueError):
        ob.compile(ob.onnx.load(data), (1, 3, 8, 8))


def test_bombs():
    """Constants that are computed may not fill the memory: a few bytes ask for terabytes."""

    def bomb(*nodes, **constants):
        tail = node("Mul", ["x", "b"], ["y"])
        started = time.monotonic()
        text = refused(model([*nodes, tail], {"x": [1]}, ["y"], constants), "limit", "Expand")
        assert time.monotonic() - started < 5
        return text

    huge = np.array([2**20, 2**20, 2**10])
    one = np.ones((1, 1, 1), F)
    bomb(node("Expand", ["one", "huge"], ["b"]), one=one, huge=huge)
    doubling = [
        node("Concat", [f"d{i}"] * 8, [f"d{i + 1}"], axis=0, name="Expand") for i in range(12)
    ]
    bomb(*doubling, node("Neg", ["d12"], ["b"]), d0=np.ones(4, F))
    for op in ("ConstantOfShape", "Tile", "Pad"):
        nodes = {
            "ConstantOfShape": node("ConstantOfShape", ["huge"], ["b"], name="Expand"),
            "Tile": node("Tile", ["one", "huge"], ["b"], name="Expand"),
            "Pad": node("Pad", ["one", "pads"], ["b"], name="Expand"),
        }
        pads = np.array([2**20, 2**20, 2**10, 0, 0, 0])
        bomb(nodes[op], one=one, huge=huge, pads=pads)
    bomb(
        node("Range", ["zero", "many", "step"], ["r"], name="Expand"),
        node("Cast", ["r"], ["b"], to=1),
        zero=np.array(0),
        many=np.array(2**60),
        step=np.array(1),
    )
    column, row = np.ones((2**18, 1), F), np.ones((1, 2**18), F)
    bomb(node("Add", ["column", "row"], ["b"], name="Expand"), column=column, row=row)


def test_tensors_at_odds_with_their_data():
    for change in (
        lambda t: t.dims.append(2**40),
        lambda t: t.dims.append(0),
        lambda t: t.dims.__setitem__(0, -4),
        lambda t: setattr(t, "raw_data", t.raw_data[:-1]),
        lambda t: setattr(t, "data_type", TensorProto.DOUBLE),
        lambda t: t.ClearField("raw_data"),
        lambda t: setattr(t, "data_type", 0),
        lambda t: setattr(t, "data_type", 77),
    ):
        proto = onnx.ModelProto.FromString(small())
        change(proto.graph.initializer[0])
        refused(proto.SerializeToString(), "'w'")


def test_tensor_fields():
    """Elements in typed fields instead of bytes, of every type."""
    for dtype in (
        "float32",
        "float64",
        "float16",
        "int8",
        "uint8",
        "int32",
        "int64",
        "uint64",
        "bool",
    ):
        values = np.array([1, 0, 3, 1]).astype(dtype)
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        data = values.astype(np.float32 if dtype == "float16" else dtype).tolist()
        tensor = helper.make_tensor("t", kind, [4], data)
        assert not tensor.raw_data
        nodes = [
            node("Constant", [], ["t"], value=tensor),
            node("Cast", ["t"], ["f"], to=1),
            node("Mul", ["x", "f"], ["y"]),
        ]
        loaded = ob.compile(ob.onnx.load(model(nodes, {"x": [1]}, ["y"])), (1,))
        assert loaded(np.ones(1, F)).tolist() == values.astype(F).tolist()


class TestExternalData:
    @staticmethod
    def save(folder, **entries):
        """A model whose weight lies in another file, with those entries changed."""
        proto = onnx.ModelProto.FromString(small())
        (tensor,) = proto.graph.initializer
        raw = tensor.raw_data
        (folder / "weights.bin").write_bytes(b"padding!" + raw)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        given = {"location": "weights.bin", "offset": "8", "length": str(len(raw))} | entries
        for key, value in given.items():
            if value is not None:
                tensor.external_data.add(key=key, value=value)
        path = folder / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    def test_is_read(self, tmp_path, monkeypatch):
        self.save(tmp_path)
        (x,) = random_inputs([(1, 3, 5, 8)])
        (want,) = run_onnxruntime(small(), [x])
        monkeypatch.chdir(tmp_path)
        for path in (tmp_path / "model.onnx", "model.onnx", os.path.join(".", "model.onnx")):
            net = ob.compile(ob.onnx.load(path), x.shape)
            np.testing.assert_allclose(net(x), want, rtol=1e-5, atol=1e-6)

    def test_needs_a_path(self, tmp_path):
        refused(self.save(tmp_path).read_bytes(), "'w'", "path")

    @pytest.mark.parametrize(
        "entries",
        [
            {"location": "../weights.bin"},
            {"location": "sub/../../weights.bin"},
            {"location": "..\\weights.bin"},
            {"location": "/etc/passwd"},
            {"location": ""},
            {"location": "."},
            {"location": "a\0b"},
            {"location": None},
            {"location": "missing.bin"},
            {"offset": "9"},
            {"offset": "-8"},
            {"offset": "1e3"},
            {"offset": "9" * 5000},
            {"offset": str(2**62)},
            {"length": "433"},
            {"length": str(2**60)},
            {"length": "-1"},
        ],
        ids=lambda entries: str(entries)[:40],
    )
    def test_stays_inside_the_file_and_folder(self, tmp_path, entries):
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "weights.bin").write_bytes(bytes(1000))
        refused(self.save(folder, **entries), "'w'")

    def test_links(self, tmp_path):
        folder = tmp_path / "model"
        folder.mkdir()
        path = self.save(folder, location="link.bin")
        (folder / "link.bin").symlink_to("weights.bin")
        assert ob.onnx.load(path).inputs
        (folder / "link.bin").unlink()
        (tmp_path / "outside.bin").write_bytes((folder / "weights.bin").read_bytes())
        (folder / "link.bin").symlink_to("../outside.bin")
        refused(path, "'w'", "link")
        path = self.save(folder, location="sub/outside.bin")
        (folder / "sub").symlink_to(tmp_path)
        refused(path, "'w'", "link")

    def test_no_pipes_and_devices(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        refused(self.save(tmp_path, location="pipe"), "'w'", "regular")
        with pytest.raises(OSError, match="regular"):
            ob.onnx.load(tmp_path / "pipe")
        with pytest.raises(OSError, match="regular"):
            ob.onnx.load("/dev/zero")

    def test_overlapping_regions(self, tmp_path):
        """Tensors may share a region; others may not add up to more than the file."""
        count, size = 64, 1000
        (tmp_path / "weights.bin").write_bytes(bytes(4 * (size + count)))

        def load(step):
            proto = onnx.ModelProto.FromString(small())
            del proto.graph.initializer[:], proto.graph.node[:]
            names = []
            for i in range(count):
                tensor = proto.graph.initializer.add(name=f"w{i}", data_type=1, dims=[size])
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="weights.bin")
                tensor.external_data.add(key="offset", value=str(4 * step * i))
                names.append(tensor.name)
            proto.graph.node.append(node("Sum", names, ["y"]))
            path = tmp_path / "model.onnx"
            path.write_bytes(proto.SerializeToString())
            return ob.onnx.load(path)

        assert load(0).outputs
        with pytest.raises(ValueError, match="overlap"):
            load(1)


def test_deep_and_wide_graphs():
    """Ten thousand nodes, one after another and side by side."""
    nodes = [node("Relu", [f"a{i}"], [f"a{i + 1}"]) for i in range(10_000)]
    graph = ob.onnx.load(model(nodes, {"a0": [1]}, ["a10000"]))
    assert "10000 operations" in repr(graph)
    nodes = [node("Mul", [f"a{i}", f"a{i}"], [f"a{i + 1}"]) for i in range(3000)]
    assert ob.onnx.load(model(nodes, {"a0": [1]}, ["a3000"]))


def test_nested_messages():
    """Protobuf's own limit on nesting holds."""

    def field(number, payload):
        """A message inside of another, as protobuf writes it."""
        size, length = len(payload), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    graph = b""
    for _ in range(2000):  # graph -> node 1 -> attribute 5 -> graph 6
        graph = field(1, field(5, field(6, graph)))
    refused(field(7, graph), "parsed")


def test_without_the_package():
    code = """
import sys
sys.modules["onnx"] = None
import onebyone as ob
try:
    ob.onnx.load(b"")
except ImportError as error:
    print(error)
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert "onebyone[onnx]" in result.stdout


def test_initializers_that_are_inputs_too():
    """As files of before 2019 list them."""
    proto = onnx.ModelProto.FromString(small())
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [4, 3, 3, 3]))
    data = proto.SerializeToString()
    assert [value.name for value in ob.onnx.load(data).inputs] == ["x"]
    check(
        data,
        random_inputs([(1, 3, 5, 8)]),
        want=run_onnxruntime(small(), random_inputs([(1, 3, 5, 8)])),
    )


def test_fixed_sizes_are_checked():
    graph = ob.onnx.load(small())
    for shape in [(1, 4, 8, 8), (1, 3, 8, 9), (3, 8, 8), (1, 1, 3, 8, 8)]:
        with pytest.raises(ValueError, match="input 'x'"):
            ob.compile(graph, shape)
    with pytest.raises(ValueError, match="1 inputs, not 2"):
        ob.compile(graph, [(1, 3, 8, 8), (1, 3, 8, 8)])
