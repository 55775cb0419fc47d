"""What keeps a GPU from being used, each state by a library made for it; and which calls of the C
ABI are made, by a library that tells."""

import os
import re
from importlib import resources

import onebyone as ob
import pytest
from cuda_emulated import ROOT, compile_library, compiler
from helpers import run_python

WHY_NOT = "import onebyone as ob; print(ob.cuda.is_available()); print(ob.cuda.why_not())"


@pytest.fixture(scope="module")
def library():
    """library(DEFINITION, ...): the path of the spy compiled with these."""
    if compiler() is None:
        pytest.skip("no C++ compiler")
    if not (ROOT / "csrc/cuda/onebyone_cuda.h").exists():
        pytest.skip("csrc/cuda is not beside the tests: run them from the source tree")
    made = {}

    def make(*definitions):
        if definitions not in made:
            definitions_ = [f"-D{d}" for d in ("DEVICES=2", *definitions)]
            source = ROOT / "tests" / "cuda_spy.cc"
            made[definitions] = compile_library(
                f"spy{len(made)}.so", f"-I{ROOT / 'csrc/cuda'}", *definitions_, source
            )
        return made[definitions]

    return make


def why_not(path):
    result = run_python(WHY_NOT, ONEBYONE_CUDA_LIBRARY=path)
    assert result.returncode == 0, result.stderr
    available, sentence = result.stdout.splitlines()
    assert available == str(sentence == "")
    return sentence


def built_with_cuda():
    return (resources.files("onebyone") / "libonebyone_cuda.so").is_file()


def test_not_built():
    if built_with_cuda():
        pytest.skip("this build has the CUDA library")
    sentence = why_not(None)
    assert "not built" in sentence and "-C cmake.define.ONEBYONE_CUDA=ON" in sentence
    assert why_not("") == sentence


def test_not_there_and_no_library(tmp_path):
    sentence = why_not(tmp_path / "missing.so")
    assert "cannot be loaded" in sentence and "missing.so" in sentence
    (tmp_path / "text.so").write_text("no ELF")
    sentence = why_not(tmp_path / "text.so")
    assert "cannot be loaded" in sentence and "text.so" in sentence


def test_another_library(library):
    assert "has no function onebyone_cuda_conv2d" in why_not(library("INCOMPLETE"))
    other = compile_library("other.so", "-xc++", "/dev/null")
    assert "not onebyone's CUDA library" in why_not(other)


def test_another_version(library):
    sentence = why_not(library("VERSION=999"))
    assert "999" in sentence and "build both from the same sources" in sentence


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        (("CODE=OB_CUDA_NO_DRIVER",), "no CUDA driver on this machine: the library's words"),
        (("CODE=OB_CUDA_OLD_DRIVER",), "driver is too old for this build: the library's words"),
        (("CODE=OB_CUDA_NO_DEVICE",), "a CUDA driver but no GPU: the library's words"),
        (("CODE=OB_CUDA_NO_CODE",), "no code for the GPU: the library's words"),
        (("CODE=OB_CUDA_FAILED",), "CUDA cannot be started: the library's words"),
        (("DEVICES=0",), "a CUDA driver but no GPU"),
    ],
)
def test_states(library, definitions, words):
    assert why_not(library(*definitions)).endswith(words)


def test_available(library):
    assert why_not(library()) == ""


def test_the_first_answer_is_kept(library):
    code = f"""
import os, onebyone as ob
first = ob.cuda.why_not()
os.environ["ONEBYONE_CUDA_LIBRARY"] = {str(library())!r}
assert first and ob.cuda.why_not() == first
"""
    result = run_python(code, ONEBYONE_CUDA_LIBRARY="/nowhere/at/all.so")
    assert result.returncode == 0, result.stderr


def test_from_many_threads(library):
    code = """
import threading, onebyone as ob
start, answers = threading.Barrier(8), []
def ask():
    start.wait()
    answers.append(ob.cuda.is_available())
threads = [threading.Thread(target=ask) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert answers == [True] * 8
"""
    result = run_python(code, ONEBYONE_CUDA_LIBRARY=library())
    assert result.returncode == 0, result.stderr


