"""Trained networks: rapidocr's PP-OCR models read the same text here and by onnxruntime."""

from pathlib import Path

import numpy as np
import onebyone as ob
import pytest
from PIL import Image

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
rapidocr = pytest.importorskip(
    "rapidocr", reason='needs the package rapidocr: pip install "onebyone[test-models]"'
)

LINES = ["Network in Network", "mixes 512 feature maps", "with 1x1 filters."]
MODELS = sorted((Path(rapidocr.__file__).parent / "models").glob("*.onnx"))


@pytest.fixture(scope="module")
def page():
    """A page of text as (H, W, 3)."""
    from PIL import ImageDraw, ImageFont

    image = Image.new("RGB", (640, 260), (250, 248, 240))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=40)
    for i, line in enumerate(LINES):
        draw.text((40, 30 + 70 * i), line, fill=(20, 30, 60), font=font)
    return np.asarray(image)


class Ours:
    """What rapidocr calls instead of onnxruntime; compiled for each size that comes."""

    def __init__(self, path):
        self.graph, self.net, self.calls = ob.onnx.load(path), None, 0

    def __call__(self, x):
        x = np.ascontiguousarray(x, np.float32)
        self.net = self.net or ob.compile(self.graph, x.shape)
        self.calls += 1
        return self.net(x)


def model_of(task):
    found = [path for path in MODELS if f"_{task}" in path.name]
    if not found:
        pytest.skip(f"this rapidocr carries no model for {task}")
    return found[0]


def test_reads_the_same_text(page):
    engine = rapidocr.RapidOCR(params={"Global.log_level": "critical"})
    want = engine(page)
    assert list(want.txts) == LINES
    sessions = {task: Ours(model_of(task)) for task in ("det", "cls", "rec")}
    for task, session in sessions.items():
        # They are there from the first call on, those that it used.
        if (stage := getattr(engine, f"text_{task}")) is not None:
            stage.session = session
    got = engine(page)
    assert sessions["det"].calls and sessions["rec"].calls
    assert got.txts == want.txts
    np.testing.assert_allclose(got.boxes, want.boxes, atol=1)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-3)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [(1, 64, 192), (2, 96, 160)], ids=str)
def test_computes_the_same_numbers(path, size, page):
    """Real pixels: on noise, detection answers nothing but zeros."""
    batch, height, width = size
    graph = ob.onnx.load(path)
    height = graph.inputs[0].shape[2] if isinstance(graph.inputs[0].shape[2], int) else height
    image = Image.fromarray(page).resize((width, height))
    x = np.asarray(image, np.float32).transpose(2, 0, 1)[None].repeat(batch, 0) / 127.5 - 1
    x[1:] = x[1:, :, :, ::-1]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {graph.inputs[0].name: x})
    got = ob.compile(graph, x.shape)(x)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()


def test_summary_and_layout(page):
    graph = ob.onnx.load(model_of("det"))
    text = graph.summary([(1, 3, 64, 96)])
    assert "Conv" in text and "(1, 1, 64, 96)" in text
    x = np.ascontiguousarray(page[None, :64, :96], np.float32) / 127.5 - 1
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    y = ob.compile(graph, x.shape, layout="NHWC")(x)
    want = ob.compile(graph, channels_first.shape)(channels_first)
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), want, atol=1e-5)
