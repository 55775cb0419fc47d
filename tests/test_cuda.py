"""conv2d and Conv2dPlan on GPU arrays, over the CUDA library compiled for the host."""

import sys

import numpy as np
import onebyone as ob
import pytest
import torch
from gpu_arrays import (
    GpuArray,
    InterfaceArray,
    OldGpuArray,
    Stream,
    fake_cupy,
    fake_torch,
    on_host,
)
from helpers import Case, case_tensors, check_tensor

pytestmark = pytest.mark.usefixtures("emulated")

CASES = [
    Case(5, 7, (6, 5)),
    Case(32, 24, (9, 7), batch=2, residual=True, activation="relu"),
    Case(8, 16, (7, 9), (3, 3), padding=1, activation="silu"),
    Case(3, 5, (11, 8), (3, 5), (2, 1), ((2, 0), (1, 3)), activation=("clip", -0.5, 0.75)),
    Case(6, 4, (9, 9), (3, 2), padding="same", dilation=(2, 1), groups=2, bias=False),
    Case(10, 10, (8, 6), (3, 3), 2, 1, groups=10, activation=("leaky_relu", 0.2)),
    Case(4, 6, (5, 5), (5, 5), batch=3, residual=True, bias=False),
]


@pytest.fixture
def torch_module(monkeypatch):
    module = fake_torch()
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.fixture
def cupy_module(monkeypatch):
    module = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def gpu(a, cls=GpuArray, **options):
    return None if a is None else cls(a, **options)


def check(y, want, dtype, k=40):
    got = on_host(y)
    assert got.is_contiguous()
    check_tensor(got, want, dtype, k)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results(case, layout, gpu_dtype):
    x, w, b, r, want = case_tensors(case, layout, gpu_dtype)
    options = {"activation": case.activation, "layout": layout}
    y = ob.conv2d(gpu(x), gpu(w), gpu(b), **case.geometry, **options, residual=gpu(r))
    assert type(y) is ob.cuda.Array
    check(y, want, gpu_dtype, case.k)
    plan = ob.Conv2dPlan(
        gpu(w), gpu(b), **case.geometry, **options, input_shape=x.shape, residual=r is not None
    )
    check(plan(gpu(x), gpu(r)), want, gpu_dtype, case.k)
    out = torch.full(want.shape, torch.nan, dtype=gpu_dtype)
    given = gpu(out)
    assert plan(gpu(x), gpu(r), given) is given
    check(given, want, gpu_dtype, case.k)
    assert ob.conv2d(gpu(x), gpu(w), gpu(b), **case.geometry, **options, residual=gpu(r), out=given)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "depthwise"])
def test_algorithms(algorithm, gpu_dtype):
    case = CASES[5]
    x, w, b, _, want = case_tensors(case, "NHWC", gpu_dtype)
    y = ob.conv2d(
        gpu(x),
        gpu(w),
        gpu(b),
        **case.geometry,
        activation=case.activation,
        layout="NHWC",
        algorithm=algorithm,
    )
    check(y, want, gpu_dtype)


def test_one_image_and_none():
    x, w = torch.ones(3, 4, 5), torch.ones(2, 3, 1, 1)
    y = ob.conv2d(gpu(x), gpu(w))
    assert y.shape == (2, 4, 5) and (on_host(y) == 3).all()
    y = ob.conv2d(gpu(torch.ones(0, 3, 4, 5)), gpu(w))
    assert y.shape == (0, 2, 4, 5)


def test_the_plan_says_what_it_is(gpu_dtype):
    name = str(gpu_dtype).removeprefix("torch.")
    w = gpu(torch.ones(8, 4, 3, 3, dtype=gpu_dtype))
    plan = ob.Conv2dPlan(w, input_shape=(2, 6, 7, 4), padding=1, layout="NHWC")
    assert isinstance(plan, ob.Conv2dPlan)
    assert (plan.device, plan.isa, plan.dtype, plan.layout) == ("cuda:0", "cuda", name, "NHWC")
    assert plan.input_shape == (2, 6, 7, 4) and plan.output_shape == (2, 6, 7, 8)
    assert plan.flops == 2 * 2 * 6 * 7 * 8 * 4 * 9 and plan.workspace_bytes >= 0
    assert repr(plan).startswith(f"conv 2x4x6x7 -> 8 k3 NHWC {name} cuda:0: {plan.algorithm}")
    on_cpu = ob.Conv2dPlan(np.ones((1, 1, 1, 1), np.float32), input_shape=(1, 1, 1))
    assert on_cpu.device == "cpu"


