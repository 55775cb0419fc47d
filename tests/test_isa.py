"""Every ISA this machine can run, each forced in its own process and checked there."""

import csv
import json
import re
from pathlib import Path

import onebyone as ob
import pytest
from helpers import run_python

SCRIPT = Path(__file__).with_name("isa_check.py")
# The AVX-512 instance of the kernels, lowered by the compiler to AVX2: tests 16 lanes anywhere, if
# the core was built with ONEBYONE_LOWERED.
LOWERED = "avx512-lowered"


@pytest.mark.parametrize("isa", [*ob.supported_isas(), LOWERED])
def test_forced_isa(isa):
    if isa == LOWERED:
        probe = run_python("import onebyone", ONEBYONE_ISA=isa)
        if probe.returncode:
            pytest.skip(f"ONEBYONE_ISA={isa} is refused here: {probe.stderr.splitlines()[-1]}")
    result = run_python(SCRIPT, ONEBYONE_ISA=isa, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    summary = json.loads(result.stdout)
    assert summary["isa"] == isa
    assert summary["plan_isas"] == [isa]
    assert summary["cases"] > 3000
    assert not summary["failed"], "\n".join(summary["failures"])


def test_selection():
    isas = ob.supported_isas()
    assert isas and len(set(isas)) == len(isas)
    assert all(isinstance(name, str) and name == name.lower() for name in isas)
    assert LOWERED not in isas
    default = run_python("import onebyone as ob; print(ob.isa())").stdout.strip()
    assert default in isas


@pytest.mark.parametrize("name", ["avx9000", "native", "sse;avx2"])
def test_unknown_isa_is_an_error_at_import_that_lists_what_is_possible(name):
    result = run_python("import onebyone; print('imported')", ONEBYONE_ISA=name)
    assert result.returncode != 0
    assert "imported" not in result.stdout
    assert "ONEBYONE_ISA" in result.stderr
    assert name in result.stderr
    for isa in ob.supported_isas():
        assert isa in result.stderr


@pytest.mark.parametrize("name", ["avx2", "avx512", "neon"])
def test_unsupported_isa_is_an_error_at_import(name):
    if name in ob.supported_isas():
        pytest.skip(f"{name} is supported here")
    result = run_python("import onebyone; print('imported')", ONEBYONE_ISA=name)
    assert result.returncode != 0
    assert "ONEBYONE_ISA" in result.stderr and name in result.stderr
    for isa in ob.supported_isas():
        assert isa in result.stderr


CONVOLUTIONS = """
import numpy as np
import onebyone as ob
x, w = np.ones((1, 3, 6, 7), np.float32), np.ones((5, 3, 3, 3), np.float32)
ob.conv2d(x, w)
ob.conv2d(x.astype(np.float64), w[:, :, :1, :1].astype(np.float64), algorithm="gemm")
plan = ob.Conv2dPlan(w, input_shape=x.shape)
plan(x)
plan(x)
"""


def test_verbose_prints_one_csv_line_per_convolution_executed():
    result = run_python(CONVOLUTIONS, ONEBYONE_VERBOSE=1)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    rows = list(csv.reader(result.stderr.splitlines()))
    assert len(rows) == 4, result.stderr
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) >= 4, result.stderr
    assert "gemm" in result.stderr.splitlines()[1]
    numbers = sum(bool(re.match(r"\d+\.\d+", field)) for field in rows[0])
    assert numbers >= 1, "no time in: " + result.stderr


@pytest.mark.parametrize("value", [None, "0", ""])
def test_silent_by_default(value):
    result = run_python(CONVOLUTIONS, ONEBYONE_VERBOSE=value)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "" and result.stdout == ""
