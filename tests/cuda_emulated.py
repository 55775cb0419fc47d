"""The CUDA library compiled for the host over an emulator of CUDA's threads (tests/cuda)."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def compiler():
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")


@functools.cache
def directory():
    """Where this process compiles libraries; removed at its end."""
    path = tempfile.mkdtemp(prefix="onebyone_tests_")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


def compile_library(name, *arguments):
    """Compile a shared library for the tests; return its path."""
    path = directory() / name
    command = [compiler(), "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", *arguments]
    subprocess.run(
        [*map(str, command), "-o", str(path)], check=True, capture_output=True, text=True
    )
    return path


@functools.cache
def find():
    """(path, "") of the emulated library, or (None, why there is none).

    It is the one that ONEBYONE_CUDA_EMULATED names, or is compiled here: some 15 seconds.
    """
    if named := os.environ.get("ONEBYONE_CUDA_EMULATED"):
        return Path(named), ""
    cuda, emulator = ROOT / "csrc" / "cuda", ROOT / "tests" / "cuda" / "emulator"
    if not (cuda / "abi.cc").exists() or not emulator.exists():
        return None, "csrc/cuda is not beside the tests: run them from the source tree"
    if compiler() is None:
        return None, "no C++ compiler to build the emulated CUDA library with"
    includes = [f"-I{path}" for path in (emulator, cuda, ROOT / "csrc")]
    sources = [*sorted(cuda.glob("*.cc")), *sorted(emulator.glob("*.cc"))]
    kernels = ["-xc++", *sorted(cuda.glob("*.cu"))]
    try:
        options = ["-O1", "-pthread", "-Wno-unknown-pragmas", *includes]
        return compile_library("libonebyone_cuda.so", *options, *sources, *kernels), ""
    except subprocess.CalledProcessError as error:
        raise AssertionError(
            f"the emulated CUDA library does not compile:\n{error.stderr}"
        ) from None
