"""encode, decode and doctor, and what all commands do with paths, streams and mistakes."""

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import make_dataset, make_split

from semanticnn_core import cli
from semanticnn_core.channels import Arrival, BinarySymmetric, Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.commands.words import COMMANDS
from semanticnn_core.config import CodecConfig, CodecTrainConfig, Slice
from semanticnn_core.datasets import ImageDataset, load_dataset
from semanticnn_core.evaluation import doctor
from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems import SemanticNN, load_checkpoint
from semanticnn_core.systems.checkpoints import Checkpoint, save_checkpoint
from semanticnn_core.tasks.split import SplitModel

NOT_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `stripes.npz`, an untrained checkpoint `whole` for it, and the pictures 0.png and 1.png."""
    folder, generator = tmp_path_factory.mktemp("workplace"), np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        images = generator.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        arrays |= {f"{split}_images": images, f"{split}_labels": np.arange(8) % 2}
    np.savez(folder / "stripes.npz", **arrays)
    for number in range(2):
        Image.fromarray(images[number]).save(folder / f"{number}.png")
    torch.manual_seed(0)
    model = SplitModel.of("mobilenet_v2", 2, 32).frozen()
    config = CodecConfig(code_channels=4, centers=8, decoder_widths=(8, 8), parity=0.0)
    codec = SemanticCodec(config).eval().requires_grad_(False)
    codec.calibrate(model.device_part(torch.from_numpy(images).permute(0, 3, 1, 2)))
    save_checkpoint(folder / "whole", model, codec, {"dataset": "stripes.npz", "classes": ["0", "1"]})
    return folder


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, holding a copy of all that was made."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> None:
    cli.main(shlex.split(command))


def mistake(command: str, capsys: pytest.CaptureFixture) -> str:
    """Run a command that must end in exit status 2 and one line on standard error; return the line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(command)
    captured = capsys.readouterr()
    assert caught.value.code == 2 and captured.out == "" and captured.err.count("\n") == 1, captured
    return captured.err


