"""The command line, called in this process: help, mistakes in one line, JSON, and training from end to end."""

import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from semanticnn_core import cli
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.commands.shared import this_command
from semanticnn_core.commands.train import Train
from semanticnn_core.commands.words import COMMANDS
from semanticnn_core.config import DEFAULT_CHECKPOINT, CodecConfig, Stage
from semanticnn_core.systems import load_checkpoint
from semanticnn_core.systems.checkpoints import save_checkpoint
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training import loop

SMALL = "--codec.code-channels 4 --codec.decoder-widths 8 8 --codec.centers 4"
ONE_EPOCH = "--stage1.epochs 1 --stage2.epochs 1 --stage1.batch-size 8 --stage2.batch-size 8"


def semanticnn(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `semanticnn COMMAND` from Python: what this process itself was started with is nobody's business."""
    monkeypatch.setattr(sys, "argv", ["/x/ipykernel_launcher.py", "-f", "/x/runtime/kernel-1.json"])
    cli.main(shlex.split(command))


def mistake(command: str, capsys: pytest.CaptureFixture) -> str:
    """Run a command that must end in exit status 2 with no traceback; returns what it says on standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(shlex.split(command))
    captured = capsys.readouterr()
    assert caught.value.code == 2 and captured.out == ""
    return " ".join(captured.err.replace("│", " ").split())  # whatever width the box around it has


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, with `stripes.npz`: 30 images of two classes that any network tells apart."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 16), ("val", 6), ("test", 8)):
        labels = np.arange(count) % 2
        images = generator.integers(0, 90, (count, 32, 32, 3), dtype=np.uint8)
        images[labels == 1, ::2] += 120
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(tmp_path / "stripes.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.slow
def test_help_describes_every_command(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command.split(), "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert caught.value.code in (None, 0)
    expected = COMMANDS if not command else [COMMANDS[command].__doc__.split()[0], "--"]
    assert all(each in out for each in expected)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("evaluate --chekpoint x", "--checkpoint"),
        ("evaluate --slice-ration 0.5", "--slice-ratio"),
        ("train --stage1.epoch 3", "--stage1.epochs"),
        ("train-base --image_sise 32", "--image-size"),
    ],
)
@pytest.mark.slow
def test_a_mistyped_option_suggests_the_right_one(command, wanted, capsys):
    assert wanted in mistake(command, capsys)


def test_an_unknown_command_is_answered_with_the_known_ones(capsys):
    said = mistake("evalute", capsys)
    assert "evaluate" in said and "train-base" in said


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("evaluate --ber 0.7", ["--ber", "0.7"]),
        ("evaluate --ber 0.01 -0.1", ["--ber"]),
        ("evaluate --slice-ratio 0", ["--slice-ratio", "(0, 1]"]),
        ("evaluate --seeds 0", ["--seeds", "[1, 10000]"]),
        ("evaluate --limit 0", ["--limit", "at least 1"]),
        ("evaluate --seeds some", ["seeds", "some"]),
        ("evaluate --name uncompressed", ["--name", "uncompressed"]),
        ("train --slices 0.5 1", ["--slices", "1"]),
        ("train-base --start x --pretrained", ["--start and --pretrained"]),
        ("train --codec.centers 9", ["--codec.centers", "power of two", "9"]),
        ("train --codec.centers 128", ["--codec.centers", "[2, 64]"]),
        ("train --stage1.learning-rate nan", ["--stage1.learning-rate"]),
        ("train --stage2.ber 0.05 0.01", ["--stage2.ber"]),
        ("train-base --training.epochs -1", ["--training.epochs", "[0, 100000]"]),
        ("train-base --model vgg", ["model", "vgg", "resnet50"]),
    ],
)
@pytest.mark.slow
def test_a_value_out_of_range_is_refused_naming_the_field(command, named, capsys):
    said = mistake(command, capsys)
    assert [each for each in named if each not in said] == [] and "Traceback" not in said


def test_what_is_not_there_is_named_beside_what_is(capsys, workplace):
    said = mistake("evaluate --checkpoint mobilenet", capsys)
    assert said.startswith("error: no checkpoint 'mobilenet'") and DEFAULT_CHECKPOINT in said
    assert "'flowers'" in mistake("train-base --dataset flowers", capsys)
    assert "--image-size must be in [32" in mistake("train-base --dataset stripes.npz --image-size 16", capsys)
    assert "'99'" in mistake("run 99", capsys)


@pytest.mark.slow
def test_a_checkpoint_without_codec_cannot_be_evaluated(capsys, workplace):
    save_checkpoint(workplace / "bare", SplitModel.of("mobilenet_v2", 2, 32), None, {"dataset": "stripes.npz"})
    assert "semanticnn train --checkpoint bare" in mistake("evaluate --checkpoint bare", capsys)


@pytest.mark.slow
def test_a_checkpoint_without_facts_is_evaluated_on_a_named_data_set(capsys, workplace, monkeypatch):
    codec = SemanticCodec(CodecConfig(code_channels=4, centers=8, decoder_widths=(8, 8), parity=0.0)).eval()
    codec.calibrate(torch.rand(4, 32, 16, 16))
    save_checkpoint(workplace / "mine", SplitModel.of("mobilenet_v2", 2, 32), codec, {})
    asked = "mine does not say what it was trained on; name it with --dataset"
    for command in ("evaluate --checkpoint mine", "train --checkpoint mine", "export --checkpoint mine --out c"):
        assert asked in mistake(command, capsys)
    semanticnn("evaluate --checkpoint mine --dataset stripes.npz --ber 0.01 --seeds 1 --out table.csv", monkeypatch)
    commands = pd.read_csv("table.csv")["command"]
    assert commands[1].startswith("semanticnn evaluate --checkpoint mine --dataset stripes.npz")


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.slow
def test_a_data_set_with_other_classes_than_the_network_s_is_refused(command, capsys, workplace):
    said = mistake(f"{command} --dataset stripes.npz", capsys)
    assert "stripes has 2 classes" in said and "tells 10 apart" in said and "train-base --dataset" in said


def test_a_command_is_recorded_as_anybody_would_give_it(monkeypatch):
    recorded = []
    for kind in (COMMANDS["evaluate"], Train):
        monkeypatch.setattr(kind, "__call__", lambda self: recorded.append(this_command()))
    semanticnn("evaluate --limit 20 --ber 0.01 --out nb.csv --data-root /x/data", monkeypatch)
    semanticnn("train --resume --data_root=/x --slices 0.5", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["/x/bin/semanticnn", "evaluate", "--name", "two words"])
    cli.main()
    assert recorded == [
        "semanticnn evaluate --limit 20 --ber 0.01 --out nb.csv", "semanticnn train --slices 0.5",
        "semanticnn evaluate --name 'two words'",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["evaluate", "train", "train-base", "export"])
def test_a_home_is_expanded_in_every_path(command, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    called = []
    monkeypatch.setattr(COMMANDS[command], "__call__", lambda self: called.append(self))
    cli.main([command, "--out=~/made.csv", "--data-root=~/data"])
    assert (called[0].out, called[0].data_root) == (tmp_path / "made.csv", tmp_path / "data")


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def broken(self) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(COMMANDS["evaluate"], "__call__", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        cli.main(["evaluate"])


@pytest.mark.slow
def test_the_shipped_checkpoint_in_json(capsys, workplace, monkeypatch):
    semanticnn("evaluate --json --limit 60 --seeds 1 --ber 0.01", monkeypatch)
    answer = json.loads(capsys.readouterr().out)  # one object and nothing else
    assert {key: answer[key] for key in ("payload_bytes", "image_bytes", "feature_bytes")} == {
        "payload_bytes": 384,
        "image_bytes": 12288,
        "feature_bytes": 32768,
    }
    (result,) = answer["results"]
    assert (result["ber"], result["slice_ratio"], result["seed"], result["bytes"]) == (0.01, 1.0, 0, 384)
    shares = answer["clean_accuracy"], result["accuracy"], result["agreement"]
    assert all(0 <= share <= 1 and share * 60 == pytest.approx(round(share * 60)) for share in shares)


@pytest.mark.slow
def test_train_base_then_train_then_evaluate(capsys, workplace, monkeypatch):
    semanticnn(
        "train-base --dataset stripes.npz --image-size 32 --training.epochs 1 --training.batch-size 8", monkeypatch
    )
    base = Path("runs/checkpoints/mobilenet_v2-stripes")
    assert f"{base}: test accuracy" in capsys.readouterr().out
    assert load_checkpoint(str(base)).systems == {}
    assert "train-base --dataset stripes.npz" in (base / "README.md").read_text()
    assert not list((workplace / base).glob(".*"))

    longer = f"train-base --start {base} --dataset stripes.npz --training.epochs 1 --training.noise 9 --out longer"
    semanticnn(longer, monkeypatch)
    again = load_checkpoint("longer")
    assert again.model.image_size == 32 and again.about["commands"][1:] == [f"semanticnn {longer}"]
    assert [each["noise"] for each in again.about["training"]] == [0.0, 9.0]

    command = f"train --checkpoint {base} --out made --limit 12 {ONE_EPOCH} {SMALL}"
    semanticnn(command, monkeypatch)
    assert "stripes" in capsys.readouterr().out
    made = workplace / "made"
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md", "base.safetensors", "config.json", "results.csv", "semanticnn.safetensors",
    ]  # fmt: skip
    first, second = load_checkpoint(str(base)), load_checkpoint(str(made))
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), "the task network is published as it was"
    assert (second.codec.config.centers, second.codec.config.decoder_widths) == (4, (8, 8))
    own = second.about["systems"]["semanticnn"]
    assert own["training"]["stage1"]["epochs"] == 1 and own["results"]["payload_bytes"] == 16
    readme = (made / "README.md").read_text()
    assert f"semanticnn {command}" in readme and "semanticnn train-base" in readme

    semanticnn("evaluate --checkpoint made --json --seeds 2 --ber 0 0.05 --slice-ratio 1 0.5", monkeypatch)
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(row["slice_ratio"], row["ber"], row["seed"]) for row in results] == [
        (ratio, ber, seed) for ratio in (1.0, 0.5) for ber in (0.0, 0.05) for seed in range(2)
    ]
    assert second.codec.importance.any(), "the table of importance was fitted"
    semanticnn("evaluate --checkpoint made --json --seeds 1 --slice-ratio 0.3 --window importance", monkeypatch)
    results = json.loads(capsys.readouterr().out)["results"]
    assert {(row["window"], row["bytes"]) for row in results} == {("importance", 6)}
    semanticnn("evaluate --checkpoint made --seeds 1", monkeypatch)
    out = capsys.readouterr().out
    assert "uncompressed:" in out and "of 8 test images" in out and "16 B sent" in out
    measuring = "evaluate --checkpoint made --seeds 2 --ber 0.01 --out table.csv --name ours"
    semanticnn(f"{measuring} --data_root .", monkeypatch)
    table = pd.read_csv("table.csv")
    assert table["system"].tolist() == ["uncompressed", "ours", "ours"] and set(table["images"]) == {8}
    assert table["command"][1].endswith(f" && semanticnn {command} && semanticnn {measuring}")
    capsys.readouterr()
    assert "on 8 images" in mistake(f"{measuring} --limit 4", capsys)

    finer = "train --checkpoint made --finetune --limit 12 --stage2.epochs 1 --out finer"
    semanticnn(finer, monkeypatch)
    third = load_checkpoint("finer")
    assert third.codec.config == second.codec.config and third.about["commands"] == first.about["commands"]
    own = third.about["systems"]["semanticnn"]
    assert own["commands"] == [f"semanticnn {command}", f"semanticnn {finer}"]
    assert own["training"]["stage1"]["epochs"] == len(own["training"]["finetune"]) == 1
    other = f"train --checkpoint made --encoder finer --limit 12 {ONE_EPOCH} --codec.decoder-widths 6 6"
    other = f"{other} --system tolerant --stage2.lost 0.5 --slices --out newer"
    semanticnn(other, monkeypatch)
    newer = load_checkpoint("newer")
    assert newer.system("tolerant").config == dataclasses.replace(third.codec.config, decoder_widths=(6, 6))
    assert newer.about["systems"]["tolerant"]["training"]["stage2"]["lost"] == 0.5
    assert newer.about["systems"]["tolerant"]["commands"] == [*own["commands"], f"semanticnn {other}"]
    capsys.readouterr()
    assert "--finetune and --encoder exclude each other" in mistake(f"{other} --finetune", capsys)
    whole = f"train --checkpoint made --start newer --limit 12 {SMALL} --stage2.epochs 1 --slices --out begun"
    whole = f"{whole} --system tolerant"
    semanticnn(whole, monkeypatch)
    begun = load_checkpoint("begun").about["systems"]["tolerant"]
    before = newer.about["systems"]["tolerant"]
    assert begun["settings"] == before["settings"] and begun["commands"] == [*before["commands"], f"semanticnn {whole}"]
    assert begun["training"]["stage1"] == before["training"]["stage1"] and len(begun["training"]["finetune"]) == 1
    capsys.readouterr()
    alone = (
        f"train --checkpoint made --limit 12 {SMALL} --stage1.epochs 1 --stage2.epochs 0 --slices --out alone "
        "--system denoised"
    )
    semanticnn(alone, monkeypatch)
    assert "stage 2" not in capsys.readouterr().err
    assert load_checkpoint("alone").about["systems"]["denoised"]["training"]["stage2"]["epochs"] == 0
    assert "nor stage2 where it is all there is" in mistake(f"{finer} --stage2.epochs 0", capsys)
    assert "stage1 cannot have 0 epochs" in mistake("train --checkpoint made --stage1.epochs 0", capsys)
    for name, value in {"crop": 16, "sensitivity": 0.5}.items():
        assert f"leave stage2.{name} out" in mistake(f"train --checkpoint made --stage2.{name} {value}", capsys)
    detector = "train --checkpoint yolov3_small-scene_detection --start made"
    assert "the encoder of made is for features of 32 channels" in mistake(detector, capsys)
    moved = [not torch.equal(a, b) for a, b in zip(second.codec.parameters(), third.codec.parameters(), strict=True)]
    assert any(moved) and torch.equal(second.codec.quantizer.code, third.codec.quantizer.code)


@pytest.mark.slow
def test_train_resumes_where_it_stopped(capsys, workplace, monkeypatch):
    command = "train-base --dataset stripes.npz --image-size 32 --training.epochs 2 --training.batch-size 8"
    semanticnn(command, monkeypatch)
    expected = load_checkpoint("runs/checkpoints/mobilenet_v2-stripes").model.state_dict()
    done = loop._save_state

    def stop(*arguments) -> None:
        done(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="--resume"):
        patch.setattr(loop, "_save_state", stop)
        semanticnn(command, monkeypatch)
    semanticnn(command + " --resume", monkeypatch)
    again = load_checkpoint("runs/checkpoints/mobilenet_v2-stripes").model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in expected.items())
    capsys.readouterr()
    assert "learning_rate = 0.002, not 0.01" in mistake(f"{command} --training.learning-rate 0.01 --resume", capsys)
    assert "images = 16, not 12" in mistake(f"{command} --limit 12 --resume", capsys)


@pytest.mark.slow
def test_stage_2_never_goes_on_from_an_earlier_training(workplace, monkeypatch):
    semanticnn("train-base --dataset stripes.npz --image-size 32 --training.epochs 1", monkeypatch)
    command = f"train --checkpoint runs/checkpoints/mobilenet_v2-stripes {ONE_EPOCH} {SMALL} --slices --out made"
    semanticnn(command, monkeypatch)
    state = "made-*/semanticnn-stage2"
    assert list(Path("runs/training").glob(state))

    def stop(*arguments, **options) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("semanticnn_core.training.pretrain_denoising", stop)
        semanticnn(f"{command} --stage1.seed 1", monkeypatch)
    assert not list(Path("runs/training").glob(state))


@pytest.mark.slow
def test_a_new_task_network_takes_codec_and_table_of_the_old_one_away(workplace, monkeypatch):
    base = "train-base --dataset stripes.npz --image-size 32 --training.epochs 1"
    semanticnn(base, monkeypatch)
    folder = Path("runs/checkpoints/mobilenet_v2-stripes")
    semanticnn(f"train --checkpoint {folder} {ONE_EPOCH} {SMALL} --slices", monkeypatch)
    assert set(pd.read_csv(folder / "results.csv")["slice_ratio"]) == {1.0}, "no slices were asked for"
    first = (folder / "semanticnn.safetensors").read_bytes()
    second = f"train --checkpoint {folder} {ONE_EPOCH} {SMALL} --codec.code-channels 2 --slices --system other"
    semanticnn(second, monkeypatch)
    assert (folder / "semanticnn.safetensors").read_bytes() == first, "the first stays as it was"
    both = load_checkpoint(str(folder))
    assert (both.system("semanticnn").config.code_channels, both.system("other").config.code_channels) == (4, 2)
    assert both.about["systems"]["other"]["commands"] == [f"semanticnn {second}"]
    assert pd.read_csv(folder / "results.csv")["system"].unique().tolist() == ["semanticnn", "other"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "## semanticnn" in readme and "## other" in readme and f"semanticnn {second}" in readme
    semanticnn(base, monkeypatch)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "base.safetensors", "config.json"]


def test_a_recipe_says_how_long_unless_the_stages_do():
    assert [stage.epochs for stage in Train(recipe="long").stages] == [4, 30]
    assert [stage.epochs for stage in Train(stage2=Stage(epochs=7, ber=(0.01, 0.02))).stages] == [2, 7]
    assert Train(stage2=Stage(epochs=7, ber=(0.01, 0.02))).stages[1].ber == (0.01, 0.02)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error():
    run = subprocess.Popen(
        [sys.executable, "-m", "semanticnn_core", "benchmark", "--list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    run.stdout.close()
    assert run.wait(60) == 1 and run.stderr.read() == b""
