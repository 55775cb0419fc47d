"""What a compiled network computes in one step: where it may, and equal to onnxruntime."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onebyone as ob
from onnx_helpers import check, helper, model, random_inputs

node = helper.make_node
F = np.float32


def steps(data, shapes):
    """The network's operations as text."""
    return repr(ob.compile(ob.onnx.load(data), shapes))


def gated(x, outputs, *, kernel=1, residual=False, gate=None, swap=False, reads=1):
    """Squeeze-and-excite (or a product with ``gate``, a shape) before a convolution."""
    rng = np.random.default_rng(1)
    channels = x[1]
    weight = rng.uniform(-1, 1, (outputs, channels, kernel, kernel)).astype(F)
    bias = rng.uniform(-1, 1, outputs).astype(F)
    excite = rng.uniform(-1, 1, (channels, channels, 1, 1)).astype(F)
    inputs, constants = {"x": x}, {"w": weight, "b": bias, "e": excite}
    nodes = []
    if gate is None:
        nodes += [
            node("GlobalAveragePool", ["x"], ["mean"]),
            node("Conv", ["mean", "e"], ["excited"]),
            node("Sigmoid", ["excited"], ["s"]),
        ]
    else:
        inputs["s"] = gate
    operands = ["s", "x"] if swap else ["x", "s"]
    pads = [kernel // 2] * 4
    nodes += [
        node("Mul", operands, ["p"]),
        node("Conv", ["p", "w", "b"], ["c"], pads=pads),
    ]
    outputs_read = ["y"]
    if residual:
        inputs["r"] = (x[0], outputs, *x[2:])
        nodes += [node("Add", ["r", "c"], ["sum"]), node("Relu", ["sum"], ["y"])]
    else:
        nodes += [node("Sigmoid", ["c"], ["y"])]
    if reads > 1:
        outputs_read.append("p")
    data = model(nodes, inputs, outputs_read, constants)
    return data, list(inputs.values())


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("x", "outputs"),
    [((1, 5, 4, 3), 7), ((3, 19, 7, 5), 33), ((2, 300, 9, 8), 17), ((1, 2, 1, 3), 1)],
)
def test_factors_of_channels_go_into_the_weights(x, outputs, swap, residual):
    data, shapes = gated(x, outputs, swap=swap, residual=residual)
    done = steps(data, shapes)
    assert "scaled conv" in done and "binary" not in done
    check(data, random_inputs(shapes))


@pytest.mark.parametrize(
    ("x", "outputs", "options"),
    [
        (
            (2, 5, 4, 3),
            12,
            {},
        ),  # as many outputs as pixels: the image is no larger than the weights
        ((2, 5, 4, 3), 3, {"kernel": 3}),
        ((2, 5, 4, 3), 3, {"reads": 2}),
        ((2, 5, 4, 3), 3, {"gate": (1, 5, 1, 1)}),
        ((2, 5, 4, 3), 3, {"gate": (2, 1, 4, 3)}),
        ((2, 5, 4, 3), 3, {"gate": (2, 5, 4, 1)}),
    ],
)
def test_other_products_stay(x, outputs, options):
    data, shapes = gated(x, outputs, **options)
    done = steps(data, shapes)
    assert "scaled conv" not in done and "binary" in done
    check(data, random_inputs(shapes))


def test_factors_that_lie_apart():
    """A gate cut from a wider one, and channels first."""
    nodes = [
        node("Slice", ["g", "start", "end", "axes"], ["cut"]),
        node("Transpose", ["cut"], ["s"], perm=[2, 1, 0, 3]),
        node("Mul", ["x", "s"], ["p"]),
        node("Conv", ["p", "w"], ["y"]),
    ]
    weight = np.random.default_rng(0).uniform(-1, 1, (3, 6, 1, 1)).astype(F)
    bounds = {"start": np.array([1]), "end": np.array([7]), "axes": np.array([1])}
    shapes = {"x": (2, 6, 5, 3), "g": (1, 9, 2, 1)}
    data = model(nodes, shapes, ["y"], {"w": weight, **bounds})
    assert "scaled conv" in steps(data, list(shapes.values()))
    check(data, random_inputs(shapes.values()))


