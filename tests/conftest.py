"""Makes `helpers` importable under any import mode of pytest, and holds the fixtures."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import cuda_emulated
import onebyone as ob
from helpers import GPU_EPS


def pytest_collection_finish(session):
    """A process loads one CUDA library: the tests that need the emulated one bring it for all."""
    if any("emulated" in item.fixturenames for item in session.items):
        library, _ = cuda_emulated.find()
        if library is not None:
            os.environ["ONEBYONE_CUDA_LIBRARY"] = str(library)


@pytest.fixture
def emulated():
    """The process's CUDA library is the emulated one: GPU memory is the host's."""
    library, why_not = cuda_emulated.find()
    if library is None:
        pytest.skip(why_not)
    return library


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture
def restore_precision():
    """For tests that call ``ob.set_precision``."""
    before = ob.get_precision()
    yield
    ob.set_precision(before)


@pytest.fixture(params=["NCHW", "NHWC"])
def layout(request):
    return request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=list(GPU_EPS), ids=lambda dtype: str(dtype).removeprefix("torch."))
def gpu_dtype(request):
    return request.param
