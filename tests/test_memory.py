"""Results in recycled memory: never while anything refers to them, and within the limit."""

import gc
import sys
import threading

import numpy as np
import onebyone as ob
import pytest
import torch
from helpers import FLOAT32, run_python, uniform
from onebyone import _core

MB = 2**20


@pytest.fixture(autouse=True)
def empty_pool():
    """An empty pool of a known limit."""
    before = ob.get_cache_limit()
    ob.empty_cache()
    ob.set_cache_limit(64 * MB)
    yield
    ob.set_cache_limit(before)
    ob.empty_cache()


@pytest.fixture
def plan(rng):
    """1x1 convolution with a result of 1 MB, on one thread: it takes nothing else from the pool."""
    weight = uniform(rng, (64, 3, 1, 1), FLOAT32)
    return ob.Conv2dPlan(weight, input_shape=(1, 3, 64, 64), num_threads=1)


def address(array):
    return array.__array_interface__["data"][0]


def test_a_result_is_an_ordinary_array(plan):
    y = plan(np.ones((1, 3, 64, 64), np.float32))
    assert type(y) is np.ndarray and y.dtype == np.float32
    assert y.flags.c_contiguous and y.flags.writeable and y.flags.aligned
    assert address(y) % 64 == 0
    y.flags.writeable = False
    y.flags.writeable = True
    y += 1
    assert np.array_equal(y.copy(), y)


def test_memory_is_recycled_when_nothing_refers_to_it(plan):
    x = np.ones((1, 3, 64, 64), np.float32)
    y = plan(x)
    where = address(y)
    assert _core.cached_bytes() == 0
    del y
    assert _core.cached_bytes() >= MB
    y = plan(x)
    assert address(y) == where
    assert _core.cached_bytes() == 0