def test_a_plan_holds_a_snapshot(torch_module, cupy_module):
    for cls in (torch_module.Tensor, cupy_module.ndarray):
        x, w, b = torch.ones(1, 3, 2, 2), torch.ones(2, 3, 1, 1), torch.zeros(2)
        plan = ob.Conv2dPlan(gpu(w, cls), gpu(b, cls), input_shape=x.shape)
        w.zero_()
        b.fill_(5)
        assert (on_host(plan(gpu(x, cls))) == 3).all()


def test_tf32_is_a_setting(emulated):
    assert ob.cuda.get_allow_tf32() is False
    x, w = torch.rand(1, 8, 8, 32), torch.rand(64, 32, 1, 1)
    exact = on_host(ob.conv2d(gpu(x), gpu(w), layout="NHWC"))
    before = ob.Conv2dPlan(gpu(w), input_shape=x.shape, layout="NHWC")
    try:
        ob.cuda.set_allow_tf32(True)
        assert ob.cuda.get_allow_tf32() is True
        rounded = on_host(ob.conv2d(gpu(x), gpu(w), layout="NHWC"))
    finally:
        ob.cuda.set_allow_tf32(False)
    assert (rounded - exact).abs().max() > 1e-5
    np.testing.assert_allclose(rounded, exact, rtol=2e-3)
    assert torch.equal(on_host(before(gpu(x))), exact)
    with pytest.raises(TypeError, match="allow"):
        ob.cuda.set_allow_tf32(1)


# Libraries and what they return


def test_torch_in_torch_out(torch_module):
    """All on torch's current stream: nothing to wait for, nothing to record."""
    case, log = CASES[1], torch_module.library.log
    x, w, b, r, want = case_tensors(case, "NCHW", torch.float16)
    x, w, b, r = (torch_module.Tensor(a) for a in (x, w, b, r))
    y = ob.conv2d(x, w, b, residual=r, activation=case.activation)
    assert type(y) is torch_module.Tensor
    check(y, want, torch.float16, case.k)
    assert log == [("export", 7, 7)] * 4 + [("empty", 7, "cuda:0"), ("export", 7, 7)]
    out = torch_module.Tensor(torch.empty(want.shape, dtype=torch.float16))
    assert ob.conv2d(x, w, b, residual=r, activation=case.activation, out=out) is out
    check(out, want, torch.float16, case.k)


def test_torch_on_another_stream(torch_module):
    """Read after the current stream, made on the other, recorded for it."""
    x, w, b, _, want = case_tensors(CASES[0], "NCHW", torch.float32)
    x, w, b = (torch_module.Tensor(a) for a in (x, w, b))
    log = torch_module.library.log
    check(ob.conv2d(x, w, b, stream=Stream(9)), want, torch.float32)
    assert log == [
        *[("export", 7, 9)] * 3,
        ("empty", 9, "cuda:0"),
        ("export", 9, 9),
        *[("record", 7, a, 9, 0) for a in (x, w, b)],
    ]
    plan = ob.Conv2dPlan(w, b, input_shape=x.shape)
    out = torch_module.Tensor(torch.empty(want.shape))
    log.clear()
    assert plan(x, out=out, stream=9) is out
    check(out, want, torch.float32)
    assert [entry[:3] for entry in log[:2]] == [("export", 7, 9)] * 2
    recorded = [entry[2] for entry in log[2:]]
    assert len(recorded) == 4 and x in recorded and out in recorded
    assert w not in recorded and b not in recorded  # but the plan's copies of them


def test_torch_on_another_device(torch_module):
    x, w = (torch_module.Tensor(a, 1) for a in (torch.ones(1, 3, 2, 2), torch.ones(2, 3, 1, 1)))
    try:
        y = ob.conv2d(x, w)
    except RuntimeError:
        pytest.skip("the emulator has one device")
    assert y.device == 1