def test_info(library):
    for path, words in (
        (library(), "2 GPUs"),
        (library("CODE=OB_CUDA_NO_DRIVER"), "no CUDA driver"),
    ):
        result = run_python("import onebyone as ob; ob.show_config()", ONEBYONE_CUDA_LIBRARY=path)
        assert re.search(rf"^CUDA +.*{words}", result.stdout, re.MULTILINE), result.stdout


def test_the_cpu_does_not_ask_for_it():
    """Neither importing nor convolving loads the library, or looks for it."""
    code = """
import numpy as np, onebyone as ob
x, w = np.ones((1, 3, 4, 4), np.float32), np.ones((2, 3, 1, 1), np.float32)
ob.conv2d(x, w)
ob.Conv2dPlan(w, input_shape=x.shape)(x)
maps = open("/proc/self/maps").read()
assert "cuda" not in maps.replace("/work/cuda", ""), maps
"""
    result = run_python(code, ONEBYONE_CUDA_LIBRARY="/nowhere/at/all.so")
    assert result.returncode == 0, result.stderr


def test_the_default_build_has_nothing_of_it():
    if built_with_cuda():
        pytest.skip("this build has the CUDA library")
    names = [path.name for path in resources.files("onebyone").iterdir()]
    assert not [n for n in names if "cuda" in n.lower() and not n.startswith("cuda.py")]


def test_gpu_arrays_without_a_gpu():
    """The error of a call has the reason in it."""
    code = """
import onebyone as ob, torch
from gpu_arrays import GpuArray
try:
    ob.conv2d(GpuArray(torch.ones(1, 3, 2, 2)), GpuArray(torch.ones(2, 3, 1, 1)))
except TypeError as error:
    print(error)
"""
    result = run_python(code, PYTHONPATH=python_path(), ONEBYONE_CUDA_LIBRARY="/nowhere/at/all.so")
    assert result.stdout.startswith("conv2d: x is on cuda:0, and onebyone cannot use a GPU"), result
    assert "/nowhere/at/all.so" in result.stdout


def python_path():
    return os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])


def calls(path, code):
    """What the spy saw of a snippet that may use x, w and b of an unknown library on cuda:1."""
    prelude = """
import sys, onebyone as ob, torch
from gpu_arrays import *
x, w, b = torch.ones(2, 4, 5, 6), torch.ones(8, 2, 3, 2), torch.ones(8)
gx, gw, gb = (GpuArray(a, 1) for a in (x, w, b))
"""
    result = run_python(prelude + code, PYTHONPATH=python_path(), ONEBYONE_CUDA_LIBRARY=path)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_description(library):
    """Every field of the C struct, and the order of the calls."""
    said = calls(
        library(),
        """
ob.cuda.set_allow_tf32(True)
ob.conv2d(gx, gw, gb, (2, 1), ((1, 0), (3, 2)), (1, 2), 2, activation=("clip", -1, 2), stream=9)
""",
    )
    assert said == [
        "malloc device=1 9 0",  # the result
        "malloc device=1 9 0",  # the workspace
        "forward device=1 9 1",
        "desc size=1 dtype=0 layout=0 algorithm=0 tf32=1 activation=1 a=-1 b=2 x=2x4x5x6 y=8x2x9 "
        "k=3x2 s=2,1 d=1,2 p=1,3 g=2",
        "free device=1 9 0",
        "free device=1 9 0",
    ]
    said = calls(
        library(),
        """
gx, gw = GpuArray(torch.ones(2, 4, 5, 6).half(), 1), GpuArray(torch.ones(6, 1, 1, 1).half(), 1)
ob.conv2d(gx, gw, groups=6, layout="NHWC", algorithm="depthwise", activation="gelu")
gx, gw = GpuArray(torch.ones(4, 5, 6).bfloat16(), 1), GpuArray(torch.ones(6, 4, 1, 1).bfloat16(), 1)
ob.conv2d(gx, gw, algorithm="direct")
""",
    )
    assert [line for line in said if line.startswith("desc")] == [
        "desc size=1 dtype=1 layout=1 algorithm=3 tf32=0 activation=8 a=0 b=0 x=2x6x4x5 y=6x4x5 "
        "k=1x1 s=1,1 d=1,1 p=0,0 g=6",
        "desc size=1 dtype=2 layout=0 algorithm=1 tf32=0 activation=0 a=0 b=0 x=1x4x5x6 y=6x5x6 "
        "k=1x1 s=1,1 d=1,1 p=0,0 g=1",
    ]


