"""`semanticnn report`: the page about a checkpoint, with and without data, table of results, codecs."""

import html
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_commands import made, mistake, run, workplace  # noqa: F401

from semanticnn_core.files import CHECKOUT
from semanticnn_core.runner import checkpoint_report

pytestmark = pytest.mark.usefixtures("workplace")


def text_of(path: str | Path) -> str:
    """Return what a page says, without its pictures."""
    page = Path(path).read_text(encoding="utf-8")
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(page).split())


def alternatives(path: str | Path) -> list[str]:
    return re.findall(r'<img alt="([^"]*)"', Path(path).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_without_a_table_of_results_it_is_measured_and_said(capsys, monkeypatch):
    monkeypatch.setattr(checkpoint_report, "BERS", (0.01, 0.05))
    run("report whole --data-root .")
    assert capsys.readouterr().out == "runs/reports/whole/report.html\n"
    said = text_of("runs/reports/whole/report.html")
    assert "Measured for this page on 8 test images with 3 channel seeds" in said
    assert "of 8 test images are answered right" in said and "near doubles" in said
    assert "ok: weights: all are finite" in said and "no table of importance" in said
    assert "semanticnn report whole" in said and "--data-root" not in said, "as anybody would give it"
    for heading in ("Score over", "Worst classes", "Examples", "What the answer rests on", "What it costs"):
        assert heading in said, heading
    assert "semanticnn export --checkpoint whole --system semanticnn" in said
    assert re.search(r"RAM, bytes [\d,]+ flash for tables, bytes [\d,]+", said)
    words = alternatives("runs/reports/whole/report.html")
    assert words and all(words) and any("5 % bit errors" in each for each in words)


@pytest.mark.slow
def test_a_table_of_results_is_shown_as_it_is(capsys):
    row = {"system": "semanticnn", "slice_ratio": 1.0, "window": "center", "share_sent": 1.0, "agreement": 0.5}
    rows = [row | {"ber": ber, "seed": seed, "accuracy": 0.815, "feature_mse": 1.0, "bytes": 24.0}
            for ber in (0.01, 0.05) for seed in range(2)]  # fmt: skip
    pd.DataFrame(rows).to_csv("whole/results.csv", index=False)
    run("report whole --data-root . --out page")
    said = text_of("page/report.html")
    assert "From results.csv" in said and "semanticnn 24 81.5% 81.5% –" in said and "Measured for" not in said


@pytest.mark.slow
def test_without_data_what_needs_them_is_left_out(capsys):
    Path("stripes.npz").unlink()
    run("report whole --data-root .")
    said = text_of("runs/reports/whole/report.html")
    assert "The images are missing (no data set 'stripes.npz'" in said and "Not known: the checkpoint has no" in said
    assert "What it costs" in said and "RAM, bytes" in said and "Worst classes" not in said and "Examples" not in said


@pytest.mark.slow
def test_without_a_codec_only_the_network_is_told_of(capsys):
    about = json.loads(Path("whole/config.json").read_text(encoding="utf-8")) | {"systems": {}}
    Path("whole/config.json").write_text(json.dumps(about), encoding="utf-8")
    run("report whole --data-root .")
    said = text_of("runs/reports/whole/report.html")
    assert "There is no codec yet" in said and "semanticnn train --checkpoint whole" in said
    assert alternatives("runs/reports/whole/report.html") == []


@pytest.mark.slow
def test_pages_of_others_stay_and_its_own_is_replaced(capsys):
    Path("stripes.npz").unlink()
    for _ in range(2):
        run("report whole --data-root . --out mine")
    Path("mine/report.html").write_text("<p>my own", encoding="utf-8")
    assert "mine/report.html was not written by semanticnn report" in mistake(
        "report whole --data-root . --out mine", capsys
    )
    assert "no codec 'other'" in mistake("report whole --data-root . --system other --out new", capsys)
    assert "no checkpoint 'nothing'" in mistake("report nothing", capsys)
    assert not Path("new").exists()


@pytest.mark.slow
def test_boxes_are_counted_and_painted(tmp_path, monkeypatch, capsys):
    shutil.copytree(CHECKOUT / "data/checkpoints/yolov3_small-scene_detection", tmp_path / "boxes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint_report, "LOOKED_AT", 4)
    run("report boxes --images 4 --out page")
    said, words = text_of("page/report.html"), alternatives("page/report.html")
    assert "mAP50 at 5 %" in said and re.search(r"1 % bit errors: \d+ of \d+ found", said)
    assert re.search(r"class objects uncompressed at 1 % at 5 % mistaken at 5 % for", said)
    assert any(each.startswith("boxes found at 10 % bit errors") for each in words)
