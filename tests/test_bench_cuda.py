"""`onebyone bench --cuda`: how it refuses, and what it does, on the CPU in the place of a GPU."""

import types

import numpy as np
import pytest
import torch
from onebyone import _core
from onebyone.bench import arguments, cuda, layers
from onebyone.bench.errors import BenchError
from test_cli import cli, refused


def test_without_a_gpu():
    text = refused(cli("bench", "--cuda", ONEBYONE_CUDA_LIBRARY="/nowhere/at/all.so"))
    assert "--cuda" in text and "/nowhere/at/all.so" in text


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--dtype", "float64"), "float64"),
        (("--networks",), "--networks"),
        (("--cold",), "--cold"),
        (("--json", "x.json"), "--json"),
    ],
)
def test_options_that_do_not_go_with_it(options, word):
    assert word in refused(cli("bench", "--cuda", *options))


def test_torch_without_cuda(monkeypatch):
    monkeypatch.setattr(cuda.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchError, match="torch finds no GPU"):
        cuda.check_gpu()


def test_names_of_dtypes():
    assert tuple(cuda.DTYPES) == arguments._DTYPES


class Event:
    """A CUDA event on a clock that ticks once for each record."""

    now = 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        Event.now += 1
        self.time = Event.now

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return float(end.time - self.time)


@pytest.fixture
def no_gpu(monkeypatch):
    """torch with events, and our plans on the CPU."""
    monkeypatch.setattr(torch.cuda, "Event", Event)
    return torch


@pytest.mark.parametrize("text", ["2x8x9x7 -> 12 k3 p1", "1x6x8x8 -> 6 k3 s2 psame g6"])
def test_measure(no_gpu, text):
    layer = layers.parse_layer(text)
    measured = cuda.measure(no_gpu, layer, "float32", rounds=3, device="cpu")
    names = [m.engine for m in measured]
    uneven = any(before != after for before, after in layer.padding)
    assert names == ["ours NHWC", "ours NCHW"] + ([] if uneven else ["cuDNN NHWC", "cuDNN NCHW"])
    assert all(m.seconds > 0 and m.error < 5e-5 for m in measured)
    assert _core.get_allow_tf32() is False
    table = cuda.report([(layer, measured)], "float32")
    assert text in table and ("ratio" in table) != uneven


def test_wrong_results_are_not_measured(no_gpu, monkeypatch):
    layer = layers.parse_layer("1x8x9x7 -> 12 k1")
    right = no_gpu.nn.functional.conv2d
    functional = types.SimpleNamespace(conv2d=lambda *a, **k: right(*a, **k) + np.float32(0.1))
    monkeypatch.setattr(no_gpu.nn, "functional", functional)
    with pytest.raises(BenchError, match="cuDNN NHWC is off by"):
        cuda.measure(no_gpu, layer, "float32", rounds=1, device="cpu")
