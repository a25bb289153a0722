"""Notebook 00's panel without a browser: its controls, its late map, its uploads, and what it reads off results."""

import asyncio
import io
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import sliced_length
from semanticnn_core.config import CodecConfig
from semanticnn_core.datasets import DataError
from semanticnn_core.panels import playground, scene, upload
from semanticnn_core.panels.boxes import BoxesPanel
from semanticnn_core.panels.controls import OWN_IMAGE, TEST_IMAGES
from semanticnn_core.panels.opened import (
    Accuracy,
    Played,
    accuracy_at,
    list_checkpoints,
    open_played,
    read_curves,
    read_off,
)
from semanticnn_core.panels.page import WIDEST
from semanticnn_core.panels.playground import Playground
from semanticnn_core.systems.checkpoints import CheckpointError
from semanticnn_core.tasks import SplitModel

ROWS = [
    ("0.01", 1.0, 0, 0.90), ("0.01", 1.0, 1, 0.94), ("0.1", 1.0, 0, 0.72), ("0.1", 1.0, 1, 0.72),
    ("0.01", 0.25, 0, 0.8),
]  # fmt: skip


def write_results(folder, rows=ROWS, **more):
    table = pd.DataFrame(rows, columns=["ber", "share_sent", "seed", "accuracy"]).assign(**more)
    table.to_csv(folder / "results.csv", index=False)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def shelf(tmp_path):
    """Two published checkpoints with a codec, one without, and one of the user's own; no weights in them."""
    names = ("data/checkpoints/toys", "data/checkpoints/more", "data/checkpoints/base", "runs/checkpoints/toys")
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(json.dumps({"dataset": "quadrants"}))
        if not name.endswith("base"):
            (tmp_path / name / "semanticnn.safetensors").touch()
    write_results(tmp_path / "data/checkpoints/toys")
    return tmp_path


@pytest.fixture
def panel(shelf, split, codec, dataset, monkeypatch):
    codec.requires_grad_(False)

    def opened(name, folder, root, without_data, system):
        assert without_data
        if name == "more":
            raise CheckpointError("semanticnn.safetensors is <damaged>")
        test = dataset.test
        curves = read_curves(folder / "results.csv")
        return Played(name, split, codec, test["image"], test["label"], dataset.classes, curves, 0.97)

    monkeypatch.setattr(playground, "open_played", opened)
    return Playground("toys", 0.05, root=shelf / "data", runs=shelf / "runs")


def states(panel):
    return {canvas.state for canvas in (*panel.canvases.values(), panel.bits)} | {panel.plots.figure.data[0].meta}


def test_checkpoints_are_those_with_a_codec_the_published_first(shelf):
    found = list_checkpoints(shelf / "data", shelf / "runs")
    assert list(found) == ["more", "toys", "toys (runs)"]
    assert found["toys (runs)"] == (shelf / "runs/checkpoints/toys", "semanticnn")
    assert list_checkpoints(shelf / "nothing", shelf / "nowhere") == {}


def test_every_codec_of_a_checkpoint_is_offered_the_usual_one_under_its_name(shelf):
    (shelf / "data/checkpoints/toys/careful.safetensors").touch()
    (shelf / "data/checkpoints/toys/._bad.safetensors").touch()
    (shelf / "data/checkpoints/base/base.safetensors").touch()
    (shelf / "data/checkpoints/base/only.safetensors").touch()
    found = list_checkpoints(shelf / "data", shelf / "runs")
    assert list(found) == ["base/only", "more", "toys", "toys/careful", "toys (runs)"]
    assert found["toys/careful"] == (shelf / "data/checkpoints/toys", "careful")


def test_an_unknown_checkpoint_is_refused_by_name(shelf):
    with pytest.raises(CheckpointError, match="'mine'.*more, toys"):
        Playground("mine", root=shelf / "data", runs=shelf / "runs")