def test_scaled_images_depend_on_nothing_else():
    """Neither on the batch around them nor on the threads."""
    data, shapes = gated((3, 24, 29, 11), 40, gate=(3, 24, 1, 1), residual=True)
    graph, inputs = ob.onnx.load(data), random_inputs(shapes)
    want = ob.compile(graph, shapes, num_threads=1)(*inputs)
    assert np.array_equal(ob.compile(graph, shapes, num_threads=3)(*inputs), want)
    # The model's batch is fixed; another model has one image.
    alone, single = gated((1, 24, 29, 11), 40, gate=(1, 24, 1, 1), residual=True)
    one = ob.compile(ob.onnx.load(alone), single)
    for i in range(3):
        assert np.array_equal(one(*(x[i : i + 1] for x in inputs)), want[i : i + 1])


def averaged(kernel=1, between=(), **pool):
    """A convolution, nodes of ``between`` that read and write "c", and a mean over windows."""
    rng = np.random.default_rng(2)
    weight = rng.uniform(-1, 1, (7, 5, kernel, kernel)).astype(F)
    bias = rng.uniform(-1, 1, 7).astype(F)
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], **pool}
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[kernel // 2] * 4),
        *[node(op, ["c"], ["d"]) for op in between],
        node("AveragePool", ["d" if between else "c"], ["p"], name="mean", **pool),
        node("Relu", ["p"], ["y"]),
    ]
    return model(nodes, {"x": (2, 5, 9, 7)}, ["y"], {"w": weight, "b": bias}, opset=19)


def means_come_first(data):
    lines = steps(data, [(2, 5, 9, 7)]).splitlines()
    at = {
        name: i
        for i, line in enumerate(lines)
        for name in ("mean", "conv")
        if line.startswith(name)
    }
    return at["mean"] < at["conv"]


@pytest.mark.parametrize(
    "pool",
    [
        {},
        {"ceil_mode": 1},
        {"kernel_shape": [3, 1]},
        {"kernel_shape": [9, 7]},
    ],
)
def test_means_are_taken_before_a_pointwise_convolution(pool):
    data = averaged(**pool)
    assert means_come_first(data)
    check(data, random_inputs([(2, 5, 9, 7)]))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 3},
        {"between": ["Relu"]},
        {"pads": [1, 1, 1, 1], "count_include_pad": 1},
        {"pads": [1, 1, 1, 1]},
        {"strides": [1, 1]},
    ],
)
def test_other_means_are_taken_after(options):
    data = averaged(**options)
    assert not means_come_first(data)
    check(data, random_inputs([(2, 5, 9, 7)]))


def normalised(x, outputs, *, scale=True, activation="Relu", reads=1, layout=(0, 1, 2, 3)):
    """A normalisation and an activation of an image that is an output too, before a convolution."""
    rng = np.random.default_rng(4)
    weight = rng.uniform(-1, 1, (outputs, x[1], 1, 1)).astype(F)
    constants = {"w": weight, "b": rng.uniform(-1, 1, outputs).astype(F)}
    nodes = [node("Transpose", ["x"], ["image"], perm=layout)]
    if scale:
        statistics = {name: rng.uniform(0.5, 1, x[1]).astype(F) for name in "gsmv"}
        constants.update(statistics)
        nodes.append(node("BatchNormalization", ["image", "g", "s", "m", "v"], ["n"]))
    nodes += [
        node(activation, ["n" if scale else "image"], ["a"]),
        node("Conv", ["a", "w", "b"], ["c"], name="conv"),
        node("Relu", ["c"], ["y"]),
    ]
    given = tuple(x[axis] for axis in np.argsort(layout))
    return model(nodes, {"x": given}, ["y", "image", *["a"] * (reads - 1)], constants), [given]


