"""set_precision: which algorithms "auto" may choose, for the process, its plans and its layers."""

import threading

import numpy as np
import onebyone as ob
import pytest
from helpers import FLOAT32, run_python, to_layout, uniform

PRINT_PRECISION = "import onebyone as ob; print(ob.get_precision())"


pytestmark = pytest.mark.usefixtures("restore_precision")


def test_set_and_get():
    for precision in ["exact", "fast", "exact"]:
        ob.set_precision(precision)
        assert ob.get_precision() == precision


def test_it_is_the_setting_of_all_threads():
    ob.set_precision("exact")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ob.get_precision()))
    thread.start()
    thread.join()
    assert seen == ["exact"]


@pytest.mark.parametrize("precision", ["", "Exact", "high", "exact "])
def test_unknown_values_are_refused(precision):
    before = ob.get_precision()
    with pytest.raises(ValueError, match=r"set_precision.*'fast'.*'exact'") as error:
        ob.set_precision(precision)
    assert repr(precision) in str(error.value)
    assert ob.get_precision() == before


@pytest.mark.parametrize("precision", [None, 1, True, b"exact"])
def test_other_types_are_refused(precision):
    with pytest.raises(TypeError, match=r"set_precision.*'fast'.*'exact'"):
        ob.set_precision(precision)


@pytest.mark.parametrize(
    ("value", "precision"), [(None, "fast"), ("", "fast"), ("fast", "fast"), ("exact", "exact")]
)
def test_environment(value, precision):
    result = run_python(PRINT_PRECISION, ONEBYONE_PRECISION=value)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == precision


@pytest.mark.parametrize("value", ["EXACT", "high", "1"])
def test_unknown_environment_is_an_error_at_import_that_lists_the_values(value):
    result = run_python("import onebyone; print('imported')", ONEBYONE_PRECISION=value)
    assert result.returncode != 0
    assert "imported" not in result.stdout
    for text in ["ONEBYONE_PRECISION", value, "fast", "exact"]:
        assert text in result.stderr


def test_shown(capsys):
    ob.set_precision("exact")
    ob.show_config()
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("precision")]
    assert line.split()[-1] == "exact"


# (channels, filters, size, kernel): where Winograd pays most, and around its limits.
SHAPES = [
    (64, 64, (56, 56), (3, 3)),
    (128, 96, (28, 28), (3, 3)),
    (256, 32, (14, 14), (3, 3)),
    (48, 48, (17, 17), (5, 5)),
    (64, 64, (17, 17), (1, 7)),
    (64, 64, (17, 17), (7, 1)),
    (3, 16, (20, 20), (3, 3)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exact_is_the_direct_method(shape, rng, layout, dtype):
    channels, filters, size, kernel = shape
    x = to_layout(uniform(rng, (1, channels, *size), dtype), layout)
    w = uniform(rng, (filters, channels, *kernel), dtype)
    kwargs = {"padding": "same", "layout": layout}
    direct = ob.conv2d(x, w, algorithm="direct", **kwargs)
    ob.set_precision("exact")
    plan = ob.Conv2dPlan(w, input_shape=x.shape, **kwargs)
    assert plan.algorithm == "direct"
    np.testing.assert_array_equal(plan(x), direct)
    np.testing.assert_array_equal(ob.conv2d(x, w, **kwargs), direct)


def test_exact_conv1d_is_the_direct_method(rng):
    x, w = uniform(rng, (2, 64, 100), FLOAT32), uniform(rng, (64, 64, 3), FLOAT32)
    ob.set_precision("exact")
    np.testing.assert_array_equal(
        ob.conv1d(x, w, padding=1), ob.conv1d(x, w, padding=1, algorithm="direct")
    )


def test_exact_is_the_direct_method_with_stride(rng, layout):
    x = to_layout(uniform(rng, (1, 64, 56, 56), FLOAT32), layout)
    w = uniform(rng, (64, 64, 3, 3), FLOAT32)
    kwargs = {"padding": 1, "stride": 2, "layout": layout}
    direct = ob.conv2d(x, w, algorithm="direct", **kwargs)
    assert ob.Conv2dPlan(w, input_shape=x.shape, **kwargs).algorithm == "winograd"
    ob.set_precision("exact")
    plan = ob.Conv2dPlan(w, input_shape=x.shape, **kwargs)
    assert plan.algorithm == "direct"
    np.testing.assert_array_equal(plan(x), direct)


def test_an_algorithm_by_name_is_used_all_the_same(rng):
    w = uniform(rng, (8, 8, 3, 3), FLOAT32)
    ob.set_precision("exact")
    plan = ob.Conv2dPlan(w, input_shape=(1, 8, 9, 9), algorithm="winograd")
    assert plan.algorithm == "winograd"


def test_a_plan_keeps_its_choice_and_a_layer_follows(rng):
    x = uniform(rng, (1, 64, 56, 56), FLOAT32)
    layer = ob.nn.Conv2d(64, 64, 3, padding=1)
    ob.set_precision("fast")
    plan = layer.plan(x.shape)
    text, fast = repr(plan), plan(x)
    ob.set_precision("exact")
    assert repr(plan) == text
    np.testing.assert_array_equal(plan(x), fast)
    exact = ob.conv2d(x, layer.weight, layer.bias, padding=1, algorithm="direct")
    np.testing.assert_array_equal(layer(x), exact)
    ob.set_precision("fast")
    assert layer.plan(x.shape) is plan
    np.testing.assert_array_equal(layer(x), fast)
