"""Weights from torchvision's files: read by name, reported, refused when wrong, referred to by checkpoints."""

import json
import pickle
import shlex

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from semanticnn_core import cli
from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets import ImageDataset, Split
from semanticnn_core.systems import load_checkpoint
from semanticnn_core.systems.checkpoints import CheckpointError
from semanticnn_core.tasks import SplitModel
from semanticnn_core.tasks.state_dicts import Weights, original_names, read_state_dict, unfold_norms
from semanticnn_core.training.task_network import resized, train_task_network

IMAGES = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def network(name: str, classes: int = 5) -> nn.Module:
    """Return torchvision's network whose norms have statistics of their own."""
    torch.manual_seed(3)
    net = torchvision.models.get_model(name, num_classes=classes)
    for norm in (each for each in net.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.8, 1.2)
    return net.eval()


def normalized(images: torch.Tensor, std: bool = True) -> torch.Tensor:
    values = images.float() - torch.tensor([124.0, 116.0, 104.0])[:, None, None]
    return values / torch.tensor([58.395, 57.12, 57.375])[:, None, None] if std else values


@pytest.mark.parametrize(("name", "cut"), [("mobilenet_v2", "stem"), ("resnet50", "pool"), ("resnet50", "stem")])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
@pytest.mark.slow
def test_a_whole_file_makes_the_split_network_the_original(name, cut, kind, tmp_path):
    net = network(name)
    path = tmp_path / ("net.safetensors" if kind == "safetensors" else "net.pth")
    if kind == "safetensors":
        save_file(net.state_dict(), path)
    else:
        state = {f"module.{key}": value for key, value in net.state_dict().items()}
        torch.save({"epoch": 3, "state_dict": state} if kind == "wrapped" else net.state_dict(), path)
    model = SplitModel.of(name, 5, 32, cut).eval()
    report = read_state_dict(model, path)
    assert not report.missing and not report.other_shape and not report.unknown
    assert set(report.read) == {key for key, value in net.state_dict().items() if value.is_floating_point()}
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), net(normalized(IMAGES)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_pixels_less_the_mean_are_read_for_normalized_ones(tmp_path):
    net = network("resnet50")
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = SplitModel.of("resnet50", 5, 32).eval()
    read_state_dict(model, tmp_path / "net.safetensors", "pixels")
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), net(normalized(IMAGES, std=False)), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_what_a_file_lacks_starts_anew_and_is_named(tmp_path):
    net = network("resnet50", 9)
    state = {name: value for name, value in net.state_dict().items() if not name.startswith("layer4")}
    save_file({**state, "extra": torch.zeros(2)}, tmp_path / "part.safetensors")
    model = SplitModel.of("resnet50", 5, 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report, names = read_state_dict(model, tmp_path / "part.safetensors"), original_names(model)
    assert report.unknown == ("extra",)
    assert report.other_shape == ("fc.weight (9, 2048), here (5, 2048)", "fc.bias (9,), here (5,)")
    assert {name.split(".")[0] for name in report.missing} == {"layer4"}
    said = report.describe()
    assert "2 of another shape, they start anew: fc.weight (9, 2048)" in said
    assert "not in the file, they start anew: layer4" in said and "1 not of this network, passed over: extra" in said
    for name, value in model.state_dict().items():
        wanted = net.state_dict()[names[name]] if name in report.into else before[name]
        assert torch.equal(value, wanted), name


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no weights at all", "cannot be read as a state dict"),
        (pickle.dumps(Harmful(), protocol=2), "cannot be read as a state dict"),
        ({"layer": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"encoder.weight": torch.zeros(3, 3)}, "its names are encoder.weight"),
        ({"features.0.0.weight": torch.full((32, 3, 3, 3), torch.nan)}, "not finite, in features.0.0.weight"),
        ({"features.0.0.weight": torch.zeros(3, 3)}, "holds no weights of mobilenet_v2"),
    ],
)
@pytest.mark.slow
def test_what_is_no_file_of_weights_is_refused_and_changes_nothing(content, said, tmp_path, capsys):
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    model = SplitModel.of("mobilenet_v2", 5, 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        read_state_dict(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "executed" not in capsys.readouterr().out


def test_other_networks_and_missing_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mobilenet_v2 and resnet50, not into yolov3_small"):
        read_state_dict(SplitModel.of("yolov3_small", 2, 64), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"nothing\.safetensors cannot be read"):
        read_state_dict(SplitModel.of("mobilenet_v2", 5, 32), tmp_path / "nothing.safetensors")


@pytest.mark.slow
def test_folded_norms_get_the_images_statistics_and_nothing_changes(tmp_path):
    net = network("mobilenet_v2")
    for norm in (each for each in net.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = SplitModel.of("mobilenet_v2", 5, 32)
    report = read_state_dict(model, tmp_path / "net.safetensors")
    with torch.no_grad():
        before = model.eval()(IMAGES)
        assert unfold_norms(model, IMAGES, report.into) == 52
        torch.testing.assert_close(model(IMAGES), before, rtol=1e-3, atol=1e-4)
        for each in model.modules():  # the dropout apart, training now sees what evaluation sees
            if isinstance(each, nn.BatchNorm2d):
                each.train()
        torch.testing.assert_close(model(IMAGES), before, rtol=0.1, atol=0.02)
    assert unfold_norms(model, IMAGES, report.into) == 0
    assert unfold_norms(SplitModel.of("mobilenet_v2", 5, 32), IMAGES, ()) == 0


def test_kept_tensors_stay_to_the_last_bit_and_the_others_learn():
    noise = Split({"image": IMAGES.repeat(4, 1, 1, 1), "label": torch.arange(32) % 5})
    data, model = ImageDataset("noise", tuple("abcde"), noise, noise, noise), SplitModel.of("mobilenet_v2", 5, 32)
    kept = {name for name in model.state_dict() if not name.startswith("edge_part.21.")}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_task_network(model, data, BaseTrainConfig(epochs=1, batch_size=16), kept=kept)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"edge_part.21.weight", "edge_part.21.bias"} == set(model.state_dict()) - kept
    assert all(each.requires_grad for each in model.parameters())


def test_sizes_share_the_training():
    images = IMAGES.repeat_interleave(2, 2).repeat_interleave(2, 3)
    shown = [resized(images, (16, 32, 64), fraction).shape[-1] for fraction in (0, 0.32, 0.34, 0.66, 0.67, 0.99)]
    assert shown == [16, 16, 32, 32, 64, 64] and resized(images, (), 0.5) is images
    assert resized(images, (16, 32, 64), 0.9) is images
    small = resized(images, (16,), 0.0)
    assert small.dtype == torch.uint8 and small.float().mean() == pytest.approx(float(images.float().mean()), abs=1)
    with pytest.raises(ValueError, match="sizes must rise"):
        BaseTrainConfig(sizes=(64, 32))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a small data set of three classes and a file of weights that stands where checkpoints look."""
    generator = np.random.default_rng(0)
    arrays = {"images": generator.integers(0, 256, (24, 32, 32, 3), np.uint8), "labels": np.arange(24) % 3}
    several = {f"{split}_{name}": values for split in ("train", "val", "test") for name, values in arrays.items()}
    (tmp_path / "data" / "weights").mkdir(parents=True)
    np.savez(tmp_path / "data" / "noise.npz", **several)
    save_file(network("mobilenet_v2").state_dict(), tmp_path / "data" / "weights" / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


KEEPING = (
    "train-base --dataset noise --image-size 32 --weights data/weights/net.safetensors --freeze-first 1 "
    "--training.epochs 0 --weights-source 'From a friend.' --out kept"
)


def run(command: str) -> None:
    cli.main(shlex.split(command))


@pytest.mark.slow
def test_a_kept_network_is_referred_to_not_copied(workplace, capsys):
    run(KEEPING)
    assert "260 of 262 tensors read" in capsys.readouterr().err
    stored = load_file(workplace / "kept" / "base.safetensors")
    pixels = {"device_part.0.zero_point", "device_part.0.std"}
    assert set(stored) == {"edge_part.21.weight", "edge_part.21.bias"} | pixels
    page = (workplace / "kept" / "README.md").read_text(encoding="utf-8")
    assert "`net.safetensors` into `data/weights/`" in page and "From a friend." in page
    kept, net = load_checkpoint("kept"), network("mobilenet_v2").half().float()
    with torch.no_grad():
        feature = nn.Sequential(*net.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())(normalized(IMAGES))
        wanted = nn.functional.linear(feature, *(stored[f"edge_part.21.{part}"].float() for part in ("weight", "bias")))
        torch.testing.assert_close(kept.model(IMAGES), wanted, rtol=1e-3, atol=1e-3)
    run(
        "train --checkpoint kept --codec.code-channels 4 --codec.decoder-widths 8 --slices --stage1.epochs 1 "
        "--stage2.epochs 1 --out coded"
    )
    assert set(load_file(workplace / "coded" / "base.safetensors")) == set(stored)
    assert load_checkpoint("coded").about["weights"] == kept.about["weights"]
    with torch.no_grad():
        assert torch.equal(load_checkpoint("coded").model(IMAGES), kept.model(IMAGES))
    (workplace / "data").rename(workplace / "elsewhere")  # every command finds the file where its data lie
    again = "train --checkpoint coded --system other --codec.code-channels 4 --codec.decoder-widths 8 --slices"
    run(f"{again} --stage1.epochs 1 --stage2.epochs 1 --out coded --data-root elsewhere")
    assert set(load_checkpoint("coded", "elsewhere").systems) == {"semanticnn", "other"}
    with pytest.raises(SystemExit):  # noise has nothing to learn, which is an error; but all is looked at
        run("doctor coded --data-root elsewhere")
    assert "base, semanticnn, other can be loaded" in capsys.readouterr().out
    run("train-base --dataset noise --start kept --training.epochs 1 --out whole --data-root elsewhere")
    assert "weights" not in json.loads((workplace / "whole" / "config.json").read_text())
    assert len(load_file(workplace / "whole" / "base.safetensors")) == len(kept.model.state_dict())


@pytest.mark.slow
def test_a_missing_or_changed_file_is_asked_for_by_name(workplace):
    run(KEEPING)
    file = workplace / "data" / "weights" / "net.safetensors"
    known = Weights.of(file)
    file.rename(workplace / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match=rf"net.safetensors \(BLAKE2b {known.hash}\).*not there; From a friend"):
        load_checkpoint("kept")
    save_file(network("mobilenet_v2", 6).state_dict(), file)
    with pytest.raises(CheckpointError, match="is another file of that name"):
        load_checkpoint("kept")
    config = json.loads((workplace / "kept" / "config.json").read_text())
    (workplace / "kept" / "config.json").write_text(json.dumps(config | {"weights": {"file": 3}}))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_checkpoint("kept")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--freeze-first 2", "freeze-first needs a classifier to start from"),
        ("--freeze-first 2 --model yolov3 --weights a.weights", "freeze-first needs a classifier to start from"),
        ("--weights data/weights/none.pth", "none.pth cannot be read"),
        ("--weights darknet.weights", "darknet.weights cannot be read"),
        ("--weights other.safetensors --freeze-first 1 --training.epochs 0", "in data/weights, it is not there"),
        ("--training.sizes 16 24", "sizes must end with the network's own, 32, got 16 24"),
        ("--training.sizes 32 16", "training.sizes must rise"),
        ("--model yolov3_small --training.sizes 32", "sizes are for classifiers"),
        ("--start yolov3_small-scene_detection --training.sizes 128", "sizes are for classifiers"),
        ("--start mobilenet_v2-scene_digits --freeze-first 1 --dataset ten", "nothing does here"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_started_is_refused_before_training(command, said, workplace, capsys):
    save_file(network("mobilenet_v2").state_dict(), workplace / "other.safetensors")
    images, labels = np.zeros((20, 64, 64, 3), np.uint8), np.arange(20) % 10
    np.savez(
        workplace / "data" / "ten.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels
    )
    with pytest.raises(SystemExit):
        run(f"train-base --dataset noise --image-size 32 {command} --out net")
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not (workplace / "net").exists()
