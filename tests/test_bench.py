"""`onebyone bench`: shapes, what counts as a result, files it writes, and how it refuses."""

import copy
import re
from importlib import resources

import numpy as np
import onebyone as ob
import pytest
from helpers import run_python
from onebyone import _core
from onebyone.bench import compare, engines, layers, markdown, problem, results, runner, worker
from onebyone.bench.errors import BenchError, MissingExtra
from test_cli import cli, refused

TINY = "1x8x5x6 -> 4 k3 s2 p1"
SETS = {
    "efficientnet_b0": 47,
    "gemv": 23,
    "googlenet": 50,
    "layers": 31,
    "mobilenet_v2": 31,
    "nin": 17,
    "projection256": 8,
    "resnet50": 24,
    "small1x1": 20,
    "squeezenet": 18,
    "vgg16": 12,
}


# -- shapes ---------------------------------------------------------------------------------------


def test_parse_layer():
    layer = layers.parse_layer("  2x12x9x11 -> 18 k3x5 s2x1 p1x2 d1x2 g6  # comment k1")
    assert layer.text == "2x12x9x11 -> 18 k3x5 s2x1 p1x2 d1x2 g6"
    assert (layer.batch, layer.ic, layer.ih, layer.iw, layer.oc) == (2, 12, 9, 11, 18)
    assert (layer.kernel, layer.stride, layer.dilation) == ((3, 5), (2, 1), (1, 2))
    assert layer.padding == ((1, 1), (2, 2)) and layer.groups == 6
    assert (layer.oh, layer.ow) == (5, 7)
    assert layer.weight_shape == (18, 2, 3, 5)
    assert layer.macs == 2 * 18 * 5 * 7 * 2 * 15
    assert layer.bytes == 4 * (2 * 12 * 99 + 2 * 18 * 35 + 18 * 2 * 15)


@pytest.mark.parametrize(
    "text",
    ["1x3x7x8 -> 4 k3 s2 psame", "1x3x9x9 -> 4 k4 psame", "1x3x8x5 -> 4 k3x1 s3 d2x1 psame"],
)
def test_geometry_is_that_of_a_plan(text):
    layer = layers.parse_layer(text)
    arguments = (np.ones(layer.weight_shape, np.float32), None, layer.stride)
    shape = (layer.batch, layer.ic, layer.ih, layer.iw)
    for padding in (layer.padding, "same"):
        plan = ob.Conv2dPlan(*arguments, padding, layer.dilation, layer.groups, input_shape=shape)
        assert plan.output_shape == (layer.batch, layer.oc, layer.oh, layer.ow)
        assert plan.flops == 2 * layer.macs
    x = np.random.default_rng(1).random(shape, np.float32)
    same, explicit = (ob.conv2d(x, *arguments, p, layer.dilation) for p in ("same", layer.padding))
    assert np.array_equal(same, explicit)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1x64x7x7 -> 64 k1 s2", "1x1"),
        ("1x64x1x1 -> 10 k1", "1x1 on one pixel"),
        ("1x64x7x7 -> 64 k3 p1", "3x3 stride 1"),
        ("1x3x7x7 -> 64 k3 p1", "other"),
        ("1x64x7x7 -> 64 k3 p1 s2", "other"),
        ("1x64x7x7 -> 64 k3 p1 g64", "depthwise"),
        ("1x64x7x7 -> 64 k3 p1 g16", "grouped"),
    ],
)
def test_kind(text, kind):
    assert layers.parse_layer(text).kind == kind


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "expected"),
        ("1x3x4x4 4 k1", "expected"),
        ("1x3x4 -> 4 k1", "3 numbers"),
        ("1x3x4x4 -> 4", "kernel"),
        ("1x3x4x4 -> 4 k1 k1", "twice"),
        ("1x3x4x4 -> 4 k1 q1", "q1"),
        ("1x3x4x4 -> 4 k", "numbers"),
        ("1x3x4x4 -> 4 k-1", "-1"),
        ("1x3x4x4 -> 4 k0", "at least 1"),
        ("1x3x4x4 -> 4 k1x1x1", "3 numbers"),
        ("1x3x4x4 -> 4 k1 g2", "2 groups"),
        ("1x3x4x4 -> 4 k5", "fit"),
        ("0x3x4x4 -> 4 k1", "nothing"),
        ("1x3x4x1048577 -> 4 k1", "1048576"),
    ],
)
def test_wrong_layer(text, word):
    with pytest.raises(BenchError, match=re.escape(word)):
        layers.parse_layer(text)


