"""`semanticnn quickstart`: a folder of photographs becomes a checkpoint and its page."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_commands import mistake, run

from semanticnn_core.commands import quickstart
from semanticnn_core.commands.quickstart import Quickstart
from semanticnn_core.commands.words import parsed
from semanticnn_core.runner.pages import is_ours


def paint_classes(root: Path, count: int, size: int = 40) -> Path:
    """Write noisy pictures of three classes: a bright bar that stands, lies, or is not there."""
    generator = np.random.default_rng(0)
    for name in ("standing", "lying", "nothing"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
            place = int(generator.integers(8, size - 12))
            bar = {"standing": np.s_[4:-4, place : place + 6], "lying": np.s_[place : place + 6, 4:-4]}.get(name)
            if bar:
                pixels[bar] += 120
            Image.fromarray(pixels).save(root / name / f"{number:03}.png")
    return root


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    paint_classes(tmp_path / "bars", 12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_folder_becomes_a_checkpoint_and_a_page(workplace, capsys, monkeypatch):
    monkeypatch.setattr(quickstart, "SEEN", (24 * 8, 24))
    run("quickstart bars --out made")
    captured = capsys.readouterr()
    *_, certain, checkpoint, report = captured.out.splitlines()
    assert (checkpoint, report) == ("checkpoint: made", "report: made/report.html") and is_ours(
        Path("made/report.html")
    )
    assert "of 6 test images" in certain and "near doubles" in certain
    config = json.loads(Path("made/config.json").read_text(encoding="utf-8"))
    assert config["dataset"] == "bars" and config["classes"] == ["lying", "nothing", "standing"]
    told = [line.removeprefix("$ ") for line in captured.err.splitlines() if line.startswith("$ ")]
    assert [shlex.split(each)[1] for each in told] == ["train-base", "train", "report"]
    assert config["commands"][-1] == told[0] and config["systems"]["semanticnn"]["commands"][-1] == told[1]
    assert "every image can be read" in captured.err, "the data were looked at first"
    assert config["training"][-1]["epochs"] == 8 and config["results"]["clean_accuracy"] > 0.5
    table = pd.read_csv("made/results.csv")
    assert table.loc[table["ber"] == 1e-4, "agreement"].mean() > 0.6


@pytest.mark.slow
def test_more_images_have_fewer_epochs_and_every_command_parses():
    command = Quickstart(Path("photos"), seed=3)
    for count, epochs in ((126, "20"), (2_500, "1"), (100_000, "1"), (8, "313")):
        words = command._commands(Path("out"), count)
        for each in words:
            parsed(each)
        assert words[0][words[0].index("--training.epochs") + 1] == epochs
        assert words[0][words[0].index("--training.batch-size") + 1] == str(min(16, count))
        assert [each[-1] for each in words[:2]] == ["3", "3"]


@pytest.mark.slow
def test_what_is_no_folder_of_classes_is_refused_before_any_work(workplace, capsys):
    assert "nowhere is no folder" in mistake("quickstart nowhere", capsys)
    (workplace / "data").mkdir()
    paint_classes(workplace / "data" / "bars", 3)
    assert "bars would be taken for data/bars" in mistake("quickstart bars", capsys)
    assert "has no class folders" in mistake(f"quickstart {workplace}/bars/lying", capsys)
    (workplace / "full").mkdir()
    (workplace / "full" / "report.html").write_text("<p>my own", encoding="utf-8")
    said = mistake(f"quickstart {workplace / 'bars'} --out full", capsys)
    assert "full/report.html was not written by semanticnn quickstart" in said
    assert not (workplace / "runs").exists() and len(list((workplace / "full").iterdir())) == 1