LARGE = (1, 41, 83, 79)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 3, 1, 2)])
@pytest.mark.parametrize("x", [LARGE, (3, *LARGE[1:])])
def test_what_a_pointwise_convolution_reads_is_scaled_in_its_step(x, layout, activation, scale):
    data, shapes = normalised(x, 23, scale=scale, activation=activation, layout=layout)
    done = steps(data, shapes)
    assert f"pixels; {'scale_shift and ' if scale else ''}activation; conv" in done
    check(data, random_inputs(shapes))


@pytest.mark.parametrize(
    ("x", "options"),
    [(LARGE, {"reads": 2}), ((1, 41, 8, 7), {}), ((1, 41, 8, 7), {"scale": False})],
)
def test_other_scales_are_steps(x, options):
    data, shapes = normalised(x, 23, **options)
    done = steps(data, shapes)
    assert "chain" not in done and ("scale_shift" in done or "activation" in done)
    check(data, random_inputs(shapes))


def test_scaled_images_are_not_kept():
    """No image of the network's own is as large as the one that is scaled."""
    data, shapes = normalised(LARGE, 23, layout=(0, 3, 1, 2))
    memory = ob.compile(ob.onnx.load(data), shapes, num_threads=1).memory
    assert max(memory["activations"], memory["workspace"]) < 0.6 * 4 * np.prod(LARGE)


def test_scaled_pixels_depend_on_nothing_else():
    """Neither on the batch around them nor on the threads."""
    data, shapes = normalised((3, *LARGE[1:]), 23)
    graph, inputs = ob.onnx.load(data), random_inputs(shapes)
    want = ob.compile(graph, shapes, num_threads=1)(*inputs)[0]
    assert np.array_equal(ob.compile(graph, shapes, num_threads=3)(*inputs)[0], want)
    one = ob.compile(ob.onnx.load(normalised(LARGE, 23)[0]), [LARGE])
    for i in range(3):
        assert np.array_equal(one(inputs[0][i : i + 1])[0], want[i : i + 1])


def resized(x, size, *, reads=1, mode="linear"):
    """A convolution, its output resized to ``size``; the caller gets channels first."""
    weight = np.random.default_rng(1).uniform(-1, 1, (7, x[1], 1, 1)).astype(F)
    sizes = np.array([x[0], 7, *size], np.int64)
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Resize", ["c", "", "", "sizes"], ["y"], mode=mode),
        node("Sigmoid", ["y"], ["z"]),
    ]
    outputs = ["y", "z"][:reads]
    return model(nodes[: 1 + reads], {"x": x}, outputs, {"w": weight, "sizes": sizes}), [x]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    ("x", "size", "reads", "in_order"),
    [
        ((2, 3, 9, 17), (31, 130), 1, True),
        ((1, 3, 1, 1), (3, 128), 1, True),
        ((1, 3, 9, 64), (4, 128), 1, False),  # smaller than what it is made of
        ((1, 3, 9, 17), (31, 127), 1, False),  # short rows
        ((2, 3, 9, 17), (31, 130), 2, False),  # others read it
    ],
)
def test_outputs_are_resized_in_their_order(x, size, reads, in_order, mode):
    """What is resized is copied into the order of the output, instead of the output."""
    data, shapes = resized(x, size, reads=reads, mode=mode)
    done = steps(data, shapes)
    assert (": resize" in done.rstrip().splitlines()[-1]) == in_order, done
    check(data, random_inputs(shapes))


