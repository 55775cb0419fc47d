"""The command line: what it prints, what it writes, and how it refuses."""

from importlib import metadata

import numpy as np
import onebyone as ob
import pytest
from helpers import run_python

CLI = "import runpy; runpy.run_module('onebyone', run_name='__main__', alter_sys=True)"


def cli(*args, **environment):
    return run_python(CLI, *args, **environment)


def test_entry_point():
    """The installed command is the function that `python -m onebyone` runs."""
    found = list(metadata.entry_points(group="console_scripts", name="onebyone"))
    if not found:
        pytest.skip("imported from a build directory: no command is installed")
    code = f"import sys; from {found[0].module} import {found[0].attr} as main; sys.exit(main())"
    result = run_python(code, "--version")
    assert result.returncode == 0, result.stderr
    assert ob.__version__ in result.stdout


def test_version():
    result = cli("--version")
    assert result.returncode == 0, result.stderr
    assert ob.__version__ in result.stdout and len(result.stdout.splitlines()) == 1
    assert result.stderr == ""


def test_info():
    result = cli("info", ONEBYONE_NUM_THREADS=3)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert ob.__version__ in result.stdout
    for isa in ob.supported_isas():
        assert isa in result.stdout
    assert "thread" in result.stdout.lower() and "3" in result.stdout


@pytest.mark.parametrize(
    "command", [(), *[(name,) for name in ("info", "demo", "bench", "summary", "run")]], ids=str
)
def test_help(command):
    result = cli(*command, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "usage" in result.stdout.lower() and "onebyone" in result.stdout
    if not command:
        assert "info" in result.stdout and "demo" in result.stdout
    if command == ("demo",):
        assert "--out" in result.stdout


def refused(result):
    """One line that says what is wrong, and exit code 2."""
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("frobnicate",), "frobnicate"),
        (("--frobnicate",), "onebyone"),
        ((), "onebyone"),
        (("demo", "--size", "many"), "--size"),
        (("info", "surplus"), "surplus"),
        (("info", "--frobnicate"), "--frobnicate"),
        (("demo", "--frobnicate"), "--frobnicate"),
        (("demo", "missing.png"), "missing.png"),
        (("demo", "one.png", "two.png"), "two.png"),
        (("demo", "--out"), "--out"),
    ],
    ids=str,
)
def test_wrong_input(args, word):
    assert word in refused(cli(*args))


def test_demo_refuses_what_is_no_image(tmp_path):
    pytest.importorskip("PIL")
    pytest.importorskip("matplotlib")
    path = tmp_path / "letter.png"
    path.write_text("Dear reader")
    out = tmp_path / "out.png"
    assert "letter.png" in refused(cli("demo", path, "--out", out))
    assert "letter.png" not in refused(cli("demo", tmp_path, "--out", out))
    path.write_bytes(b"")
    assert "letter.png" in refused(cli("demo", path, "--out", out))
    assert not out.exists()


def make_image(path, mode, size):
    from PIL import Image

    width, height = size
    row, column = np.mgrid[0:height, 0:width]
    channels = [row * 255 // height, column * 255 // width, (row * column) % 256, row * 0 + 255]
    count = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.stack(channels[:count], -1).astype(np.uint8).squeeze()
    Image.fromarray(pixels, mode if count > 1 else "L").save(path)
    return path


def test_demo_refuses_a_missing_directory_for_out(tmp_path):
    pytest.importorskip("matplotlib")
    image = make_image(tmp_path / "in.png", "RGB", (31, 23))
    line = refused(cli("demo", image, "--out", tmp_path / "nowhere" / "out.png"))
    assert "nowhere" in line


@pytest.mark.parametrize(
    ("mode", "size"), [("RGB", (64, 48)), ("L", (37, 53)), ("RGBA", (41, 29))], ids=str
)
def test_demo(mode, size, tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    image = make_image(tmp_path / "in.png", mode, size)
    out = tmp_path / "out.png"
    result = cli("demo", image, "--size", 64, "--out", out, MPLBACKEND=None, DISPLAY=None)
    assert result.returncode == 0, result.stderr
    for text in ["7x7 512 -> 512", "naive", "387,296", "128,049,152", "bottleneck", "16.9 x"]:
        assert text in result.stdout
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) >= 100
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 16
    assert pixels.std() > 5
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["in.png", "out.png"]


@pytest.fixture
def onnx_file(tmp_path):
    pytest.importorskip("onnx")
    from onnx_helpers import helper, model

    weight = np.random.default_rng(0).random((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["y"], name="flat"),
    ]
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, {"x": ["n", 3, "h", "w"]}, ["y"], {"w": weight}))
    return path


def test_summary_of_a_file(onnx_file):
    result = cli("summary", onnx_file)
    assert result.returncode == 0, result.stderr
    assert "first (Conv)" in result.stdout and "Total params: 108" in result.stdout
    result = cli("summary", onnx_file, "--shape", "1x3x9x10")
    assert f"Multiply-adds: {4 * 7 * 8 * 27:,}" in result.stdout, result.stderr
    assert "first" in refused(cli("summary", onnx_file, "--shape", "1x3x2x2"))
    assert "'x'" in refused(cli("summary", onnx_file, "--shape", "1x4x9x9"))
    assert "--shape" in refused(cli("summary", onnx_file, "--shape", "1x4xh"))


def test_summary_of_a_network():
    result = cli("summary", "resnet18")
    assert result.returncode == 0, result.stderr
    assert "11,689,512" in result.stdout
    assert "resnet18" in refused(cli("summary", "resnet19"))
    assert "resnet50" in refused(cli("summary", "alexnet"))
    assert "3" in refused(cli("summary", "resnet18", "--shape", "4x224x224"))


def test_run(onnx_file, tmp_path):
    pytest.importorskip("PIL")
    image = make_image(tmp_path / "in.png", "RGBA", (61, 90))
    result = cli("run", onnx_file, "--image", image, "--repeat", 2, "--threads", 1)
    assert result.returncode == 0, result.stderr
    for text in (
        "Input x: (1, 3, 96, 64)",
        "Output y: (1, 4)",
        "Time:",
        "GFLOP/s",
        "first",
        "total",
    ):
        assert text in result.stdout
    result = cli("run", onnx_file, "--image", image, "--shape", "2x3x20x30", "--mean", "0.5")
    assert "Output y: (2, 4)" in result.stdout, result.stderr
    result = cli("run", onnx_file, "--shape", "1x3x20x30")
    assert "Output y: (1, 4)" in result.stdout, result.stderr


def test_run_refuses(onnx_file, tmp_path):
    pytest.importorskip("PIL")
    assert "--shape" in refused(cli("run", onnx_file))
    assert "missing.png" in refused(cli("run", onnx_file, "--image", "missing.png"))
    assert "missing.onnx" in refused(cli("run", "missing.onnx"))
    assert "--mean" in refused(cli("run", onnx_file, "--mean", "1,2"))
    assert "--repeat" in refused(cli("run", onnx_file, "--repeat", "0"))
    onnx_file.write_bytes(b"Dear reader")
    assert "ONNX" in refused(cli("run", onnx_file))