@pytest.mark.slow
def test_every_control_repaints_everything_and_says_so(panel):
    now = panel.controls
    assert now.ber.options[0] == ("0 %", 0.0) and now.ber.options[-1][1] == 0.2
    seen = set()
    for control, value in (
        (now.ber, 0.2),
        (now.seed, 5),
        (now.image, 3),
        (now.slice_ratio, 0.5),
        (now.window, "energy"),
    ):
        before = panel.canvases["received"].pixels, panel.bits.pixels, panel.canvases["map"].version
        control.value = value
        assert states(panel) == {str(panel.point)}
        seen.add(str(panel.point))
        after = panel.canvases["received"].pixels, panel.bits.pixels, panel.canvases["map"].version
        assert after[2] == before[2] + 1 and after[:2] != before[:2], control.description
    assert len(seen) == 5
    journey = scene.journey_at(panel.played, panel.subject, panel.point)
    assert torch.equal(journey.arrived, panel.journey.arrived)
    assert panel.plots.figure.data[1].y == pytest.approx((100 * journey.answer).tolist(), rel=1e-4)
    assert f"{len(journey.payload)} bytes" in now.status.value


@pytest.mark.slow
def test_accuracy_is_that_of_the_share_really_sent(panel):
    assert [value for _, value in panel.controls.slice_ratio.options] == [0.2, 0.5, 0.8, 1.0]  # 1 to 4 rows of 4
    for ratio, value in ((1.0, "92.0 ± 2.8 %"), (0.5, "80.0 ± 0.0 %")):
        panel.controls.slice_ratio.value, panel.controls.ber.value = ratio, 0.01
        assert f"accuracy {value}" in panel.controls.status.value


def test_without_errors_nothing_flips(panel):
    panel.controls.ber.value = 0.0
    assert panel.journey.flips == 0 and "0 of 192 bits flipped" in panel.controls.status.value


@pytest.mark.slow
def test_the_last_map_belongs_to_the_last_value_and_some_are_skipped(panel, monkeypatch):
    made = []
    real = scene.attribution_map
    monkeypatch.setattr(scene, "attribution_map", lambda *wish: made.append(wish) or real(*wish))

    async def drag():
        for _, ber in panel.controls.ber.options:
            panel.controls.ber.value = ber
            assert panel.canvases["received"].state == str(panel.point)  # at once
        assert panel.canvases["map"].state != str(panel.point)  # the map follows
        await panel.settled()

    asyncio.run(drag())
    assert states(panel) == {str(panel.point)}
    assert len(made) < len(panel.controls.ber.options) / 2
    expected = real(panel.played, panel.journey)
    assert panel.canvases["map"].pixels == np.dstack([expected, np.full(expected.shape[:2], 255, np.uint8)]).tobytes()


@pytest.mark.slow
def test_a_map_that_fails_is_told_and_the_next_one_comes(panel, monkeypatch):
    real = scene.attribution_map

    def fail(*_):
        raise RuntimeError("no <memory>")

    async def move(ber):
        panel.controls.ber.value = ber
        await panel.settled()

    monkeypatch.setattr(scene, "attribution_map", fail)
    asyncio.run(move(0.1))
    assert "no &lt;memory&gt;" in panel.controls.message.value
    monkeypatch.setattr(scene, "attribution_map", real)
    asyncio.run(move(0.2))
    assert panel.canvases["map"].state == str(panel.point)


@pytest.mark.slow
def test_the_outlined_window_is_the_one_that_is_sent(panel):
    now = panel.controls
    now.slice_ratio.value = 0.5
    rows = sliced_length(4, 0.5) / 4
    top, left, bottom, right = panel.canvases["image"].frame
    assert bottom - top == right - left == rows and top == left == math.floor((4 - 4 * rows) / 2) / 4
    now.window.value = "energy"
    found = set()
    for number in range(8):
        now.image.value = number
        index = panel.played.codec.quantizer.assign(panel.played.codec.encoder(panel.subject.feature))
        energy = panel.played.codec.importance_map(index, "energy")[0]
        top, left, bottom, right = (round(4 * edge) for edge in panel.canvases["map"].frame)
        size = bottom - top
        sums = energy.unfold(0, size, 1).unfold(1, size, 1).sum((2, 3))
        assert float(sums[top, left]) == pytest.approx(float(sums.max()), rel=1e-5)
        found.add((top, left))
    assert len(found) > 1