@pytest.mark.parametrize(
    ("dilation", "stride", "chained"), [(1, 1, True), (10, 1, True), (11, 2, False), (14, 1, False)]
)
def test_depthwise_windows_of_most_of_the_image_are_not_chained(dilation, stride, chained):
    channels, x = 128, (1, 5, 46, 47)
    rng = np.random.default_rng(1)
    constants = {
        "e": rng.uniform(-1, 1, (channels, x[1], 1, 1)).astype(F),
        "w": rng.uniform(-1, 1, (channels, 1, 3, 3)).astype(F),
    }
    options = {"dilations": [dilation] * 2, "pads": [dilation] * 4, "strides": [stride] * 2}
    nodes = [
        node("Conv", ["x", "e"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "w"], ["y"], group=channels, **options),
    ]
    data, shapes = model(nodes, {"x": x}, ["y"], constants), [x]
    assert x[2] * x[3] * channels * 4 > 2**20
    done = steps(data, shapes)
    assert ("chain" in done) == chained, done
    check(data, random_inputs(shapes))


@pytest.mark.parametrize(("groups", "channels"), [(2, 6), (3, 5), (5, 2), (16, 3)])
def test_shuffled_channels_stay_last(groups, channels):
    """A shuffle is one copy, whose parts convolutions read in place."""
    x, total = (2, 4, 5, 7), groups * channels
    rng = np.random.default_rng(1)
    constants = {
        "e": rng.uniform(-1, 1, (total, x[1], 1, 1)).astype(F),
        "w": rng.uniform(-1, 1, (3, total // 2, 1, 1)).astype(F),
        "v": rng.uniform(-1, 1, (3, total - total // 2, 1, 1)).astype(F),
        "apart": np.array([x[0], groups, channels, *x[2:]], np.int64),
        "together": np.array([x[0], total, *x[2:]], np.int64),
        "begin": np.array([0], np.int64),
        "half": np.array([total // 2], np.int64),
        "end": np.array([total], np.int64),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        node("Conv", ["x", "e"], ["c"]),
        node("Reshape", ["c", "apart"], ["g"]),
        node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t", "together"], ["s"]),
        node("Slice", ["s", "begin", "half", "axis"], ["a"]),
        node("Slice", ["s", "half", "end", "axis"], ["b"]),
        node("Conv", ["a", "w"], ["p"]),
        node("Conv", ["b", "v"], ["q"]),
        node("Add", ["p", "q"], ["sum"]),
        node("GlobalAveragePool", ["sum"], ["y"]),
    ]
    data, shapes = model(nodes, {"x": x}, ["y"], constants), [x]
    done = steps(data, shapes)
    assert done.count(": copy") == 2, done  # and the input
    check(data, random_inputs(shapes))


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
def test_pixels_from_channels_stay_channels_last(mode):
    """Depth to space is one copy, which the next convolution reads in place."""
    x, channels = (2, 4, 5, 7), 9
    rng = np.random.default_rng(1)
    constants = {
        "e": rng.uniform(-1, 1, (channels * 4, x[1], 1, 1)).astype(F),
        "w": rng.uniform(-1, 1, (3, channels, 3, 3)).astype(F),
    }
    nodes = [
        node("Conv", ["x", "e"], ["c"]),
        node("DepthToSpace", ["c"], ["s"], blocksize=2, mode=mode),
        node("Relu", ["s"], ["r"]),
        node("Conv", ["r", "w"], ["z"]),
        node("GlobalAveragePool", ["z"], ["y"]),
    ]
    data, shapes = model(nodes, {"x": x}, ["y"], constants), [x]
    done = steps(data, shapes)
    assert done.count(": copy") == 2, done  # and the input
    check(data, random_inputs(shapes))


def test_mish_is_one_step():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Softplus", ["c"], ["p"]),
        node("Tanh", ["p"], ["t"]),
        node("Mul", ["c", "t"], ["m"]),
        node("GlobalAveragePool", ["m"], ["y"]),
    ]
    w = np.random.default_rng(1).uniform(-9, 9, (9, 4, 1, 1)).astype(F)
    data, shapes = model(nodes, {"x": (2, 4, 5, 7)}, ["y"], {"w": w}), [(2, 4, 5, 7)]
    done = steps(data, shapes)
    assert done.count("unary") == 1, done
    assert "binary" not in done, done
    check(data, random_inputs(shapes))