def test_sets_are_complete():
    assert {name: len(layers.read_layers(name)) for name in layers.set_names()} == SETS
    for name in SETS:
        texts = [layer.text for layer in layers.read_layers(name)]
        assert len(set(texts)) == len(texts), name


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("resnet50", 4.09),
        ("googlenet", 1.58),
        ("squeezenet", 0.35),
        ("mobilenet_v2", 0.30),
        ("efficientnet_b0", 0.385),
        ("vgg16", 15.47),
    ],
)
def test_multiply_adds_of_networks(name, gmacs):
    """With the counts in the comments, the sum is the network's as published."""
    text = resources.files("onebyone.bench").joinpath("shapes", f"{name}.txt").read_text("utf-8")
    total = 0
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            times = re.search(r"\((\d+) times\)", line)
            total += layers.parse_layer(line).macs * int(times.group(1) if times else 1)
    assert total / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_file_of_layers(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(f"# two\n\n{TINY}\n1x3x4x4 -> 4 k1 # last\n")
    assert [layer.text for layer in layers.read_layers(str(path))] == [TINY, "1x3x4x4 -> 4 k1"]
    path.write_text(f"{TINY}\nnonsense\n")
    with pytest.raises(BenchError, match=r"mine.txt:2: "):
        layers.read_layers(str(path))
    path.write_text("# nothing\n")
    with pytest.raises(BenchError, match="no layers"):
        layers.read_layers(str(path))


# -- what counts ----------------------------------------------------------------------------------


def test_large_layers_are_checked_by_rows(monkeypatch):
    layer = layers.parse_layer("1x5x40x7 -> 3 k3x2 s2x1 p1 d2x1")
    whole = problem.expected(layer, 1)
    monkeypatch.setattr(problem, "_CHECKED_MACS", layer.macs // 3)
    rows = problem.checked_rows(layer)
    assert {0, layer.oh - 1} <= set(rows) and len(rows) < layer.oh
    assert np.array_equal(problem.expected(layer, 1), whole[:, :, rows])


class Seat:
    """An engine without a process: the reference's result, changed by `spoil`."""

    def __init__(self, name, spoil=lambda rows: rows, breaks=None):
        self.spec = engines.EngineSpec(name, "", "")
        self.spoil, self.breaks, self.turns = spoil, breaks, 0

    def prepare(self, given):
        if self.breaks == "prepare":
            raise worker.WorkerError("does not serve this")
        return self.spoil(given.expected()), f"note of {self.spec.name}"

    def burst(self, seconds):
        self.turns += 1
        if self.breaks == "burst" and self.turns == 2:
            raise worker.WorkerError("crashed (SIGSEGV)")
        return worker.Burst(self.turns * 1e-3, self.turns * 0.5e-3, 7)


def off_by_one_column(rows):
    return np.roll(rows, 1, axis=-1)


def with_a_nan(rows):
    rows[0, 0, 0, 0] = np.nan
    return rows


def test_only_right_results_count():
    seats = [
        Seat("ours NHWC"),
        Seat("shifted", off_by_one_column),
        Seat("nan", with_a_nan),
        Seat("small", lambda rows: rows[:, :, :1]),
        Seat("unable", breaks="prepare"),
        Seat("crashing", breaks="burst"),
        Seat("peer"),
    ]
    given = problem.LayerProblem(layers.parse_layer(TINY))
    result = runner.race(given, seats, 1, runner.Pace(rounds=4, seconds=0))
    assert list(result.engines) == ["ours NHWC", "peer"]
    assert set(result.refused) == {"shifted", "nan", "small", "unable", "crashing"}
    assert "wrong" in result.refused["shifted"] and "wrong" in result.refused["nan"]
    assert "SIGSEGV" in result.refused["crashing"]
    assert [seat.turns for seat in seats] == [5, 0, 0, 0, 0, 2, 5]
    ours = result.engines["ours NHWC"]
    assert ours.bursts == [2e-3, 3e-3, 4e-3, 5e-3] and ours.median == pytest.approx(3.5e-3)
    assert ours.best == pytest.approx(1e-3) and ours.error == 0
    assert ours.note == "note of ours NHWC"
    assert result.ratio() == 1 and result.peak > 0


@pytest.mark.parametrize("cold", [False, True])
def test_time_burst(cold):
    calls = []
    between = (lambda: calls.append("sweep")) if cold else worker._nothing
    burst = worker.time_burst(lambda: calls.append("run"), 0.0, between)
    assert burst.calls >= 1 and 0 <= burst.best <= burst.median
    if cold:
        assert calls.count("sweep") == burst.calls >= 3


@pytest.mark.parametrize("peer", ["ours", *engines.PEERS])
def test_engines_agree_with_the_reference(peer):
    """Each in its own process, as in a run."""
    if peer == "ours":
        specs = [engines.ours(layout) for layout in engines.LAYOUTS]
    else:
        for package in engines.PEERS[peer].packages:
            pytest.importorskip(package)
        specs = engines.find_peers(peer)
    texts = [TINY, "1x6x7x7 -> 6 k3 psame s2 g6", "1x6x7x9 -> 12 k3x1 p1x0 d2 g3"]
    if peer != "ncnn":  # which takes one image at a time
        texts.append("2x6x4x5 -> 4 k1 g2")
    pace = runner.Pace(rounds=1, seconds=0)
    some = [problem.LayerProblem(layers.parse_layer(text)) for text in texts]
    for result in runner.measure(some, specs, 2, pace, cold=False, say=lambda result: None):
        assert result.refused == {}
        assert set(result.engines) == {spec.name for spec in specs}


def test_a_crash_is_reported_and_survived():
    spec = engines.EngineSpec("crashing", "crashing_engine", "Crashing")
    pace = runner.Pace(rounds=1, seconds=0)
    texts = ("1x2x3x3 -> 2 k1 g2", "1x3x4x4 -> 4 k1")
    some = [problem.LayerProblem(layers.parse_layer(text)) for text in texts]
    found = runner.measure(some, [spec], 1, pace, cold=False, say=lambda result: None)
    assert found[0].refused == {"crashing": "crashed (SIGABRT)"}
    assert found[1].refused == {"crashing": "RuntimeError: not this one either"}


# -- files ----------------------------------------------------------------------------------------


def made_up_run():
    """Two layers, two numbers of threads, two peers."""
    rows = []
    for threads in (1, 2):
        for text in (TINY, "1x8x6x6 -> 8 k3 p1 g8"):
            layer = layers.parse_layer(text)
            row = results.LayerResult(
                layer.text, layer.kind, threads, layer.macs, layer.bytes, 1e11
            )
            for name, ms in (("ours NHWC", 1.0), ("torch NCHW", 2.0), ("onnxruntime", 0.5)):
                bursts = [ms * 1e-3 * f for f in (1.0, 1.01, 0.99)]
                row.engines[name] = results.Measurement(bursts, ms * 1e-3, ms * 0.9e-3, 1e-7, "g")
            rows.append(row)
    rows[0].refused["ncnn"] = "crashed (SIGSEGV)"
    machine = {"CPU": "Made Up, 2 CPUs", "date": "2026-01-01 12:00", "onebyone": "0, avx2, gcc"}
    settings = {"cold": False, "algorithm": "auto"}
    return results.Run(machine, "onebyone bench", settings, {"1": 1e10, "2": 2e10}, rows)


def test_json_round_trip(tmp_path):
    path = str(tmp_path / "run.json")
    run = made_up_run()
    results.save_run(run, path)
    assert results.load_run(path) == run
    assert run.layers[0].ratio() == pytest.approx(0.5)


def slower(run, factor, engine="ours NHWC", layer=TINY):
    changed = copy.deepcopy(run)
    for row in changed.layers:
        if row.layer == layer and row.threads == 2:
            m = row.engines[engine]
            m.bursts, m.median = [b * factor for b in m.bursts], m.median * factor
    return changed


def test_compare(capsys):
    run = made_up_run()
    assert not compare.report(run, run)
    assert not compare.report(run, slower(run, 1.01))
    assert compare.report(run, slower(run, 1.3))
    out = capsys.readouterr().out
    assert "1.30 x" in out and TINY in out and "2 threads" in out
    assert not compare.report(slower(run, 1.3), run)
    noisy = slower(run, 1.3)
    noisy.layers[2].engines["ours NHWC"].bursts = [0.9e-3, 1.3e-3, 1.9e-3]
    assert not compare.report(run, noisy)


def test_compare_divides_the_machines_drift_out():
    run, later = made_up_run(), made_up_run()
    for row in later.layers:
        for m in row.engines.values():
            m.median *= 1.2
    assert compare.drift(run, later) == pytest.approx(1.2)
    assert not any(c.slower or c.faster for c in compare.changes(run, later))


def test_compare_refuses_what_cannot_be_compared():
    run, cold, other = made_up_run(), made_up_run(), made_up_run()
    cold.settings["cold"] = True
    with pytest.raises(BenchError, match="--cold"):
        compare.report(run, cold)
    other.layers = []
    with pytest.raises(BenchError, match="no layer"):
        compare.report(run, other)


def test_compare_command(tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    results.save_run(made_up_run(), str(a))
    results.save_run(slower(made_up_run(), 2), str(b))
    assert cli("bench", "--compare", a, a).returncode == 0
    result = cli("bench", "--compare", a, b)
    assert result.returncode == 1 and TINY in result.stdout and result.stderr == ""
    b.write_text('{"format": 1}')
    assert "b.json" in refused(cli("bench", "--compare", a, b))
    assert "missing.json" in refused(cli("bench", "--compare", a, tmp_path / "missing.json"))


def test_markdown(tmp_path):
    path = tmp_path / "run.md"
    markdown.write_markdown(made_up_run(), str(path))
    text = path.read_text("utf-8")
    assert "Made Up" in text and "## 2 threads" in text and f"| {TINY} |" in text
    assert "ncnn does not count" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| ")}
    assert len(widths) == 2


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    from onebyone.bench.plot import draw

    path = tmp_path / "run.png"
    draw(made_up_run(), str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    run = made_up_run()
    for row in run.layers:
        row.engines = {"ours NHWC": row.engines["ours NHWC"]}
    draw(run, str(path))


# -- the command ----------------------------------------------------------------------------------


def test_run(tmp_path):
    pytest.importorskip("rich")
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("r.json", "r.png", "r.md")]
    result = cli(
        *("bench", "--layer", TINY, "--against", "torch", "--rounds", "1", "--quick"),
        *("--json", files[0], "--plot", files[1], "--markdown", files[2]),
    )
    assert result.returncode == 0, result.stderr
    assert TINY in result.stdout and "torch" in result.stdout
    run = results.load_run(str(files[0]))
    assert run.engine_names() == ["ours NHWC", "ours NCHW", "torch NCHW", "torch NHWC"]
    assert run.layers[0].refused == {} and run.bandwidth["1"] > 0
    assert all(f.stat().st_size > 0 for f in files)


def test_explain():
    pytest.importorskip("rich")
    result = cli("bench", "--explain", TINY, "--quick")
    assert result.returncode == 0, result.stderr
    for name in _core.algorithms():
        assert (name in result.stdout) == (name != "reference")


def test_list_sets():
    result = cli("bench", "--list-sets")
    assert result.returncode == 0
    for name, count in SETS.items():
        assert re.search(rf"^{name} +{count} layers$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--set", "nonsense"), "resnet50"),
        (("--set", ","), "--set"),
        (("--layer", "1x3x4x4 -> 4"), "kernel"),
        (("--explain", "nonsense"), "expected"),
        (("--filter", "("), "--filter"),
        (("--filter", "no such layer"), "no such layer"),
        (("--against", "tensorflow"), "tensorflow"),
        (("--threads", "0"), "--threads"),
        (("--threads", "1,"), "--threads"),
        (("--rounds", "0"), "--rounds"),
        (("--algorithm", "magic", "--layer", TINY), "magic"),
        (("--plot", "out.jpg", "--layer", TINY), "out.jpg"),
        (("--json", "nowhere/out.json", "--layer", TINY), "nowhere"),
        (("--compare", "one.json"), "--compare"),
    ],
    ids=str,
)
def test_wrong_arguments(args, word):
    assert word in refused(cli("bench", *args))


@pytest.mark.parametrize(
    ("module", "args", "extra"),
    [
        ("rich", ("--against", "none"), "onebyone[bench]"),
        ("matplotlib", ("--against", "none", "--plot", "x.png"), "onebyone[bench]"),
        ("onnxruntime", ("--against", "onnxruntime"), "onebyone[bench-peers]"),
    ],
)
def test_missing_packages(module, args, extra):
    code = f"""
import sys
sys.modules[{module!r}] = None
from onebyone.cli import main
sys.exit(main(["bench", "--layer", {TINY!r}, *{args!r}]))
"""
    assert extra in refused(run_python(code))


def test_missing_peer_is_an_import_error(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="bench-peers"):
        engines.find_peers("torch")
    assert issubclass(MissingExtra, BenchError)
    assert engines.find_peers("all") == [] == engines.find_peers("none")
