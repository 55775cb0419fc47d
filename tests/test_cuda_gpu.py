"""On a real GPU, against torch; skipped where there is none. Not yet run on one."""

import os

import onebyone as ob
import pytest
import torch
import torch.nn.functional as F
from helpers import GPU_EPS, Case, case_tensors, check_tensor

if os.environ.get("ONEBYONE_CUDA_EMULATED") or not torch.cuda.is_available():
    pytest.skip("no GPU, or none that this torch can use", allow_module_level=True)
if not ob.cuda.is_available():
    pytest.skip(f"no GPU for onebyone: {ob.cuda.why_not()}", allow_module_level=True)

TF32_EPS = 2.0**-10

CASES = [
    Case(64, 256, (56, 56)),
    Case(256, 64, (14, 14), batch=3, residual=True, activation="relu"),
    Case(3, 64, (65, 47), (7, 7), 2, 3, activation="silu"),
    Case(64, 64, (28, 28), (3, 3), padding=1, residual=True, activation="gelu"),
    Case(5, 7, (11, 8), (3, 5), (2, 1), ((2, 0), (1, 3))),
    Case(48, 96, (13, 17), (3, 3), padding=2, dilation=2, groups=4),
    Case(96, 96, (29, 31), (3, 3), 2, 1, groups=96, activation="relu6"),
    Case(512, 1000, (1, 1), batch=2),
    Case(33, 65, (1, 129), batch=5),
]


@pytest.fixture
def tf32():
    ob.cuda.set_allow_tf32(True)
    yield
    ob.cuda.set_allow_tf32(False)


def arrays(case, layout, dtype):
    """x, weight, bias, residual on the GPU, and the float64 result of their values."""
    *tensors, want = case_tensors(case, layout, dtype)
    return *(None if a is None else a.cuda() for a in tensors), want


def check(y, want, dtype, k, product_eps=GPU_EPS[torch.float32]):
    assert y.is_cuda
    check_tensor(y.cpu(), want, dtype, k, product_eps)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results(case, layout, gpu_dtype):
    x, w, b, r, want = arrays(case, layout, gpu_dtype)
    options = {**case.geometry, "activation": case.activation, "layout": layout}
    check(ob.conv2d(x, w, b, **options, residual=r), want, gpu_dtype, case.k)
    plan = ob.Conv2dPlan(w, b, **options, input_shape=tuple(x.shape), residual=r is not None)
    check(plan(x, r), want, gpu_dtype, case.k)
    for algorithm in ("direct", "depthwise") if case.groups == case.channels else ("direct",):
        y = ob.conv2d(x, w, b, **options, residual=r, algorithm=algorithm)
        check(y, want, gpu_dtype, case.k)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tf32(case, tf32):
    x, w, b, r, want = arrays(case, "NHWC", torch.float32)
    options = {**case.geometry, "activation": case.activation, "layout": "NHWC"}
    y = ob.conv2d(x, w, b, **options, residual=r)
    check(y, want, torch.float32, case.k, TF32_EPS)


def test_results_are_the_same_each_time(gpu_dtype):
    x, w, b, _, _ = arrays(CASES[3], "NHWC", gpu_dtype)
    plan = ob.Conv2dPlan(w, b, padding=1, input_shape=tuple(x.shape), layout="NHWC")
    first = plan(x)
    assert all(torch.equal(plan(x), first) for _ in range(20))


def test_streams():
    """Work on several streams, each in the order of what was put on it, without waiting between."""
    x, w, b, _, _ = arrays(CASES[0], "NCHW", torch.float32)
    plan = ob.Conv2dPlan(w, b, input_shape=tuple(x.shape))
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(4)]
    results = []
    for i in range(40):
        stream = streams[i % 4]
        if i % 2:
            with torch.cuda.stream(stream):
                results.append((i, plan(x * i)))
        else:
            scaled = x * i  # on the default stream, which the export orders before
            results.append((i, plan(scaled, stream=stream)))
            del scaled
            torch.empty_like(x).fill_(torch.nan)  # must not get the memory that is still read
    torch.cuda.synchronize()
    for i, y in results:
        want = F.conv2d(x.double() * i, w.double(), b.double())
        assert (y - want).abs().max() < 1e-3


def test_a_call_does_not_wait():
    x, w, _, _, _ = arrays(CASES[0], "NCHW", torch.float32)
    plan = ob.Conv2dPlan(w, input_shape=tuple(x.shape))
    plan(x)
    torch.cuda.synchronize()
    done = torch.cuda.Event()
    torch.cuda._sleep(200_000_000)  # cycles: a tenth of a second
    plan(x)
    done.record()
    assert not done.query()
    torch.cuda.synchronize()


def test_in_a_graph():
    x, w, _, _, _ = arrays(CASES[0], "NCHW", torch.float32)
    plan = ob.Conv2dPlan(w, input_shape=tuple(x.shape))
    y = plan(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plan(x, out=y)
    y.zero_()
    graph.replay()
    want = F.conv2d(x.double(), w.double())
    assert (y - want).abs().max() < 1e-4


def test_channels_last_and_views():
    case = CASES[3]
    x, w, b, _, _ = arrays(case, "NCHW", torch.float32)
    want = F.conv2d(x.double(), w.double(), b.double(), padding=1)
    last = x.contiguous(memory_format=torch.channels_last)
    for y in (
        ob.conv2d(last, w, b, padding=1),
        ob.conv2d(last.permute(0, 2, 3, 1), w, b, padding=1, layout="NHWC").permute(0, 3, 1, 2),
    ):
        assert (y - want).abs().max() < 1e-3


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_the_second_gpu():
    x, w, b, _, want = arrays(CASES[0], "NCHW", torch.float32)
    y = ob.conv2d(x.to("cuda:1"), w.to("cuda:1"), b.to("cuda:1"))
    assert y.device.index == 1 and torch.cuda.current_device() == 0
    check(y, want, torch.float32, CASES[0].k)
    with pytest.raises(TypeError, match=r"cuda:0 .* cuda:1"):
        ob.conv2d(x, w.to("cuda:1"))
