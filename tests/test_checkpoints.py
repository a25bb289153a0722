"""Published checkpoints: what is saved is what is loaded, and what is damaged is named."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import DEFAULT_CHECKPOINT, CodecConfig
from semanticnn_core.systems import checkpoint_for, checkpoints, load_checkpoint, open_checkpoint
from semanticnn_core.systems.checkpoints import (
    CheckpointError,
    find_checkpoint,
    kept_systems,
    matching,
    save_checkpoint,
)
from semanticnn_core.tasks.split import SplitModel

CONFIG = CodecConfig(
    code_channels=4, decoder="transposed", decoder_widths=(8, 8), centers=16, parity=0.0, feature_range=(0.0, math.inf)
)


@pytest.fixture
def codec() -> SemanticCodec:
    """A codec for MobileNetV2's feature whose every tensor differs from a fresh one's."""
    made = SemanticCodec(CONFIG).eval()
    made.calibrate(torch.rand(4, 32, 16, 16))
    made.quantizer.prior.copy_(torch.linspace(1, 2, 16).softmax(0))
    made.set_code_order()
    return made.half_rounded()


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


@pytest.mark.slow
def test_round_trip(tmp_path, model, codec):
    save_checkpoint(tmp_path, model, None, {"dataset": "digits", "note": 1})
    bare = load_checkpoint(str(tmp_path))
    assert bare.systems == {}
    with pytest.raises(CheckpointError, match="has no codec 'semanticnn', it has none; make one: semanticnn train"):
        _ = bare.codec
    save_checkpoint(tmp_path, model, codec, bare.about)
    assert names(tmp_path) == ["base.safetensors", "config.json", "semanticnn.safetensors"]
    loaded = load_checkpoint(str(tmp_path))
    for mine, saved in ((loaded.model, model), (loaded.codec, codec)):
        assert not any(each.requires_grad for each in mine.parameters()) and not mine.training
        for name, value in saved.state_dict().items():
            got = mine.state_dict()[name]
            assert got.dtype == value.dtype and torch.equal(got, value), name
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(loaded.model(images), model(images))
    feature = model.device_part(images).detach()
    assert torch.equal(loaded.codec.compress(feature).data, codec.compress(feature).data)
    assert loaded.codec.config == CONFIG and loaded.about["note"] == 1 and loaded.name == tmp_path.name


def test_the_files_hold_what_is_promised(folder, codec):
    base, stored = load_file(folder / "base.safetensors"), load_file(folder / "semanticnn.safetensors")
    assert {value.dtype for value in base.values() if value.is_floating_point()} == {torch.float16}
    kinds = {(name.startswith("decoder."), value.dtype) for name, value in stored.items() if value.is_floating_point()}
    assert kinds == {(True, torch.float16), (False, torch.float32)}
    assert (stored["quantizer.centers"].diff() > 0).all()
    assert stored["quantizer.code"].tolist() == codec.quantizer.code.tolist()
    about = json.loads((folder / "config.json").read_text())
    assert about["base"] == {"model": "mobilenet_v2", "classes": 3, "image_size": 32, "cut": "stem"}
    assert about["systems"]["semanticnn"]["settings"]["feature_range"] == [0.0, "inf"]


@pytest.mark.slow
def test_a_new_network_takes_the_old_one_s_codec_away(folder, model):
    save_checkpoint(folder, model, None, load_checkpoint(str(folder)).about)
    assert names(folder) == ["base.safetensors", "config.json"] and load_checkpoint(str(folder)).systems == {}


def test_centers_are_stored_sorted_without_changing_a_byte(tmp_path, model, codec):
    feature = torch.rand(2, 32, 16, 16)
    with torch.no_grad():
        codec.quantizer.centers.copy_(codec.quantizer.centers.flip(0))
    before = codec.compress(feature).data
    save_checkpoint(tmp_path, model, codec, {})
    stored = load_file(tmp_path / "semanticnn.safetensors")["quantizer.centers"]
    assert torch.equal(stored, stored.sort().values)
    assert torch.equal(codec.compress(feature).data, before)


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
@pytest.mark.slow
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


@pytest.mark.parametrize("file", ["base.safetensors", "semanticnn.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "text", "other tensors"])
@pytest.mark.slow
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
    about["systems"]["semanticnn"]["settings"]["centers"] = 8
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="semanticnn.safetensors"):
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
@pytest.mark.slow
def test_a_damaged_config_is_named(folder, change):
    path = folder / "config.json"
    path.write_bytes(change(path.read_text()).encode("latin-1"))
    with pytest.raises(CheckpointError, match="config.json"):
        load_checkpoint("tiny", folder.parents[1])


def test_an_unknown_checkpoint_names_the_known_ones(folder, monkeypatch):
    root = folder.parents[1]
    assert find_checkpoint("tiny", root) == folder and find_checkpoint(str(folder), root) == folder
    with pytest.raises(CheckpointError, match=r"'tny'.*tiny.*train-base"):
        find_checkpoint("tny", root)
    with pytest.raises(CheckpointError, match=f"'tiny'.*{DEFAULT_CHECKPOINT}"):
        find_checkpoint("tiny", root / "checkpoints")
    monkeypatch.setattr(checkpoints, "CHECKOUT", root / "nowhere")
    with pytest.raises(CheckpointError, match="none"):
        find_checkpoint("tiny", root / "checkpoints")


def test_published_checkpoints_are_found_from_anywhere(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for root in (folder.parents[1], tmp_path / "nothing", "data"):
        assert (find_checkpoint(DEFAULT_CHECKPOINT, root) / "base.safetensors").is_file()
        assert checkpoint_for("cifar100", root) == "mobilenet_v2-cifar100"


def test_a_home_is_expanded(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_checkpoint("~/data/checkpoints/tiny") == find_checkpoint("tiny", "~/data") == folder
    assert checkpoint_for("digits", "~/data") == "tiny"


@pytest.mark.parametrize("content", [b'{"dataset": ', b"[]", b"", b"\xff\xfe", None])
@pytest.mark.slow
def test_damaged_neighbours_are_passed_over(folder, content):
    root, config = folder.parents[1], folder.parent / "a_half_written" / "config.json"
    config.mkdir(parents=True) if content is None else config.parent.mkdir()
    if content is not None:
        config.write_bytes(content)
    assert checkpoint_for("digits", root) == "tiny" and checkpoint_for("cifar100", root) == "mobilenet_v2-cifar100"
    with pytest.raises(CheckpointError, match="'tny'.*tiny") as caught:
        find_checkpoint("tny", root)
    assert "a_half_written" not in str(caught.value)
    with pytest.raises(CheckpointError, match="a_half_written"):
        load_checkpoint("a_half_written", root)


@pytest.mark.parametrize("file", ["base.safetensors", "semanticnn.safetensors"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused(folder, file, value):
    tensors = load_file(folder / file)
    name = next(name for name, tensor in sorted(tensors.items()) if tensor.is_floating_point() and tensor.dim() == 4)
    tensors[name][0, 0, 0, 0] = value
    save_file(tensors, folder / file)
    with pytest.raises(CheckpointError, match=f"{file} holds numbers that are not finite, for instance in {name}"):
        load_checkpoint("tiny", folder.parents[1])


@pytest.mark.slow
def test_several_systems_share_a_network(folder, model, codec):
    other = SemanticCodec(replace(CONFIG, centers=4)).eval()
    about = {"systems": {"other": {"results": {"payload_bytes": 1}}}}
    save_checkpoint(folder, model, {"semanticnn": codec, "other": other}, about)
    loaded = load_checkpoint(str(folder))
    assert list(loaded.systems) == ["semanticnn", "other"] and loaded.codec is loaded.system("semanticnn")
    assert (loaded.codec.config.centers, loaded.system("other").config.centers) == (16, 4)
    assert loaded.about["systems"]["other"]["results"] == {"payload_bytes": 1}
    with pytest.raises(CheckpointError, match="no codec 'third', it has semanticnn, other; make one: semanticnn train"):
        loaded.system("third")
    save_checkpoint(folder, model, {"other": other}, about)
    assert names(folder) == ["base.safetensors", "config.json", "other.safetensors"]
    alone = load_checkpoint(str(folder))
    assert alone.codec is alone.system("other")  # the only one there is


@pytest.mark.slow
def test_the_file_of_a_kept_system_is_not_written_again(folder, model, codec):
    """It may hold more digits than would be written now."""
    exact = {
        name: value.float().contiguous() for name, value in codec.state_dict().items() if value.is_floating_point()
    }
    rest = {name: value.contiguous() for name, value in codec.state_dict().items() if name not in exact}
    save_file(exact | rest, folder / "semanticnn.safetensors")
    before = (folder / "semanticnn.safetensors").read_bytes()
    kept, described = kept_systems(folder, load_checkpoint(str(folder)).model)
    about = {"systems": described}
    save_checkpoint(folder, model, {**kept, "other": codec}, about, kept)
    assert (folder / "semanticnn.safetensors").read_bytes() == before
    assert set(load_checkpoint(str(folder)).systems) == {"semanticnn", "other"}
    save_checkpoint(folder, model, {**kept, "other": codec}, about)
    assert (folder / "semanticnn.safetensors").read_bytes() != before


@pytest.mark.slow
def test_systems_are_kept_for_the_network_that_they_were_made_for_alone(folder, model, tmp_path):
    kept, described = kept_systems(folder, load_checkpoint(str(folder)).model)
    assert list(kept) == list(described) == ["semanticnn"] and described["semanticnn"]["kind"] == "semanticnn"
    with torch.no_grad():
        model.edge_part[-1].bias.add_(1)
    assert kept_systems(folder, model) == kept_systems(tmp_path / "nothing", model) == ({}, {})
    assert kept_systems(folder, SplitModel.of("mobilenet_v2", 4, 32)) == ({}, {})


@pytest.fixture
def digits(folder: Path) -> Path:
    """The data root of `tiny`, with `digits.npz`: four images of three classes in each split."""
    labels, arrays = np.array([0, 1, 2, 0], np.uint8), {}
    for number, split in enumerate(("train", "val", "test")):
        grays = (60 * labels + np.arange(4) + 20 * number).astype(np.uint8)
        images = np.broadcast_to(grays[:, None, None, None], (4, 32, 32, 3))
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(folder.parents[1] / "digits.npz", **arrays)
    return folder.parents[1]


@pytest.mark.parametrize(("name", "dataset"), [("tiny", "digits"), ("tiny", ""), ("", "digits")])
@pytest.mark.slow
def test_a_checkpoint_and_its_data_are_opened_by_either_name(name, dataset, digits):
    checkpoint, data = open_checkpoint(name, dataset, digits)
    assert (checkpoint.name, data.name, len(data.classes)) == ("tiny", "digits", 3)
    assert data.test["image"].shape == (4, 3, 32, 32)


@pytest.mark.slow
def test_the_default_checkpoint_is_opened_when_nothing_is_named():
    checkpoint, data = open_checkpoint(download=False)
    assert (checkpoint.name, data.name) == (DEFAULT_CHECKPOINT, "scene_digits")


@pytest.mark.slow
def test_a_checkpoint_that_names_no_data_asks_for_it(digits, folder, model, codec):
    save_checkpoint(folder, model, codec, {})
    with pytest.raises(CheckpointError, match="tiny does not say what it was trained on; name it with --dataset"):
        open_checkpoint("tiny", root=digits)
    assert open_checkpoint("tiny", "digits", digits)[1].name == "digits"


def test_other_classes_are_refused_by_number_and_warned_of_by_name(folder, dataset):
    checkpoint = load_checkpoint(str(folder))
    with pytest.raises(
        CheckpointError, match="quadrants has 4 classes, the network of tiny tells 3 apart; .*train-base"
    ):
        matching(dataset, checkpoint)
    checkpoint.about["classes"] = ["ant", "bee", "cat"]
    said = "classes of quadrants are not those of tiny: 'dog' stands where it learned 'bee'"
    with pytest.warns(UserWarning, match=said):
        matching(replace(dataset, classes=("ant", "dog", "cat")), checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matching(replace(dataset, classes=("ant", "bee", "cat")), checkpoint)
        del checkpoint.about["classes"]  # nothing is known of their names
        matching(replace(dataset, classes=("x", "y", "z")), checkpoint)


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
