"""Threads: no bit depends on their number; the settings nest; forks and the GIL behave."""

import sys
import threading
import time

import numpy as np
import onebyone as ob
import pytest
from helpers import FLOAT32, Case, call_case, case_data, from_layout, run_python, to_layout, uniform

CASES = [
    Case(64, 64, (56, 56)),
    Case(17, 33, (61, 59), batch=3, activation="silu"),
    Case(300, 301, (7, 7), residual=True),
    Case(1024, 10, (1, 1), batch=2),
    Case(2, 1030, (5, 3)),
    Case(48, 80, (29, 31), stride=2, padding=1),
    Case(3, 32, (75, 77), (3, 3), 2, 1, activation="relu"),
    Case(32, 40, (30, 29), (3, 3), 1, 1, batch=2, residual=True),
    Case(520, 24, (9, 11), (3, 3), padding="same"),
    Case(24, 48, (33, 30), (5, 5), 1, 2, groups=4),
    Case(67, 67, (23, 25), (3, 3), 1, 1, groups=67, batch=2),
]


@pytest.fixture(autouse=True)
def restore_threads():
    before = ob.get_num_threads()
    yield
    ob.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_do_not_depend_on_the_number_of_threads(case, dtype, layout):
    with ob.threads(1):
        want = call_case(ob.conv2d, case, dtype, layout)
    for n in [2, 3, 4, 7, 16]:
        with ob.threads(n):
            y = call_case(ob.conv2d, case, dtype, layout)
        np.testing.assert_array_equal(y, want, f"threads={n}")
        ob.set_num_threads(n)
        y = call_case(ob.conv2d, case, dtype, layout)
        np.testing.assert_array_equal(y, want, f"set_num_threads({n})")


@pytest.mark.parametrize("algorithm", ["gemm", "direct"])
def test_nor_does_each_algorithm(algorithm, dtype, layout):
    case = Case(130, 70, (41, 43), batch=2, activation="gelu", residual=True)
    with ob.threads(1):
        want = call_case(ob.conv2d, case, dtype, layout, algorithm=algorithm)
    for n in [2, 3, 4, 7, 16]:
        with ob.threads(n):
            y = call_case(ob.conv2d, case, dtype, layout, algorithm=algorithm)
        np.testing.assert_array_equal(y, want, f"threads={n}")


@pytest.mark.parametrize("function", ["linear", "conv1d"])
def test_nor_do_the_other_products(function, rng, dtype):
    if function == "linear":
        arguments = uniform(rng, (37, 513), dtype), uniform(rng, (301, 513), dtype)
    else:
        arguments = uniform(rng, (3, 17, 601), dtype), uniform(rng, (33, 17, 5), dtype)
    with ob.threads(1):
        want = getattr(ob, function)(*arguments)
    for n in [2, 3, 4, 7, 16]:
        with ob.threads(n):
            np.testing.assert_array_equal(getattr(ob, function)(*arguments), want, f"threads={n}")


@pytest.mark.parametrize(
    "case",
    [
        Case(64, 33, (7, 7), batch=5),
        Case(17, 40, (13, 11), batch=4, residual=True, activation="hardswish"),
        Case(512, 19, (1, 1), batch=7),
        Case(1, 5, (3, 3), batch=9),
        Case(16, 24, (9, 10), (3, 3), 2, 1, batch=5),
        Case(30, 33, (6, 7), (3, 3), 1, 1, batch=3, groups=3),
        Case(9, 18, (8, 9), (3, 3), 1, "same", groups=9, batch=3),
    ],
    ids=str,
)
def test_an_image_does_not_depend_on_its_batch(case, dtype, layout):
    x, w, b, r, _ = case_data(case, dtype)
    whole = call_case(ob.conv2d, case, dtype, layout)
    for i in range(case.batch):
        one = ob.conv2d(
            to_layout(x[i], layout),
            w,
            b,
            **case.geometry,
            activation=case.activation,
            residual=None if r is None else to_layout(r[i], layout),
            layout=layout,
        )
        np.testing.assert_array_equal(from_layout(one, layout), whole[i], f"image {i}")


def test_set_and_get():
    for n in [1, 2, 5, 64]:
        assert ob.set_num_threads(n) is None
        assert ob.get_num_threads() == n
    ob.set_num_threads(np.int64(3))
    assert ob.get_num_threads() == 3
    assert type(ob.get_num_threads()) is int


def test_threads_nest_and_restore():
    ob.set_num_threads(5)
    with ob.threads(2):
        assert ob.get_num_threads() == 2
        with ob.threads(7):
            assert ob.get_num_threads() == 7
            with ob.threads(1):
                assert ob.get_num_threads() == 1
            assert ob.get_num_threads() == 7
        assert ob.get_num_threads() == 2
    assert ob.get_num_threads() == 5


def test_threads_restores_after_exceptions():
    ob.set_num_threads(5)
    with pytest.raises(KeyError), ob.threads(2):
        assert ob.get_num_threads() == 2
        raise KeyError("from the body")
    assert ob.get_num_threads() == 5
    with ob.threads(3), pytest.raises(ValueError), ob.threads(2):
        ob.conv2d(np.ones((1, 1, 2, 2), np.float32), np.ones((1, 1, 1, 1), np.float32), stride=0)
    assert ob.get_num_threads() == 5