def test_the_device_is_torchs_again_after_an_error(torch_module):
    x, w = (torch_module.Tensor(a, 1) for a in (torch.ones(1, 3, 2, 2), torch.ones(2, 4, 1, 1)))
    with pytest.raises(ValueError, match="channels"):
        ob.conv2d(x, w, stream=9)
    library = torch_module.library
    assert library.devices == [0] and len(library.streams) == 1


def test_cupy_in_cupy_out(cupy_module):
    x, w, b, _, want = case_tensors(CASES[0], "NCHW", torch.float16)
    x, w, b = (cupy_module.ndarray(a) for a in (x, w, b))
    y = ob.conv2d(x, w, b, stream=Stream(9))
    assert type(y) is cupy_module.ndarray
    check(y, want, torch.float16)
    log = cupy_module.library.log
    assert log == [*[("export", 7, 9)] * 3, ("empty", 9), ("export", 9, 9)]


def test_two_libraries(torch_module, cupy_module):
    """On the stream of the first; the other's arrays are read after its own stream."""
    cupy_module.library.streams[:] = [Stream(11)]
    x, w, b, _, want = case_tensors(CASES[0], "NCHW", torch.float32)
    x, w, b = cupy_module.ndarray(x), torch_module.Tensor(w), torch_module.Tensor(b)
    y = ob.conv2d(x, w, b)
    assert type(y) is cupy_module.ndarray
    check(y, want, torch.float32)
    assert x.streams == w.streams == b.streams == [11]
    records = [entry for entry in torch_module.library.log if entry[0] == "record"]
    assert [entry[2:] for entry in records] == [(w, 11, 0), (b, 11, 0)]


def test_strided_arrays(torch_module, cupy_module):
    """Copied by their own library on the call's stream; others' are refused with the cure."""
    case = CASES[2]
    x, w, b, _, want = case_tensors(case, "NCHW", torch.float32)
    wide = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    options = {"padding": 1, "activation": case.activation}
    for module, cls in ((torch_module, torch_module.Tensor), (cupy_module, cupy_module.ndarray)):
        y = ob.conv2d(cls(wide), cls(w), cls(b), **options, stream=9)
        check(y, want, torch.float32, case.k)
        assert ("contiguous", 9) in module.library.log
    turned = w.transpose(2, 3).contiguous().transpose(2, 3)
    plan = ob.Conv2dPlan(
        torch_module.Tensor(turned), torch_module.Tensor(b), **options, input_shape=x.shape
    )
    check(plan(torch_module.Tensor(x)), want, torch.float32, case.k)
    with pytest.raises(ValueError, match="x is not C-contiguous"):
        ob.conv2d(gpu(wide), gpu(w))
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        ob.conv2d(gpu(x), gpu(w), padding=1, out=gpu(torch.empty(1, 7, 9, 16).permute(0, 3, 1, 2)))


def test_a_library_with_from_dlpack(monkeypatch):
    """The result becomes its array after the work is on the stream."""

    class Array(GpuArray):
        pass

    def from_dlpack(array):
        assert array.__dlpack_device__() == (2, 0)
        return Array(on_host(array).clone())

    module = type(sys)("some_library")
    module.from_dlpack = from_dlpack
    Array.__module__ = "some_library.arrays"
    monkeypatch.setitem(sys.modules, "some_library", module)
    y = ob.conv2d(Array(torch.ones(1, 3, 2, 2)), gpu(torch.ones(2, 3, 1, 1)))
    assert type(y) is Array and (y.host == 3).all()


