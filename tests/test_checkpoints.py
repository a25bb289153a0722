"""Published checkpoints: what is saved is what is loaded, and what is damaged is named."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import DEFAULT_CHECKPOINT, CodecConfig
from semanticnn_core.systems import checkpoint_for, checkpoints, load_checkpoint
from semanticnn_core.systems.checkpoints import CheckpointError, find_checkpoint, save_checkpoint
from semanticnn_core.tasks.split import SplitModel

CONFIG = CodecConfig(code_channels=4, decoder_widths=(8, 8), centers=16, feature_range=(0.0, math.inf))


@pytest.fixture
def codec() -> SemanticCodec:
    """A codec for MobileNetV2's feature whose every tensor differs from a fresh one's."""
    made = SemanticCodec(CONFIG).eval()
    made.calibrate(torch.rand(4, 32, 16, 16))
    made.quantizer.prior.copy_(torch.linspace(1, 2, 16).softmax(0))
    made.set_code_order()
    return made


@pytest.fixture
def model() -> SplitModel:
    return SplitModel.of("mobilenet_v2", 3, 32).half_rounded().eval()


@pytest.fixture
def folder(tmp_path: Path, model: SplitModel, codec: SemanticCodec) -> Path:
    """A complete checkpoint, `data/checkpoints/tiny` under tmp_path."""
    folder = tmp_path / "data" / "checkpoints" / "tiny"
    save_checkpoint(folder, model, codec, {"dataset": "digits"})
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_checkpoint_for_a_data_set_is_the_one_trained_on_it(folder):
    data = folder.parents[1]
    assert checkpoint_for("digits", data) == "tiny" and checkpoint_for("letters", data) == DEFAULT_CHECKPOINT
    assert checkpoint_for("scene_digits") == DEFAULT_CHECKPOINT
    assert checkpoint_for("cifar100") == "mobilenet_v2-cifar100" and load_checkpoint("mobilenet_v2-cifar100").codec


def test_round_trip(tmp_path, model, codec):
    save_checkpoint(tmp_path, model, None, {"dataset": "digits", "note": 1})
    bare = load_checkpoint(str(tmp_path))
    assert bare.codec is None
    save_checkpoint(tmp_path, model, codec, bare.about)
    assert names(tmp_path) == ["base.safetensors", "codec.safetensors", "config.json"]
    loaded = load_checkpoint(str(tmp_path))
    for mine, saved in ((loaded.model, model), (loaded.codec, codec)):
        assert not any(each.requires_grad for each in mine.parameters()) and not mine.training
        for name, value in saved.state_dict().items():
            got = mine.state_dict()[name]
            assert got.dtype == value.dtype and torch.equal(got, value), name
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(loaded.model(images), model(images))
    feature = model.device(images).detach()
    assert torch.equal(loaded.codec.compress(feature), codec.compress(feature))
    assert loaded.codec.config == CONFIG and loaded.about["note"] == 1 and loaded.name == tmp_path.name


def test_the_files_hold_what_is_promised(folder, codec):
    base, stored = load_file(folder / "base.safetensors"), load_file(folder / "codec.safetensors")
    assert {value.dtype for value in base.values() if value.is_floating_point()} == {torch.float16}
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float32}
    assert (stored["quantizer.centers"].diff() > 0).all()
    assert stored["quantizer.code"].tolist() == codec.quantizer.code.tolist()
    about = json.loads((folder / "config.json").read_text())
    assert about["base"] == {"model": "mobilenet_v2", "classes": 3, "image_size": 32, "cut": "stem"}
    assert about["codec"]["feature_range"] == [0.0, "inf"]


def test_a_new_network_takes_the_old_one_s_codec_away(folder, model):
    save_checkpoint(folder, model, None, load_checkpoint(str(folder)).about)
    assert names(folder) == ["base.safetensors", "config.json"] and load_checkpoint(str(folder)).codec is None


def test_centers_are_stored_sorted_without_changing_a_byte(tmp_path, model, codec):
    feature = torch.rand(2, 32, 16, 16)
    with torch.no_grad():
        codec.quantizer.centers.copy_(codec.quantizer.centers.flip(0))
    before = codec.compress(feature)
    save_checkpoint(tmp_path, model, codec, {})
    stored = load_file(tmp_path / "codec.safetensors")["quantizer.centers"]
    assert torch.equal(stored, stored.sort().values)
    assert torch.equal(codec.compress(feature), before)


def unsend(codec: SemanticCodec, what: str) -> None:
    """Make a codec unfit for any device."""
    with torch.no_grad():
        if what == "centres":
            codec.quantizer.centers[3] = codec.quantizer.centers[7]
        elif what == "slopes":
            codec.encoder.prelu.log_slope[0] = -1000.0
        elif what == "scale":
            codec.encoder.scale.fill_(0.0)
        else:
            codec.quantizer.code[1] = codec.quantizer.code[0]


@pytest.mark.parametrize("what", ["centres", "slopes", "scale", "code order"])
def test_what_no_device_could_run_is_refused_by_name_and_nothing_written(folder, model, codec, what):
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    unsend(codec, what)
    with pytest.raises(CheckpointError, match=what):
        save_checkpoint(folder, model, codec, {})
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(tmp_path, model, codec, value):
    codec.quantizer.centers.data[0] = value
    with pytest.raises(CheckpointError, match="centres"):
        save_checkpoint(tmp_path, model, codec, {})


def test_a_network_of_unknown_build_cannot_be_published(tmp_path, split):
    with pytest.raises(CheckpointError, match="SplitModel.of"):
        save_checkpoint(tmp_path, split, None, {})
    assert names(tmp_path) == []


@pytest.mark.parametrize("file", ["base.safetensors", "codec.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "text", "other tensors"])
def test_a_damaged_or_missing_weight_file_is_named(folder, file, damage):
    path = folder / file
    content = path.read_bytes()
    path.unlink()
    if damage == "other tensors":
        save_file({"weight": torch.zeros(3)}, path)
    elif damage != "missing":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"not weights" * 100}[damage])
    with pytest.raises(CheckpointError, match=file):
        load_checkpoint("tiny", folder.parents[1])


def test_weights_of_another_architecture_are_named(folder):
    about = json.loads((folder / "config.json").read_text())
    about["codec"]["centers"] = 8
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="codec.safetensors"):
        load_checkpoint("tiny", folder.parents[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "\x00\xff",
        lambda text: text.replace('"image_size"', '"size"'),
        lambda text: text.replace('"mobilenet_v2"', '"mobilenet_v9"'),
        lambda text: text.replace('"code_channels"', '"channels"'),
        lambda text: text.replace('"centers": 16', '"centers": 15'),
        lambda text: text.replace('"classes": 3', '"classes": "3"'),
    ],
)
def test_a_damaged_config_is_named(folder, change):
    path = folder / "config.json"
    path.write_bytes(change(path.read_text()).encode("latin-1"))
    with pytest.raises(CheckpointError, match="config.json"):
        load_checkpoint("tiny", folder.parents[1])


def test_an_unknown_checkpoint_names_the_known_ones(folder):
    root = folder.parents[1]
    assert find_checkpoint("tiny", root) == folder and find_checkpoint(str(folder), root) == folder
    with pytest.raises(CheckpointError, match=r"'tny'.*tiny.*train-base"):
        find_checkpoint("tny", root)
    with pytest.raises(CheckpointError, match="none"):
        find_checkpoint("tiny", root / "checkpoints")


def test_a_failed_save_leaves_the_old_file_and_no_other(folder, model, codec, monkeypatch):
    before = {name: (folder / name).read_bytes() for name in names(folder)}

    def fail(tensors, path):
        Path(path).write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with torch.no_grad():
        codec.quantizer.centers.add_(1.0)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(folder, model, codec, {})
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