def test_streams_of_the_array_interface(library):
    """The call takes x's stream; or the one given, which then waits for those that are named."""
    code = """
ix = InterfaceArray(x, stream=5)
iw, ib = InterfaceArray(w, stream=6), InterfaceArray(b)
out = InterfaceArray(torch.ones(2, 8, 3, 5), stream=1)
"""
    said = calls(library(), code + "ob.conv2d(ix, iw, ib, groups=2, out=out)")
    assert [s for s in said if s.startswith("wait")] == ["wait device=1 5 6", "wait device=1 5 0"]
    assert "forward device=1 5 1" in said
    said = calls(library(), code + "ob.conv2d(ix, iw, ib, groups=2, out=out, stream=6)")
    assert [s for s in said if s.startswith("wait")] == ["wait device=1 6 5", "wait device=1 6 0"]
    said = calls(library(), code + "ob.conv2d(ix, iw, ib, groups=2, out=out, stream=1)")
    assert [s for s in said if s.startswith("wait")] == ["wait device=1 0 5", "wait device=1 0 6"]


def test_exports_wait_for_the_result(library):
    code = """
y = ob.conv2d(gx, gw, groups=2, stream=9)
for stream in (None, 1, 2, 9, 44, -1):
    y.__dlpack__(stream=stream)
assert y.__cuda_array_interface__["stream"] == 9 and y.__dlpack_device__() == (2, 1)
"""
    said = calls(library(), code)
    waits = [line for line in said if line.startswith("wait")]
    assert waits == [f"wait device=1 {stream} 9" for stream in (0, 0, 2, 44)]


def test_torch_and_cupy_on_their_second_device(library):
    code = """
torch, cupy = fake_torch(), fake_cupy()
sys.modules |= {"torch": torch, "cupy": cupy}
for cls, library in ((torch.Tensor, torch.library), (cupy.ndarray, cupy.library)):
    y = ob.conv2d(cls(x, 1), cls(w, 1), cls(b, 1), groups=2)
    assert type(y) is cls and y.device == 1 and library.devices == [0]
ob.conv2d(cupy.ndarray(x, 1), torch.Tensor(w, 1), torch.Tensor(b, 1), groups=2)
"""
    said = calls(library(), code)
    assert said.count("forward device=1 7 1") == 3


def test_what_the_driver_refuses(library):
    code = """
for f in (lambda: ob.conv2d(gx, gw, groups=2),
          lambda: ob.Conv2dPlan(gw, input_shape=x.shape, groups=2)(gx)):
    try:
        f()
    except {error} as error:
        print("refused:", error)
"""
    for definition, error in (("FAILED", "RuntimeError"), ("BAD_ARGUMENT", "ValueError")):
        said = calls(library(f"FORWARD=OB_CUDA_{definition}"), code.replace("{error}", error))
        assert "refused: conv2d: the library's words" in said
        assert "refused: Conv2dPlan: the library's words" in said
        assert sum(s.startswith("malloc") for s in said) == sum(s.startswith("free") for s in said)


def test_names_of_cuda():
    for name in ("is_available", "why_not", "get_allow_tf32", "set_allow_tf32", "Array"):
        assert name in ob.cuda.__all__ and hasattr(ob.cuda, name)