def test_an_array_without_a_library(gpu_dtype):
    y = ob.conv2d(
        gpu(torch.ones(1, 3, 2, 2, dtype=gpu_dtype)), gpu(torch.ones(2, 3, 1, 1, dtype=gpu_dtype))
    )
    name = str(gpu_dtype).removeprefix("torch.")
    assert y.shape == (1, 2, 2, 2) and y.dtype == name
    assert repr(y) == f"<onebyone.cuda.Array (1, 2, 2, 2) {name} on cuda:0>"
    assert y.__dlpack_device__() == (2, 0)
    z = ob.conv2d(y, gpu(torch.ones(1, 2, 1, 1, dtype=gpu_dtype)))
    assert (on_host(z) == 6).all()
    view = on_host(y)
    del y, z
    assert (view == 3).all()
    if gpu_dtype is torch.bfloat16:
        return
    y = ob.conv2d(
        gpu(torch.ones(1, 3, 2, 2, dtype=gpu_dtype)), gpu(torch.ones(2, 3, 1, 1, dtype=gpu_dtype))
    )
    interface = y.__cuda_array_interface__
    assert interface["shape"] == y.shape and interface["version"] == 3
    assert interface["stream"] == 1 and interface["strides"] is None
    assert interface["typestr"] == ("<f4" if gpu_dtype is torch.float32 else "<f2")
    with pytest.raises(BufferError):
        y.__dlpack__(copy=True)
    with pytest.raises(BufferError):
        y.__dlpack__(dl_device=(1, 0))
    for version in (None, (0, 8), (1, 0)):
        y.__dlpack__(max_version=version)  # and dropped, unused


# Streams


def test_default_stream():
    x, w = gpu(torch.ones(1, 3, 2, 2)), OldGpuArray(torch.ones(2, 3, 1, 1))
    ob.conv2d(x, w)
    assert x.streams == w.streams == [1]


class CudaStream:
    def __init__(self, address):
        self.address = address

    def __cuda_stream__(self):
        return (0, self.address)


@pytest.mark.parametrize(
    ("given", "asked"),
    [(0, 1), (1, 1), (2, 2), (12345, 12345), (Stream(77), 77), (CudaStream(88), 88), (None, 1)],
)
def test_streams(given, asked):
    x, w = gpu(torch.ones(1, 3, 2, 2)), gpu(torch.ones(2, 3, 1, 1))
    ob.conv2d(x, w, stream=given)
    plan = ob.Conv2dPlan(w, input_shape=x.shape)
    plan(x, stream=given)
    assert x.streams == [asked, asked]
    assert w.streams[0] == asked


@pytest.mark.parametrize(
    ("stream", "error"), [(-1, ValueError), (True, TypeError), ("0", TypeError), (1.0, TypeError)]
)
def test_what_is_no_stream(stream, error):
    x, w = gpu(torch.ones(1, 3, 2, 2)), gpu(torch.ones(2, 3, 1, 1))
    with pytest.raises(error, match="stream"):
        ob.conv2d(x, w, stream=stream)