def test_threads_concerns_the_calling_thread_alone():
    ob.set_num_threads(5)
    seen = {}
    inside, leave = threading.Event(), threading.Event()

    def other():
        seen["before"] = ob.get_num_threads()
        with ob.threads(3):
            seen["inside"] = ob.get_num_threads()
            inside.set()
            leave.wait(30)
        seen["after"] = ob.get_num_threads()

    with ob.threads(2):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(30)
        assert ob.get_num_threads() == 2
        leave.set()
        thread.join(30)
        assert ob.get_num_threads() == 2
    assert seen == {"before": 5, "inside": 3, "after": 5}
    assert ob.get_num_threads() == 5


@pytest.mark.parametrize("n", [0, -1, 1.0, 2.5, True, "2", None, [], 2**70], ids=repr)
def test_invalid_numbers(n):
    ob.set_num_threads(5)
    with pytest.raises((TypeError, ValueError), match=r"\bn\b|thread"):
        ob.set_num_threads(n)
    with pytest.raises((TypeError, ValueError), match=r"\bn\b|thread"):  # noqa: SIM117
        with ob.threads(n):
            pytest.fail(f"threads({n!r}) was accepted")
    assert ob.get_num_threads() == 5


PRINT_THREADS = "import onebyone as ob; print(ob.get_num_threads())"


@pytest.mark.parametrize("n", [1, 2, 7])
def test_environment(n):
    result = run_python(PRINT_THREADS, ONEBYONE_NUM_THREADS=n)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(n)


@pytest.mark.parametrize("n", ["0", "-1", "two", "1.5", "2x", "99999999999999999999"])
def test_invalid_environment(n):
    """An error at import that names the variable and its value, not a silent fallback."""
    result = run_python(PRINT_THREADS, ONEBYONE_NUM_THREADS=n)
    assert result.returncode != 0
    assert "ONEBYONE_NUM_THREADS" in result.stderr
    assert n in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs sched_setaffinity")
def test_default_respects_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});" + PRINT_THREADS
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "1"


FORK = """
import os, signal, sys
import numpy as np
import onebyone as ob
ob.set_num_threads(4)
x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 60, 60)).astype(np.float32)
w = np.random.default_rng(1).uniform(-1, 1, (64, 64, 3, 3)).astype(np.float32)
plan = ob.Conv2dPlan(w, input_shape=x.shape)
want = plan(x)
assert (ob.conv2d(x, w) == want).all()
"""

OS_FORK = (
    FORK
    + """
for attempt in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        good = (plan(x) == want).all() and (ob.conv2d(x, w) == want).all()
        with ob.threads(2):
            good = good and (ob.conv2d(x, w) == want).all()
        os._exit(0 if good else 3)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"child ended with {status} (-14: it hung)"
    assert (plan(x) == want).all()
print("fine")
"""
)

POOL_FORK = (
    FORK
    + """
import multiprocessing
def work(i):
    return bool((ob.conv2d(x, w) == want).all() and (plan(x) == want).all())
signal.alarm(60)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, range(4)).get(50) == [True] * 4
assert work(0)
print("fine")
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("code", [OS_FORK, POOL_FORK], ids=["os.fork", "multiprocessing"])
def test_a_forked_child_does_not_hang(code):
    result = run_python(code, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "fine"


def test_other_threads_run_during_a_convolution(rng):
    """The switch interval is made endless: others run only where the GIL is let go."""
    x = uniform(rng, (1, 128, 64, 64), FLOAT32)
    w = uniform(rng, (128, 128, 3, 3), FLOAT32)
    out = np.empty((1, 128, 62, 62), np.float32)
    plan = ob.Conv2dPlan(w, input_shape=x.shape, num_threads=1)
    ticks = 0
    stop = False

    def tick():
        nonlocal ticks
        while not stop:
            ticks += 1
            time.sleep(0.0005)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        sys.setswitchinterval(1000)
        for _ in range(100):
            before = ticks
            plan(x, out=out)
            progress = ticks - before
            if progress:
                break
    finally:
        sys.setswitchinterval(interval)
        stop = True
        thread.join()
    assert progress, "no other thread ran during a hundred convolutions"


def test_concurrent_calls_with_different_numbers_of_threads(rng):
    """Several Python threads, each with its own limit, each on its own shape."""
    jobs = []
    for i in range(6):
        x = uniform(rng, (2, 16 + i, 20 + i, 19), FLOAT32)
        w = uniform(rng, (17 + i, 16 + i, 3, 3), FLOAT32)
        jobs.append((x, w, ob.conv2d(x, w, padding=1)))
    wrong = []

    def work(i):
        x, w, want = jobs[i]
        with ob.threads(1 + i % 4):
            for _ in range(20):
                if not np.array_equal(ob.conv2d(x, w, padding=1), want):
                    wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