def test_importance_is_offered_where_there_is_a_table(panel):
    assert list(panel.controls.window.options) == ["center", "energy"]
    panel.played.codec.importance.copy_(torch.arange(32).view(4, 8) - 16)
    panel.controls.fit(panel.played, 0.4)
    assert list(panel.controls.window.options) == ["center", "importance", "energy"]


def test_another_checkpoint_is_opened_or_the_old_one_stays(panel):
    choice = panel.controls.checkpoint
    choice.value = "more"
    assert choice.value == "toys" and panel.played.name == "toys"
    assert "more cannot be opened: semanticnn.safetensors is &lt;damaged&gt;" in panel.controls.message.value
    choice.value = "toys (runs)"
    assert panel.played.name == "toys (runs)" and states(panel) == {str(panel.point)}
    assert "not measured" in panel.controls.status.value
    assert not panel.plots.figure.data[3].x and panel.plots.figure.data[5].x == ()


def test_play_moves_the_error_rate_in_the_page(panel):
    link = panel.controls.play_link
    assert link.source == (panel.controls.play, "value") and link.target == (panel.controls.ber, "index")
    panel.controls.ber.index = 0
    assert panel.point.ber == 0 and panel.controls.play.max == len(panel.controls.ber.options) - 1


@pytest.mark.slow
def test_the_picture_goes_to_the_browser_and_nowhere_else(panel, shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    before, sent = sorted(shelf.rglob("*")), []
    monkeypatch.setattr(panel.controls.save, "send", lambda content, buffers: sent.append((content["name"], *buffers)))
    panel.receive("$a <b>/../_$.png", encoded(Image.new("RGB", (9, 9)), "PNG"))
    panel.controls.save._handle_custom_msg({}, [])
    ((name, picture),) = sent
    assert name.endswith(".png") and not set(name) & set("/<>$ ")
    assert Image.open(io.BytesIO(picture)).size[0] > 1000 and sorted(shelf.rglob("*")) == before
    assert name in panel.controls.message.value


def test_names_are_spelt_as_they_are(panel):
    classes = ("a$b$", "<b>c</b>", "&lt;", "_d")
    panel.played = replace(panel.played, name="$x$ <i>", classes=classes)
    panel.update()
    names = panel.plots.figure.data[0].x
    assert names == ("a&#36;b&#36;", "&lt;b&gt;c&lt;/b&gt;", "&amp;lt;", "_d")
    assert "<b>c" not in panel.controls.status.value
    figure = scene.draw_scene(
        panel.played,
        panel.point,
        panel.journey,
        dict.fromkeys(scene.LABELS, np.zeros((4, 4, 3))),
        Accuracy(None, False, None),
    )
    (title,) = [each._suptitle.get_text() for each in figure.subfigs if each._suptitle]
    assert title.startswith(r"\$x\$ <i> · ")


def test_no_tool_leads_out_of_a_plot_and_it_fits_its_place(panel):
    plots = panel.plots
    assert plots.figure._config["displayModeBar"] is False and plots.figure.layout.width == WIDEST
    plots.page._handle_custom_msg({"width": 358}, [])
    assert plots.figure.layout.width == 358 and plots.figure.layout.xaxis.domain == (0, 1)
    assert plots.figure.layout.yaxis.domain[0] > plots.figure.layout.yaxis2.domain[1]
    plots.page._handle_custom_msg({"width": 1400}, [])
    assert plots.figure.layout.width == WIDEST and plots.figure.layout.yaxis.domain == (0, 1)


def test_pictures_say_in_words_what_they_show(panel):
    panel.controls.ber.value, panel.controls.image.value = 0.1, 2
    for canvas in (*panel.canvases.values(), panel.bits):
        assert "test 2, bit error rate 10 %, slice ratio 1, center window, channel seed 0" in canvas.words
    assert panel.bits.words.startswith(f"{panel.journey.flips} bits flipped")
    assert "most probable class uncompressed" in panel.plots.page.words and "at 10 %: 72.0 %" in panel.plots.page.words


@pytest.mark.slow
def test_without_its_data_a_checkpoint_shows_own_images(panel):
    whole = panel.played
    bare = replace(
        whole, name="toys (runs)", images=whole.images[:0], labels=whole.labels[:0], missing="get <quadrants>"
    )
    panel._opened["toys (runs)"] = bare
    panel.controls.image.value = 5
    panel.controls.checkpoint.value = "toys (runs)"
    now = panel.controls
    assert list(now.source.options) == [OWN_IMAGE] and now.image.disabled
    assert "no test images" in now.message.value and "get &lt;quadrants&gt;" in now.message.value
    assert states(panel) == {str(panel.point)} and panel.point.image == "own ?"
    panel.receive("red.png", encoded(Image.new("RGB", (9, 9), "red"), "PNG"))
    assert list(now.source.options) == ["red.png"] and panel.journey.image[:, 8, 8].tolist() == [255, 0, 0]
    now.checkpoint.value = "toys"
    assert list(now.source.options) == [TEST_IMAGES, "red.png"] and now.source.value == "red.png"
    assert now.message.value == ""
    now.source.value = TEST_IMAGES
    now.checkpoint.value = "toys (runs)"
    assert now.source.value == "red.png" and now.image.disabled


@pytest.mark.slow
def test_own_images_are_shown_and_left_again(panel):
    now = panel.controls
    red = encoded(Image.new("RGB", (50, 30), "red"), "PNG")
    panel.receive("a <b>;.png", red)
    assert now.source.value == "a <b>;.png" and now.image.disabled
    assert panel.journey.image[:, 8, 8].tolist() == [255, 0, 0]
    assert "&lt;b&gt;" in now.message.value and "cropped" in now.message.value and "truth" not in now.status.value
    panel.receive("a <b>;.png", encoded(Image.new("RGB", (30, 30), "blue"), "PNG"))  # the same name, another picture
    assert panel.journey.image[:, 8, 8].tolist() == [0, 0, 255]
    for number in range(6):
        panel.receive(f"{number}.png", red)
    assert list(now.source.options)[1:] == ["2.png", "3.png", "4.png", "5.png"]
    now.source.value = TEST_IMAGES
    assert torch.equal(panel.journey.image, panel.played.images[0]) and not now.image.disabled


def bad_files():
    png = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "PNG")
    eps = encoded(Image.new("RGB", (9, 9)), "EPS")
    bomb = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    bomb[16:24] = (10_000).to_bytes(4, "big") * 2  # the size that its header claims
    bomb[29:33] = __import__("zlib").crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    return {
        "empty": (b"", "empty"),
        "text": (b"I am no image", "no image that can be read"),
        "truncated": (png[: len(png) // 2], "damaged"),
        "header alone": (png[:20], "no image|damaged"),
        "another format": (eps, "no image that can be read"),
        "bomb": (bytes(bomb), "10000 × 10000 pixels"),
        "large": (bytes(upload.LARGEST_FILE + 1), "20 MB"),
        "floats": (encoded(Image.new("F", (9, 9)), "TIFF"), "floats"),
    }


@pytest.mark.parametrize("kind", bad_files())
@pytest.mark.slow
def test_bad_files_get_a_message_and_change_nothing(panel, kind):
    content, words = bad_files()[kind]
    with pytest.raises(DataError, match=words):
        upload.read_upload("<my>.png", content, 16)
    before = panel.canvases["image"].version
    panel.receive("<my>.png", content)
    assert "&lt;my&gt;.png" in panel.controls.message.value and "<my>" not in panel.controls.message.value
    assert panel.controls.source.value == TEST_IMAGES and panel.canvases["image"].version == before


def test_unusual_images_are_read():
    image = Image.new("RGB", (40, 40), (200, 30, 60))
    frames = {"save_all": True, "append_images": [Image.new("RGB", (40, 40), "blue")]}
    cases = {
        "cmyk": (encoded(image.convert("CMYK"), "JPEG"), ("CMYK turned into RGB without a colour profile",)),
        "gif": (encoded(image, "GIF", **frames), ("its first frame is shown",)),
        "webp": (encoded(image, "WEBP", lossless=True, **frames), ("its first frame is shown",)),
        "grey": (encoded(image.convert("L"), "PNG"), ()),
        "clear": (encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"), ()),
        "line": (encoded(Image.new("RGB", (4000, 1)), "PNG"), ("cropped to its centre square",)),
    }
    for name, (content, notes) in cases.items():
        read = upload.read_upload(name, content, 16)
        assert read.image.shape == (3, 16, 16) and read.image.dtype == torch.uint8 and read.notes == notes, name
    assert upload.read_upload("clear", cases["clear"][0], 16).image.min() == 255
    red = upload.read_upload("gif", cases["gif"][0], 16).image[:, 8, 8].int()
    assert (red - torch.tensor([200, 30, 60])).abs().max() <= 8


def test_a_file_arrives_in_pieces():
    got, failed = [], []
    picker = upload.FilePicker(lambda *file: got.append(file), failed.append)

    def send(upload, name, size, part=None, **more):
        message = {"upload": upload, "name": name, "size": size, **more}
        picker._collect(picker, message, [] if part is None else [memoryview(part)])

    for piece, parts in enumerate(((b"ab", b"AB"), (b"cd", b"CD"), (b"e", b"E"))):
        for which, part in zip("xX", parts, strict=True):  # two files whose pieces come by turns
            send(which, which, 5, part, piece=piece, pieces=3)
    assert got == [("x", b"abcde"), ("X", b"ABCDE")]
    send("2", "x", 0, b"", piece=0, pieces=1)
    assert got[2:] == [("x", b"")]
    send("3", "y", upload.LARGEST_FILE + 1, piece=0, pieces=0)
    send("4", "z", 5, b"a", piece=0, pieces=2)
    send("4", "z", 5, problem="NotReadableError")
    assert not picker._pieces
    assert len(failed) == 2 and "21 MB" not in failed[0] and "limit is 20 MB" in failed[0] and "z could" in failed[1]


def test_accuracy_is_read_off_and_never_invented(tmp_path):
    write_results(tmp_path)
    curves = read_curves(tmp_path / "results.csv")
    curve = curves[(1.0, "center")]
    there = read_off(curve, 0.01)
    assert (there.mean, there.between) == (pytest.approx(0.92), None)
    assert there.std == pytest.approx(np.std([0.90, 0.94], ddof=1))
    half = read_off(curve, math.sqrt(0.01 * 0.1))  # the middle, in log(ber)
    assert half.mean == pytest.approx((0.92 + 0.72) / 2) and half.between == (0.01, 0.1)
    assert read_off(curve, 0.0) is read_off(curve, 1e-3) is read_off(curve, 0.2) is None
    played = Played("toys", None, None, None, None, (), curves, None)
    assert accuracy_at(played, 0.25, "center", 0.01).reading.mean == 0.8
    assert accuracy_at(played, 1.0, "energy", 0.01).here  # the whole code is the same for all windows
    other = accuracy_at(played, 0.25, "energy", 0.01)
    assert not other.here and other.reading is None and other.curve is curve
    write_results(tmp_path, window="energy")
    assert accuracy_at(Played(*[None] * 5, (), read_curves(tmp_path / "results.csv"), None), 0.25, "energy", 0.01).here


def test_each_codec_has_its_own_curve(tmp_path):
    table = pd.DataFrame(ROWS, columns=["ber", "share_sent", "seed", "accuracy"])
    better = table.assign(accuracy=table["accuracy"] + 0.05)
    both = pd.concat([table.assign(system="semanticnn"), better.assign(system="careful")])
    both.to_csv(tmp_path / "results.csv", index=False)
    means = [
        read_curves(tmp_path / "results.csv", *name)[(1.0, "center")]["mean"].iloc[0] for name in ((), ("careful",))
    ]
    assert means == [pytest.approx(0.92), pytest.approx(0.97)]
    assert read_curves(tmp_path / "results.csv", "another") == {}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "ber,share_sent,accuracy\nx,y,z\n", "\x00\xff"])
def test_results_that_are_no_table_are_none(tmp_path, text):
    (tmp_path / "results.csv").write_bytes(text.encode("latin-1"))
    assert read_curves(tmp_path / "results.csv") == {}
    assert read_curves(tmp_path / "missing.csv") == {}
    played = Played("toys", None, None, None, None, (), {}, None)
    assert accuracy_at(played, 1.0, "center", 0.01) == Accuracy(None, False, None)


@pytest.mark.slow
def test_the_shipped_checkpoint_opens():
    found = list_checkpoints()
    folder, _ = found["mobilenet_v2-scene_digits"]
    played, tolerant = (open_played("shipped", folder, count=3, system=each) for each in ("semanticnn", "tolerant"))
    at_ten = [each.curves[(1.0, "center")]["mean"].iloc[-1] for each in (played, tolerant)]
    assert 0.89 < at_ten[0] < 0.905 and 0.915 < at_ten[1] < 0.93  # what each checkpoint's page says at 10 %
    assert len(played.images) == 3 and (1.0, "center") in played.curves and 0.9 < played.clean_accuracy < 1
    with pytest.raises(CheckpointError):
        open_played("nothing", folder.parent / "nothing")


@pytest.mark.slow
def test_a_checkpoint_opens_without_its_data_where_that_is_wanted(tmp_path, monkeypatch):
    folder, _ = list_checkpoints()["mobilenet_v2-cifar100"]
    with pytest.raises(DataError, match="cifar-100-python is not there"):
        open_played("other", folder, root=tmp_path)
    played = open_played("other", folder, root=tmp_path, without_data=True)
    assert played.images.shape == (0, 3, 64, 64) and len(played.classes) == 100
    assert "cifar-100-python is not there" in played.missing and "\n" not in played.missing


@pytest.mark.slow
def test_a_detector_has_its_own_panel_and_classifiers_come_back(shelf, split, codec, dataset, monkeypatch):
    model = SplitModel.of("yolov3_small", 2, 64, width=0.0625).frozen()
    shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
    finder = SemanticCodec(CodecConfig(**shape, code_channels=4, decoder_widths=(8,))).eval().requires_grad_(False)

    def opened(name, folder, root, without_data, system):
        if name == "more":
            images = torch.zeros(0 if root == "empty" else 2, 3, 64, 64, dtype=torch.uint8)
            return Played(name, model, finder, images, [], ("a", "b"), {}, None)
        return Played(name, split, codec, dataset.test["image"], dataset.test["label"], dataset.classes, {}, 0.97)

    monkeypatch.setattr(playground, "open_played", opened)
    panel = Playground("toys", 0.05, root=shelf / "data", runs=shelf / "runs")
    first = panel.children
    panel.controls.checkpoint.value = "more"
    boxes = panel.children[-1]
    assert isinstance(boxes, BoxesPanel) and boxes.ber.value == 0.05 and boxes.image.max == 1
    panel.controls.checkpoint.value = "toys"
    assert panel.children == first and len(states(panel)) == 1
    both = Playground("more", 0.1, root=shelf / "data", runs=shelf / "runs")
    assert isinstance(both.children[-1], BoxesPanel)
    both.controls.checkpoint.value = "toys"
    assert len(both.children) == len(first)