def test_a_stream_on_the_cpu():
    x, w = np.ones((1, 3, 2, 2), np.float32), np.ones((2, 3, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r"stream .* CPU memory"):
        ob.conv2d(x, w, stream=0)
    with pytest.raises(ValueError, match=r"stream .* CPU memory"):
        ob.Conv2dPlan(w, input_shape=x.shape)(x, stream=0)


# The CUDA array interface


def test_the_array_interface(gpu_dtype):
    x, w, b, _, want = case_tensors(CASES[0], "NCHW", gpu_dtype)
    x, w, b = (gpu(a, InterfaceArray, strides=s) for a, s in ((x, True), (w, False), (b, True)))
    if gpu_dtype is torch.bfloat16:
        with pytest.raises(TypeError, match="x has dtype"):
            ob.conv2d(x, w, b)
        return
    check(ob.conv2d(x, w, b), want, gpu_dtype)
    check(ob.conv2d(x, w, b, stream=5), want, gpu_dtype)


def test_the_array_interface_read_only_strided_masked():
    x, w = torch.ones(1, 3, 2, 4), InterfaceArray(torch.ones(2, 3, 1, 1))
    with pytest.raises(ValueError, match="contiguous"):
        ob.conv2d(InterfaceArray(x[..., ::2]), w)
    with pytest.raises(TypeError, match="masked"):
        ob.conv2d(InterfaceArray(x, mask=x), w)
    out = torch.empty(1, 2, 2, 4)
    frozen = InterfaceArray(out, data=(out.data_ptr(), True))
    with pytest.raises(ValueError, match="out is read-only"):
        ob.conv2d(InterfaceArray(x), w, out=frozen)


# What is refused


@pytest.mark.parametrize("position", ["weight", "bias", "residual", "out"])
def test_mixed_memory(position):
    on_gpu = {
        "x": gpu(torch.ones(1, 3, 2, 2)),
        "weight": gpu(torch.ones(2, 3, 1, 1)),
        "bias": gpu(torch.ones(2)),
        "residual": gpu(torch.ones(1, 2, 2, 2)),
        "out": gpu(torch.ones(1, 2, 2, 2)),
    }
    on_cpu = {name: a.host.numpy() for name, a in on_gpu.items()}
    tensors = {name: a.host for name, a in on_gpu.items()}
    for others in (on_cpu, tensors):
        with pytest.raises(TypeError, match=rf"x is on cuda:0 and {position} is in CPU memory"):
            ob.conv2d(**on_gpu | {position: others[position]})
        with pytest.raises(TypeError, match=rf"{position} is on cuda:0 and x is in CPU memory"):
            ob.conv2d(**others | {position: on_gpu[position]})
    elsewhere = GpuArray(on_gpu[position].host, device=3)
    with pytest.raises(TypeError, match=rf"x is on cuda:0 and {position} is on cuda:3"):
        ob.conv2d(**on_gpu | {position: elsewhere})
    with pytest.raises(TypeError, match=rf"x is on cuda:0 and {position} is a list"):
        ob.conv2d(**on_gpu | {position: [1.0]})


def test_mixed_memory_of_plans():
    w, x = torch.ones(2, 3, 1, 1), torch.ones(1, 3, 2, 2)
    on_gpu = ob.Conv2dPlan(gpu(w), input_shape=x.shape)
    on_cpu = ob.Conv2dPlan(w, input_shape=x.shape)
    with pytest.raises(TypeError, match="x is in CPU memory and the plan's weight is on cuda:0"):
        on_gpu(x)
    with pytest.raises(TypeError, match="x is on cuda:2 and the plan's weight is on cuda:0"):
        on_gpu(GpuArray(x, 2))
    with pytest.raises(TypeError, match="x is on cuda:0 and the plan's weight is in CPU memory"):
        on_cpu(gpu(x))
    with pytest.raises(TypeError, match="out is on cuda:0 and the plan's weight is in CPU memory"):
        on_cpu(x, out=gpu(torch.ones(1, 2, 2, 2)))
    with pytest.raises(TypeError, match="weight is on cuda:0 and bias is in CPU memory"):
        ob.Conv2dPlan(gpu(w), torch.ones(2), input_shape=x.shape)
    with pytest.raises(TypeError, match="bias is on cuda:0 and weight is in CPU memory"):
        ob.Conv2dPlan(w, gpu(torch.ones(2)), input_shape=x.shape)
    with pytest.raises(ValueError, match="num_threads is for the CPU"):
        ob.Conv2dPlan(gpu(w), input_shape=x.shape, num_threads=1)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ob.conv1d, (np.ones((2, 3, 1), np.float32),)),
        (ob.linear, (np.ones((2, 4), np.float32),)),
        (ob.max_pool2d, (2,)),
        (ob.add, (np.ones(4, np.float32),)),
    ],
)
def test_other_functions_stay_on_the_cpu(function, arguments):
    with pytest.raises(TypeError, match="not in CPU memory but on cuda:0"):
        function(gpu(torch.ones(3, 4, 4)), *arguments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.complex64, torch.bool])
def test_dtypes(dtype):
    x, w = torch.ones(1, 3, 2, 2), torch.ones(2, 3, 1, 1)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(TypeError, match=rf"x has dtype {name}.*float16"):
        ob.conv2d(gpu(x.to(dtype)), gpu(w))
    with pytest.raises(TypeError, match=rf"weight has dtype {name}.*bfloat16"):
        ob.Conv2dPlan(gpu(w.to(dtype)), input_shape=x.shape)


@pytest.mark.parametrize("name", ["weight", "bias", "residual"])
def test_two_dtypes(name):
    arguments = {
        "x": gpu(torch.ones(1, 3, 2, 2)),
        "weight": gpu(torch.ones(2, 3, 1, 1)),
        "bias": gpu(torch.ones(2)),
        "residual": gpu(torch.ones(1, 2, 2, 2)),
    }
    arguments[name] = gpu(arguments[name].host.half())
    with pytest.raises(TypeError, match=f"{name} has dtype float16, the others have float32"):
        ob.conv2d(**arguments)