# --- encode and decode ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_images_become_a_board_s_bytes_and_damaged_bytes_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = load_dataset("scene_digits")
    batch = data.test.batch(range(3))
    for number, image in enumerate(batch["image"]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(f"{number}.png")
    run("encode 0.png 1.png 2.png --out sent.bin")
    captured = capsys.readouterr()
    assert captured.out == "sent.bin: 1152 bytes, 384 for each of 3 images\n" and captured.err == ""

    checkpoint = load_checkpoint()
    encoder = quantize_encoder(checkpoint.model, checkpoint.codec, data.train.first(CALIBRATION_IMAGES)["image"])
    firmware = Firmware(encoder, checkpoint.codec, checkpoint.model.feature_shape)
    payload = Payload(firmware.payload(batch["image"]))
    assert Path("sent.bin").read_bytes() == payload.data.numpy().tobytes(), "what the firmware sends"

    arrival = BinarySymmetric(0.02, 1)(payload)
    Path("arrived.bin").write_bytes(arrival.payload.data.numpy().tobytes())
    run("decode arrived.bin --ber 0.02 --json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["payload_bytes"], answer["ber"]) == (384, 0.02)
    expected = SemanticNN(checkpoint.model, checkpoint.codec).receive(arrival).outputs.softmax(1).sort(descending=True)
    for number, each in enumerate(answer["answers"]):
        assert each["payload"] == number
        assert [int(one["class"]) for one in each["candidates"]] == expected.indices[number, :3].tolist()
        assert [one["probability"] for one in each["candidates"]] == expected.values[number, :3].tolist()
    assert [int(each["candidates"][0]["class"]) for each in answer["answers"]] == batch["label"].tolist()


@pytest.mark.slow
def test_both_sides_agree_on_slice_and_rate(workplace, capsys, monkeypatch):
    config = workplace / "whole/config.json"
    about = json.loads(config.read_text(encoding="utf-8")) | {"classes": ["plain", "striped"]}
    config.write_text(json.dumps(about), encoding="utf-8")
    options = "--checkpoint whole --slice-ratio 0.5 --progressive"
    run(f"encode 0.png 1.png --out sent.bin {options} --float")
    assert capsys.readouterr().err == ""
    checkpoint = load_checkpoint("whole")
    system = SemanticNN(checkpoint.model, checkpoint.codec, Slice(0.5, progressive=True))
    images = torch.stack([torch.from_numpy(np.array(Image.open(f"{each}.png"))).permute(2, 0, 1) for each in (0, 1)])
    payload = system.send(images)
    assert Path("sent.bin").read_bytes() == payload.data.numpy().tobytes()

    given = io.TextIOWrapper(io.BytesIO(payload.data.numpy().tobytes()))
    monkeypatch.setattr(sys, "stdin", given)
    run(f"decode - {options}")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    shares = system.receive(Arrival(payload)).outputs.softmax(1)
    assert [line[0] for line in lines] == ["0", "1"] and {len(line) for line in lines} == {3}  # of two classes
    first, share = lines[1][1].split(" ", 1)
    assert first == ("plain", "striped")[int(shares[1].argmax())] and share == f"{100 * float(shares[1].max()):.4g} %"


@pytest.mark.parametrize("reason", ["no data set 'stripes.npz'", "progressive order"])
@pytest.mark.slow
def test_without_the_integer_encoder_floats_are_sent_and_it_is_said(workplace, capsys, reason):
    if "stripes" in reason:
        Path("stripes.npz").unlink()
    run(f"encode 0.png --out sent.bin --checkpoint whole{' --progressive' if 'order' in reason else ''}")
    captured = capsys.readouterr()
    assert captured.err.startswith("encoded in floating point, not as the firmware does: ") and reason in captured.err
    assert captured.out == "sent.bin: 24 bytes, 24 for each of 1 image\n"


@pytest.mark.slow
def test_encode_replaces_nothing_and_refuses_before_it_writes(workplace, capsys):
    Path("note.txt").write_text("not an image")
    Path("mine.bin").write_bytes(b"mine")
    encode = "encode --checkpoint whole --float"
    assert "mine.bin is there already; replace it with --force" in mistake(f"{encode} 0.png --out mine.bin", capsys)
    assert Path("mine.bin").read_bytes() == b"mine"
    assert "note.txt is no folder" in mistake(f"{encode} 0.png --out note.txt/sent.bin", capsys)
    assert "whole is there already" in mistake(f"{encode} 0.png --out whole --force", capsys)
    assert "note.txt cannot be read as an image" in mistake(f"{encode} 0.png note.txt --out sent.bin", capsys)
    assert "name at least one image" in mistake(f"{encode} --out sent.bin", capsys)
    assert "no table of importance" in mistake(
        f"{encode} 0.png --out sent.bin --window importance --slice-ratio 0.5", capsys
    )
    assert not Path("sent.bin").exists()
    run(f"{encode} 0.png --out mine.bin --force")
    assert len(Path("mine.bin").read_bytes()) == 24


@pytest.mark.slow
def test_bytes_of_another_length_are_refused_naming_both(workplace, capsys):
    Path("sent.bin").write_bytes(bytes(25))
    said = mistake("decode sent.bin --checkpoint whole", capsys)
    assert "sent.bin holds 25 bytes" in said and "24 bytes of a payload" in said and "--slice-ratio" in said
    Path("sent.bin").write_bytes(b"")
    assert "holds 0 bytes" in mistake("decode sent.bin --checkpoint whole", capsys)
    assert "No such file" in mistake("decode lost.bin --checkpoint whole", capsys)


# --- doctor -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_published_codec_s_dead_channel_is_named(capsys):
    run("doctor --images 60 --json")
    answer = json.loads(capsys.readouterr().out)
    found = {each["about"]: each for each in answer["findings"]}
    assert {name: each["level"] for name, each in found.items() if each["level"] != "ok"} == {
        "semanticnn, channels": "warning"
    }
    channels = found["semanticnn, channels"]
    assert "channel 7 carries 0." in channels["text"] and len(channels["values"]["entropy_by_channel"]) == 16
    assert found["task network"]["values"]["accuracy"] > 0.9 < found["semanticnn, answers"]["values"]["agreement"]
    assert found["semanticnn, export"]["values"] == {"payload_bytes": 384, "ram_bytes": 3748, "flash_bytes": 11592}


@pytest.mark.slow
def test_a_network_at_chance_is_an_error(workplace, capsys):
    with pytest.raises(SystemExit) as caught:
        run("doctor whole")
    out = capsys.readouterr().out
    assert caught.value.code == 1
    assert "error: task network: " in out and "no better than chance, 50 %" in out
    assert "warning: semanticnn, importance: the device has no table" in out
    run("evaluate --checkpoint whole --ber 0.01 --seeds 1 --json")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["results"] and captured.err.startswith("error: task network: accuracy ")


def test_a_damaged_checkpoint_is_an_error_and_none_at_all_a_mistake(workplace, capsys):
    path = workplace / "whole/semanticnn.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SystemExit) as caught:
        run("doctor whole")
    out = capsys.readouterr().out
    assert caught.value.code == 1 and out.startswith("error: files: ") and str(path) in out and out.count("\n") == 1
    assert "no checkpoint 'hole'" in mistake("doctor hole", capsys)
    assert "must be at least 1" in mistake("doctor whole --images 0", capsys)


def test_without_its_data_only_the_weights_are_looked_at(workplace, capsys):
    Path("stripes.npz").unlink()
    run("doctor whole")
    out = capsys.readouterr().out
    assert "warning: data: only the weights are looked at: no data set" in out and "24 B an image" in out


@pytest.fixture
def examined(codec) -> tuple[Checkpoint, ImageDataset]:
    """A network that is right, with an untrained codec, and its data."""
    return Checkpoint("tiny", make_split(), {"mine": codec}), make_dataset()


def levels(findings: list[doctor.Finding]) -> dict[str, str]:
    return {each.about: each.level for each in findings}


def test_a_sound_codec_has_no_warnings_but_for_what_it_lacks(examined):
    checkpoint, data = examined
    checkpoint.system("mine").importance.fill_(1)
    found = levels(doctor.examine(checkpoint, data))
    assert found.pop("mine, answers") in ("warning", "error"), "it was never trained"
    assert set(found.values()) == {"ok"} and {"weights", "task network", "mine, channels", "mine, centers"} <= set(
        found
    )


def test_a_codec_s_faults_are_found(examined):
    checkpoint, data = examined
    codec = checkpoint.system("mine")
    with torch.no_grad():
        codec.encoder.conv.weight[2] = 0
        codec.encoder.conv.bias[2] = 0
    (channels,) = [each for each in doctor.examine(checkpoint, data) if each.about == "mine, channels"]
    assert str(channels).startswith("warning: mine, channels: channel 2 carries 0.00 of the 3 bits")
    with torch.no_grad():
        codec.quantizer.centers.mul_(0.1)
    found = levels(doctor.examine(checkpoint, data))
    assert found["mine, calibration"] == "warning"
    with torch.no_grad():
        codec.quantizer.centers.add_(100)
    found = {each.about: each for each in doctor.examine(checkpoint, data)}
    assert found["mine, centers"].level == "warning" and "7 of 8 are hardly sent" in found["mine, centers"].text
    assert found["mine, elements"].level == "warning" and found["mine, answers"].level == "error"


def test_the_receiver_s_prior_must_be_the_use(examined):
    checkpoint, data = examined
    codec = checkpoint.system("mine")
    codec.quantizer.prior.copy_(torch.linspace(0, 2, 8) / 8)
    found = {each.about: each for each in doctor.examine(checkpoint, data)}
    assert found["mine, centers"].level == "warning" and "prior is wrong" in found["mine, centers"].text


def test_weights_that_are_not_finite_end_the_examination(examined):
    checkpoint, data = examined
    with torch.no_grad():
        next(checkpoint.system("mine").decoder.parameters()).fill_(torch.nan)
    (finding,) = doctor.examine(checkpoint, data)
    assert finding.level == "error" and "mine: decoder." in finding.text


def test_examining_leaves_the_modes_as_they_were(examined):
    checkpoint, data = examined
    checkpoint.system("mine").train()
    doctor.examine(checkpoint, data)
    assert checkpoint.system("mine").training and not checkpoint.system("mine").quantizer.prior.eq(0).any()


def test_a_network_alone_is_asked_for_a_codec():
    found = doctor.examine(Checkpoint("tiny", make_split()), make_dataset())
    assert levels(found)["systems"] == "warning" and "semanticnn train --checkpoint tiny" in str(found[-1])


# --- mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate --slice-ratio 2", "error: --slice-ratio must be "),
        ("evaluate --ber", "error: --ber needs at least one value"),
        ("evaluate --out table.txt", "error: --out must be a .csv file, got table.txt"),
        ("train --stage1.learning-rate 0", "error: --stage1.learning-rate must be "),
        ("train --codec.kernel 2", "error: --codec.kernel must be at least stride (4)"),
        ("train-base --start x --pretrained", "error: --start and --pretrained exclude each other"),
        ("decode x --ber 0.7", "error: --ber must be in [0, 0.5], got 0.7"),
        ("export --out x --images 0", "error: --images must be at least 1, got 0"),
    ],
)
def test_an_error_names_the_option_as_it_is_typed(command, said, capsys):
    assert mistake(command, capsys).startswith(said)