# What may be left of a result when the array itself is gone.
KEEPERS = {
    "slice": lambda y: y[0, 1:, ::2, 3:5],
    "element": lambda y: y[:1, -1:, -1:, -1:],
    "reshape": lambda y: y.reshape(-1),
    "transpose": lambda y: y.transpose(3, 0, 2, 1)[::-1],
    "bytes": lambda y: y.view(np.uint8),
    "memoryview": memoryview,
    "frombuffer": lambda y: np.frombuffer(y, np.int32),
    "base": lambda y: y.base,
    "torch": torch.from_numpy,
    "torch slice": lambda y: torch.from_dlpack(y)[0, 2],
    "subclass": lambda y: y.view(np.matrix if y.ndim == 2 else np.recarray),
    "capsule": lambda y: y.__dlpack__(),
    "cycle": lambda y: (lambda cycle: cycle.append(cycle) or cycle)([y]),
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_what_is_left_of_a_result_is_never_overwritten(plan, keep):
    gc.collect()
    y = plan(np.ones((1, 3, 64, 64), np.float32))
    where = address(y)
    kept = keep(y)
    del y
    assert _core.cached_bytes() == 0
    others = [plan(np.zeros((1, 3, 64, 64), np.float32)) for _ in range(3)]
    assert where not in map(address, others)
    del kept
    gc.collect()
    assert _core.cached_bytes() >= MB


def test_results_that_are_alive_keep_their_values(rng):
    """Many results of many sizes, some let go: those left are what they were."""
    weight = uniform(rng, (32, 8, 1, 1), FLOAT32)
    alive = []
    for i in range(120):
        x = uniform(rng, (1, 8, 24 + i % 5, 30 + i % 3), FLOAT32)
        y = ob.conv2d(x, weight)
        alive.append((y, y.copy()))
        if i % 3 == 0:
            del alive[(7 * i) % len(alive)]
    for y, copy in alive:
        np.testing.assert_array_equal(y, copy)


def test_threads_do_not_share_results(rng):
    weight = uniform(rng, (32, 8, 3, 3), FLOAT32)
    images = [uniform(rng, (1, 8, 40 + i, 41), FLOAT32) for i in range(4)]
    want = [ob.conv2d(x, weight) for x in images]
    wrong = []

    def work(i):
        for _ in range(50):
            results = [ob.conv2d(images[i], weight) for _ in range(3)]
            if not all(np.array_equal(y, want[i]) for y in results):
                wrong.append(i)
            if i == 0:
                ob.empty_cache()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_errors_give_the_memory_back(rng):
    weight = uniform(rng, (64, 8, 3, 3), FLOAT32)
    x = uniform(rng, (1, 8, 66, 66), FLOAT32)
    with pytest.raises(ValueError, match="algorithm"):
        ob.conv2d(x, weight, algorithm="gemm")
    assert _core.cached_bytes() >= MB


def test_limit(plan):
    x = np.ones((1, 3, 64, 64), np.float32)
    ob.set_cache_limit(3 * MB)
    assert ob.get_cache_limit() == 3 * MB
    results = [plan(x) for _ in range(5)]
    del results
    assert 2 * MB <= _core.cached_bytes() <= 3 * MB
    ob.set_cache_limit(0)
    assert _core.cached_bytes() == 0
    plan(x)
    assert _core.cached_bytes() == 0
    ob.set_cache_limit(8 * MB)
    plan(x)
    ob.empty_cache()
    assert _core.cached_bytes() == 0


@pytest.mark.parametrize("limit", [-1, -(2**40), 2**63])
def test_wrong_limits_are_refused(limit):
    with pytest.raises(ValueError, match=r"set_cache_limit.*limit"):
        ob.set_cache_limit(limit)


@pytest.mark.parametrize("limit", [None, 1.5, "1", True])
def test_limits_that_are_no_integers_are_refused(limit):
    with pytest.raises(TypeError, match=r"set_cache_limit.*limit"):
        ob.set_cache_limit(limit)


PRINT_LIMIT = "import onebyone as ob; print(ob.get_cache_limit())"


def test_default_limit():
    result = run_python(PRINT_LIMIT)
    assert 0 < int(result.stdout) <= 256 * MB


@pytest.mark.parametrize("value", ["0", "1000000"])
def test_environment(value):
    assert run_python(PRINT_LIMIT, ONEBYONE_CACHE_LIMIT=value).stdout.strip() == value


@pytest.mark.parametrize("value", ["-1", "1.5", "256M", "9" * 30])
def test_invalid_environment_is_an_error_at_import(value):
    result = run_python("import onebyone; print('imported')", ONEBYONE_CACHE_LIMIT=value)
    assert result.returncode != 0
    assert "imported" not in result.stdout
    assert "ONEBYONE_CACHE_LIMIT" in result.stderr and value in result.stderr


def test_shown(capsys):
    ob.show_config()
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("memory")]
    assert "64 MiB" in line


RSS = """
import numpy as np
import onebyone as ob
def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
x, w = np.ones((1, 8, 512, 512), np.float32), np.ones((64, 8, 1, 1), np.float32)
ob.conv2d(x[..., :9, :9], w)
before = rss()
y = ob.conv2d(x, w)
assert rss() - before > 60e6
del y
assert rss() - before > 60e6
ob.empty_cache()
assert rss() - before < 10e6, rss() - before
print("fine")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_empty_cache_returns_memory_to_the_system():
    result = run_python(RSS, ONEBYONE_CACHE_LIMIT=256 * MB)
    assert result.stdout.strip() == "fine", result.stderr


# Arrays, plans and threads that outlive the package's own names, up to the end of the process.
EXIT = """
import atexit, builtins, sys, threading
import numpy as np
import onebyone as ob
x, w = np.ones((1, 8, 256, 256), np.float32), np.ones((64, 8, 3, 3), np.float32)
builtins.kept = ob.conv2d(x, w)
sys.kept = [ob.conv2d(x, w)]
sys.kept.append(sys.kept)
plan = ob.Conv2dPlan(w, input_shape=x.shape)
kept = plan(x)
sys.modules["kept"] = ob.conv2d(x, w)
@atexit.register
def late():
    y = plan(x)
    assert np.array_equal(y, kept)
    package.empty_cache()
def work():
    while True:
        plan(x)
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
package = ob
del ob
for name in [name for name in sys.modules if name.startswith("onebyone")]:
    del sys.modules[name]
print("fine")
"""


def test_results_and_threads_may_outlive_the_package():
    for _ in range(8):
        result = run_python(EXIT)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == "fine"