@pytest.mark.parametrize("algorithm", ["winograd", "gemm", "reference"])
def test_algorithms_of_the_cpu(algorithm):
    x, w = gpu(torch.ones(1, 3, 2, 2)), gpu(torch.ones(2, 3, 1, 1))
    with pytest.raises(ValueError, match=f"{algorithm}.*GPU.*'auto', 'direct' and 'depthwise'"):
        ob.conv2d(x, w, algorithm=algorithm)
    with pytest.raises(ValueError, match=f"{algorithm}.*GPU.*'auto', 'direct' and 'depthwise'"):
        ob.Conv2dPlan(w, input_shape=x.shape, algorithm=algorithm)


def test_depthwise_of_what_is_not():
    with pytest.raises(ValueError, match="depthwise"):
        ob.conv2d(gpu(torch.ones(1, 4, 2, 2)), gpu(torch.ones(2, 4, 1, 1)), algorithm="depthwise")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.ones(3, 2)}, "x must have 4 dimensions"),
        ({"weight": torch.ones(2, 3)}, "weight must have 4 dimensions"),
        ({"weight": torch.ones(2, 4, 1, 1)}, "weight expects 4 input channels"),
        ({"weight": torch.ones(2, 3, 5, 5)}, "larger than x"),
        ({"bias": torch.ones(3)}, "bias must have shape"),
        ({"residual": torch.ones(1, 2, 2, 3)}, "residual has shape"),
        ({"out": torch.ones(1, 2, 2, 3)}, "out has shape"),
        ({"out": torch.ones(1, 2, 2, 2).half()}, "out has dtype float16"),
    ],
)
def test_shapes(change, words):
    arguments = {"x": torch.ones(1, 3, 2, 2), "weight": torch.ones(2, 3, 1, 1)} | change
    with pytest.raises(ValueError, match=words):
        ob.conv2d(**{name: gpu(a) for name, a in arguments.items()})


def test_calls_of_a_plan_that_do_not_fit():
    plan = ob.Conv2dPlan(gpu(torch.ones(2, 3, 1, 1)), input_shape=(1, 3, 2, 2))
    x, r = gpu(torch.ones(1, 3, 2, 2)), gpu(torch.ones(1, 2, 2, 2))
    with pytest.raises(ValueError, match="input_shape"):
        plan(gpu(torch.ones(1, 3, 2, 3)))
    with pytest.raises(ValueError, match="residual=False"):
        plan(x, r)
    with pytest.raises(TypeError, match="x has dtype float16"):
        plan(gpu(x.host.half()))


def test_out_overlaps():
    memory = torch.ones(40)
    x, w = memory[:12].view(1, 3, 2, 2), memory[12:18].view(2, 3, 1, 1)
    for begin in (0, 11, 12, 17):
        with pytest.raises(ValueError, match="out overlaps"):
            ob.conv2d(gpu(x), gpu(w), out=gpu(memory[begin : begin + 8].view(1, 2, 2, 2)))
    y = gpu(memory[18:26].view(1, 2, 2, 2))
    assert ob.conv2d(gpu(x), gpu(w), out=y) is y and (y.host == 3).all()


def test_out_is_read_only():
    x, w = gpu(torch.ones(1, 3, 2, 2)), gpu(torch.ones(2, 3, 1, 1))
    with pytest.raises(ValueError, match="out is read-only"):
        ob.conv2d(x, w, out=gpu(torch.ones(1, 2, 2, 2), read_only=True))


def test_an_array_that_cannot_be_exported(torch_module):
    class Refusing(torch_module.Tensor):
        def __dlpack__(self, **options):
            raise BufferError("use tensor.detach()")

    with pytest.raises(TypeError, match=r"weight cannot be read through DLPack.*detach"):
        ob.conv2d(torch_module.Tensor(torch.ones(1, 3, 2, 2)), Refusing(torch.ones(2, 3, 1, 1)))


def test_config_and_availability(capsys):
    assert ob.cuda.is_available() is True and ob.cuda.why_not() == ""
    ob.show_config()
    text = capsys.readouterr().out
    assert "1 GPU" in text and "TF32" in text
