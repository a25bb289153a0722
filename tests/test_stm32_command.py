"""`semanticnn export`, called in this process: JSON and nothing else, mistakes in one line, any data set."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stm32_models import FILES, files

from semanticnn_core import cli
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.stm32 import build, check
from semanticnn_core.stm32.project import write_model
from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, Ranges, measure_ranges, quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems import load_checkpoint, open_checkpoint
from semanticnn_core.systems.checkpoints import save_checkpoint
from semanticnn_core.tasks.split import SplitModel

CHECKED = """
mismatching_bytes images payload_bytes ram_bytes stack_bytes flash_bytes instructions instructions_by_function toolchain
emulator witnesses
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `stripes.npz`, a checkpoint without codec, `bare`, and one with, `whole`."""
    folder, generator = tmp_path_factory.mktemp("workplace"), np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        images = generator.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        arrays |= {f"{split}_images": images, f"{split}_labels": np.arange(8) % 2}
    np.savez(folder / "stripes.npz", **arrays)
    torch.manual_seed(0)
    model = SplitModel.of("mobilenet_v2", 2, 32).frozen()
    config = CodecConfig(code_channels=4, centers=8, decoder_widths=(8, 8), parity=0.0)
    codec = SemanticCodec(config).eval().requires_grad_(False)
    codec.calibrate(model.device_part(torch.from_numpy(images).permute(0, 3, 1, 2)))
    for name, each in (("bare", None), ("whole", codec)):
        save_checkpoint(folder / name, model, each, {"dataset": "stripes.npz"})
    return folder


@pytest.fixture
def workplace(made, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return made


def export(command: str) -> None:
    cli.main(["export", *shlex.split(command)])


def mistake(command: str, capsys: pytest.CaptureFixture) -> str:
    """Run an export that must end in exit status 2 and one line on standard error; return it."""
    with pytest.raises(SystemExit) as caught:
        export(command)
    captured = capsys.readouterr()
    assert caught.value.code == 2 and captured.out == "" and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.slow
def test_an_export_is_checked_and_answered_in_json(workplace, capsys):
    export("--checkpoint whole --out checked --slice-ratio 0.5 --check --images 2 --core m4")
    answer = json.loads(capsys.readouterr().out)  # one object and nothing else
    assert set(answer) == set(CHECKED.split()) and (answer["mismatching_bytes"], answer["images"]) == (0, 2 + 24)
    assert answer["payload_bytes"] == 6 and {"zig, unicorn, m4", "zig, this machine"} <= set(answer["witnesses"])
    assert all(name in check.check_project.__doc__ for name in answer), "every figure is documented"
    assert "checkpoint `whole`: images of 32 px from stripes" in (workplace / "checked/README.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_an_export_that_sends_wrong_bytes_ends_in_failure(workplace, capsys, monkeypatch):
    monkeypatch.setattr(check, "check_project", lambda *arguments: {"mismatching_bytes": 3})
    with pytest.raises(SystemExit) as caught:
        export("--checkpoint whole --out differing --check --images 1")
    assert caught.value.code == 1 and json.loads(capsys.readouterr().out) == {"mismatching_bytes": 3}


@pytest.mark.slow
def test_mistakes_end_in_one_line(workplace, capsys, monkeypatch):
    export("--checkpoint whole --out plain")
    assert "plain: C for 24 bytes an image; start with its README.md" in capsys.readouterr().out
    assert set(files(workplace / "plain")) == set(FILES.split())
    assert "replace it with --force" in mistake("--checkpoint whole --out plain", capsys)
    assert "holds something else" in mistake("--checkpoint whole --out bare --force", capsys)
    assert "semanticnn train --checkpoint bare" in mistake("--checkpoint bare --out other", capsys)
    assert "fit_importance" in mistake("--checkpoint whole --out other --window importance", capsys)
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    assert "pip install ziglang" in mistake("--checkpoint whole --out plain --force --check", capsys)
    assert not (workplace / "other").exists()


@pytest.mark.slow
def test_an_export_works_in_a_locale_that_is_not_utf_8(workplace, monkeypatch):
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    command = (sys.executable, "-m", "semanticnn_core", "export", "--checkpoint", "whole", "--out", "plain-locale")
    build.run_tool(command, workplace)
    assert "·" in (workplace / "plain-locale/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("option", "named"),
    [("--slice-ratio 0", "(0, 1]"), ("--slice-ratio nan", "(0, 1]"), ("--images 0", "at least 1"), ("--core m0", "m7")],
)
def test_a_value_out_of_range_is_refused_before_anything_loads(option, named, capsys):
    with pytest.raises(SystemExit) as caught:
        export(f"--out nowhere {option}")
    assert caught.value.code == 2 and named in capsys.readouterr().err and not Path("nowhere").exists()


@pytest.mark.slow
def test_without_data_a_checkpoint_s_own_calibration_makes_the_firmware(tmp_path, capsys):
    """Tables follow from the ranges that it keeps; extreme images are the vectors."""
    root, name = tmp_path / "nothing", "mobilenet_v2-cifar100"
    root.mkdir()
    cli.main(f"export --checkpoint {name} --data-root {root} --out {tmp_path}/c".split())
    assert "only extreme images travel with it" in capsys.readouterr().err
    sizes = (tmp_path / "c/vectors/sizes.txt").read_text(encoding="utf-8")
    assert "payload_bytes=384" in sizes and "images=24" in sizes
    checkpoint = load_checkpoint(name)
    ranges = Ranges(**checkpoint.about["systems"]["semanticnn"]["ranges"])
    model, codec = checkpoint.model, checkpoint.codec
    firmware = Firmware(quantize_encoder(model, codec, ranges), codec, model.feature_shape)
    write_model(firmware, root)
    assert (root / "snn_model.c").read_text() == (tmp_path / "c/src/snn_model.c").read_text()


@pytest.mark.slow
def test_the_published_calibration_is_that_of_the_training_images():
    checkpoint, data = open_checkpoint("mobilenet_v2-scene_digits")
    kept = Ranges(**checkpoint.about["systems"]["semanticnn"]["ranges"])
    measured = measure_ranges(checkpoint.model, checkpoint.codec, data.train.first(CALIBRATION_IMAGES)["image"])
    assert kept.latent == pytest.approx(measured.latent, rel=1e-5) and kept.feature == pytest.approx(measured.feature)