def test_python_callers_are_answered_by_field_after_a_command_too(capsys):
    mistake("evaluate --seeds 0", capsys)
    with pytest.raises(ValueError, match="^slice_ratio must be"):
        CodecTrainConfig(slice_ratio=(0.5, 2.0))


def test_a_wrong_checkpoint_is_one_short_line(workplace, capsys):
    config = workplace / "whole/config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"centers": 8', '"centers": 16'), encoding="utf-8")
    said = mistake("evaluate --checkpoint whole", capsys)
    assert "semanticnn.safetensors is of another architecture" in said and "importance has shape (4, 8)" in said
    assert len(said) < 300


def test_weights_that_are_not_finite_are_not_evaluated(workplace, capsys):
    path = workplace / "whole/base.safetensors"
    tensors = load_file(path)
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    save_file(tensors, path)
    assert "not finite" in mistake("evaluate --checkpoint whole", capsys)


@pytest.mark.parametrize("command", ["evaluate --out note.txt/table.csv", "export --out note.txt/project"])
def test_an_unusable_place_is_refused_before_anything_is_measured(command, workplace, monkeypatch, capsys):
    Path("note.txt").write_text("a file")
    monkeypatch.setattr("semanticnn_core.systems.open_checkpoint", lambda *arguments: pytest.fail("work began"))
    assert "note.txt is no folder" in mistake(f"{command} --checkpoint whole", capsys)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate --out foreign.csv", "lacks the column 'system'"),
        ("export --out whole", "holds something else"),
        ("export --out note.txt", "holds something else"),
    ],
)
def test_what_is_not_ours_is_refused_before_anything_is_measured(command, said, workplace, monkeypatch, capsys):
    Path("note.txt").write_text("a file")
    Path("foreign.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr("semanticnn_core.systems.open_checkpoint", lambda *arguments: pytest.fail("work began"))
    assert said in mistake(f"{command} --checkpoint whole", capsys)


def test_a_defect_of_ours_is_no_mistake(monkeypatch):
    def broken(self) -> None:
        raise NotImplementedError("not written yet")

    monkeypatch.setattr(COMMANDS["evaluate"], "__call__", broken)
    with pytest.raises(NotImplementedError):
        run("evaluate")


@pytest.mark.slow
def test_home_is_expanded_in_every_path(workplace, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(workplace))
    monkeypatch.chdir("/")
    run("evaluate --checkpoint ~/whole --data-root=~/ --ber 0 --seeds 1 --out=~/table.csv --json")
    assert (workplace / "table.csv").is_file() and json.loads(capsys.readouterr().out)
    run("encode ~/0.png --out=~/sent.bin --checkpoint ~/whole --data-root=~/")
    run("decode ~/sent.bin --checkpoint ~/whole")
    assert len(capsys.readouterr().out.splitlines()) == 2


# --- output streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["evaluate --checkpoint whole --ber 0.01 --seeds 2", "train --help"])
def test_what_a_stream_lacks_is_replaced(command, workplace, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    try:
        run(command)
    except SystemExit as done:
        assert not done.code
    text = written.getvalue().decode("ascii")
    assert "?" in text and ("24 B sent: image 128? and" in text or "--stage1.epochs" in text)


def test_utf_8_streams_stay_strict(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="UTF-8")
    monkeypatch.setattr(sys, "stdout", stream)
    cli._replace_what_streams_lack()
    assert stream.errors == "strict"


@pytest.mark.parametrize("surroundings", [NOT_UTF_8, {"PYTHONIOENCODING": "ascii"}], ids=["locale", "streams"])
@pytest.mark.slow
def test_help_is_printed_in_a_locale_that_is_not_utf_8(surroundings, tmp_path):
    command = (sys.executable, "-m", "semanticnn_core", "train", "--help")
    done = subprocess.run(command, env={**os.environ, **surroundings}, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"--stage1.xai-balance" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_table_is_written_in_a_locale_that_is_not_utf_8(workplace):
    def evaluate(name: str) -> subprocess.CompletedProcess:
        options = f"evaluate --checkpoint whole --ber 0.01 --seeds 1 --limit 2 --out table.csv --name {name}"
        command = (sys.executable, "-m", "semanticnn_core", *options.split())
        return subprocess.run(command, env={**os.environ, **NOT_UTF_8}, capture_output=True, timeout=120)

    done = evaluate("ours")
    assert done.returncode == 0 and b"24 B sent" in done.stdout, done.stderr
    assert "ours" in Path("table.csv").read_text(encoding="utf-8")
    refused = evaluate("größe")
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1 and b"PYTHONUTF8=1" in refused.stderr


def test_settings_of_a_word_or_a_number():
    assert COMMANDS["decode"](payload=Path("x")).ber == "unknown"
    assert COMMANDS["decode"](payload=Path("x"), ber=0).ber == 0.0
    with pytest.raises(ValueError, match="ber must be of type float, got 'some'"):
        replace(COMMANDS["decode"](payload=Path("x")), ber="some")
