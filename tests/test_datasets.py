"""Names, drawn splits, `.npz` files and CIFAR-100: read in their own layouts, or refused by name."""

import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_checks import refused, same, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Subset, random_split

from semanticnn_core.datasets import Split, fingerprint, load_dataset
from semanticnn_core.datasets.base import listed
from semanticnn_core.datasets.images import ResizedImages, draw_splits


def test_what_is_asked_for_wrongly_is_refused_by_name(tmp_path):
    refused("'flowers'", "scene_digits", "cifar100", str(tmp_path / "flowers.npz"), name="flowers", root=tmp_path)
    refused("image_size", "64", "32", name="scene_digits", root=tmp_path, image_size=32)
    for wrong in (0, -64, 64.0, "64", True, None, np.bool_(True), np.float64(64), 2**70):
        refused("image_size", "at least 1", repr(wrong), name="scene_digits", root=tmp_path, image_size=wrong)
    for wrong in (-1, 0.5, "0", True, None, 2**70):
        refused("seed", "at least 0", repr(wrong), name="scene_digits", root=tmp_path, seed=wrong)
    for wrong in ("", None, 7):
        refused("name", "scene_digits", repr(wrong), name=wrong, root=tmp_path)
    for file in ("pets.zip", "pets.csv", "pets"):
        (tmp_path / file).write_bytes(b"any")
        refused(str(tmp_path / file), "neither a folder nor an .npz file", "train_images", name=file, root=tmp_path)


def test_integers_of_any_kind_are_sizes_and_seeds(tmp_path):
    np.savez(tmp_path / "pets.npz", **arrays(val_images=None, val_labels=None))
    for kind in (np.int64, np.uint8, torch.tensor):
        dataset = load_dataset("pets", tmp_path, image_size=kind(8), seed=kind(3))
        assert same(dataset, load_dataset("pets", tmp_path, image_size=8, seed=3))


def test_own_data_is_found_by_name_or_path_in_a_fixed_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = []
    for number, place in enumerate(("pets.npz", "root/pets/pets.npz", "root/pets.npz")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / place, **arrays(train_images=np.full_like(IMAGES, number)))
    for name in ("pets.npz", "~/pets.npz", Path("pets.npz"), tmp_path / "pets.npz", "pets", "pets/pets"):
        found.append(load_dataset(name, "root").train["image"][0].max().item())
    assert found == [2 if name == "pets" else each for name, each in zip("~~~~", (2, 0, 2, 0), strict=True)] + [2, 1]


def test_names_in_messages_are_few():
    assert listed("abc") == "a, b, c" and listed(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7" and listed([]) == ""
    assert (
        listed(range(200)) == "0, 1, 2, 3, 4, 5, 6, 7 … and 192 more" and listed(range(3000), 1) == "0 … and 2,999 more"
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 3))
def test_drawn_splits_divide_the_items(labels, seed):
    labels = torch.tensor(labels)
    splits = draw_splits(labels, {"validation": 0.1, "test": 0.2}, seed)
    assert torch.cat(list(splits.values())).sort().values.tolist() == list(range(len(labels)))
    assert set(labels[splits["train"]].tolist()) == set(labels.tolist())  # no class is missing in training


def test_a_tenth_of_cifar_is_50_images_a_class():
    labels = torch.arange(50_000) % 100
    splits = draw_splits(labels, {"validation": 0.1}, 0)
    assert labels[splits["validation"]].bincount().tolist() == [50] * 100 and len(splits["train"]) == 45_000


def test_resizing_follows_the_closed_form():
    ramp = (4 * torch.arange(32)).byte().expand(2, 3, 32, 32)
    images = ResizedImages(ramp, 64)
    assert images.shape == (2, 3, 64, 64) and images[0].shape == (3, 64, 64)
    assert images[[0, 1]].is_contiguous() and images[1:].shape[0] == 1 and len(images[[True, False]]) == 1
    assert torch.equal(images[:][..., 1:-1], (2 * torch.arange(64) - 1)[1:-1].byte().expand(2, 3, 64, 62))
    lines = ResizedImages((255 * (torch.arange(64) % 4 == 0)).byte().expand(1, 3, 64, 64), 16)
    assert ((lines[0].float() - 255 / 4).abs() < 20).all()  # without antialiasing the lines vanish
    wide = torch.zeros(1, 3, 8, 24, dtype=torch.uint8)
    wide[..., 8:16] = 9
    assert (ResizedImages(wide, 4)[0] == 9).all()  # the centre square alone


# The protocols of torch


@pytest.fixture(params=["tensor", "lazy"])
def split(request) -> Split:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 8, 8)
    images = ResizedImages(images, 4) if request.param == "lazy" else images[..., :4, :4]
    return Split({"image": images, "label": torch.arange(10), "box": torch.arange(40.0).view(10, 4)})


def test_splits_are_data_sets_of_torch(split):
    halves = random_split(split, [0.5, 0.5], torch.Generator().manual_seed(0))
    seen = [batch["label"].tolist() for half in halves for batch in DataLoader(half, batch_size=5)]
    assert sorted(sum(seen, [])) == list(range(10)) and list(map(len, seen)) == [5, 5]
    for part, numbers in (
        (split, range(10)),
        (Subset(split, [7, 1, 2]), [7, 1, 2]),
        (Subset(Subset(split, np.array([7, 1, 2])), [2, 0]), [2, 7]),
        (split[0:3], range(3)),
        (split[::-2], [9, 7, 5, 3, 1]),
    ):
        (batch,) = DataLoader(part, batch_size=10)
        assert batch["image"].shape == (len(numbers), 3, 4, 4) and batch["image"].dtype == torch.uint8
        assert batch["image"][:, 0, 0, 0].tolist() == batch["label"].tolist() == list(numbers)
        assert batch["box"][:, 0].tolist() == [4 * number for number in numbers]
    for number in (3, np.int64(3), -7):
        assert split[number]["label"] == 3 and split[number]["image"].shape == (3, 4, 4)
    (batch,) = DataLoader(split[:2], batch_size=2, num_workers=1)
    assert batch["label"].tolist() == [0, 1]
    assert len(split[:0]) == 0 and split[:0]["image"][:].shape == (0, 3, 4, 4)


# MedMNIST-style files


def arrays(side: int = 8, **changes) -> dict[str, np.ndarray]:
    """Return a sound data set of 3 classes with `changes` made; None leaves a key out."""
    random = np.random.default_rng(0)
    sound = {}
    for split, count in (("train", 30), ("val", 6), ("test", 9)):
        sound[f"{split}_images"] = random.integers(0, 256, (count, side, side, 3), np.uint8)
        sound[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % 3)[:, None]
    return {key: value for key, value in (sound | changes).items() if value is not None}


def test_npz_is_read_as_it_stands(tmp_path):
    stored = arrays(class_names=np.array(["cat", "dog", "eel"]))
    np.savez_compressed(tmp_path / "pets.npz", **stored)
    dataset = load_dataset("pets", tmp_path, image_size=8)
    assert dataset.name == "pets" and dataset.classes == ("cat", "dog", "eel") and sizes(dataset) == [30, 6, 9]
    assert np.array_equal(dataset.test["image"][:].permute(0, 2, 3, 1).numpy(), stored["test_images"])
    assert dataset.train["label"].tolist() == stored["train_labels"][:, 0].tolist()
    assert same(dataset, load_dataset(str(tmp_path / "pets.npz"), root="elsewhere", image_size=8))
    batch = next(iter(DataLoader(load_dataset("pets.npz", tmp_path).train, batch_size=4)))
    assert batch["image"].shape == (4, 3, 64, 64) and batch["image"].dtype == torch.uint8
    assert batch["label"].dtype == torch.int64
    assert dataset.train.take(5).take(2)["image"].shape == (2, 3, 8, 8)


def test_npz_may_be_grey_with_flat_labels_and_without_validation(tmp_path):
    grey = {f"{split}_images": arrays()[f"{split}_images"][..., 0] for split in ("train", "test")}
    flat = {"train_labels": np.arange(30) % 3, "test_labels": np.full(9, 2)}
    np.savez(tmp_path / "grey.npz", **arrays(**grey, **flat, val_images=None, val_labels=None))
    dataset = load_dataset("grey", tmp_path, image_size=8)
    assert sizes(dataset) == [27, 3, 9] and dataset.classes == tuple("012")
    assert set(dataset.validation["label"].tolist()) == {0, 1, 2}
    assert np.array_equal(dataset.test["image"][:].numpy(), np.repeat(grey["test_images"][:, None], 3, 1))
    assert same(dataset, load_dataset("grey", tmp_path, image_size=8))
    assert not same(dataset, load_dataset("grey", tmp_path, image_size=8, seed=1))


IMAGES, LABELS = arrays()["train_images"], arrays()["train_labels"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"test_images": None, "test_labels": None}, ["no test_images", "found train_images, train_labels"]),
        ({"train_labels": None}, ["no train_labels", "found train_images"]),
        ({"val_labels": None}, ["no val_labels"]),
        ({"train_images": IMAGES / 255.0}, ["train_images", "uint8", "float64"]),
        ({"train_images": IMAGES[..., 0, 0]}, ["train_images", "(N, H, W)", "(30, 8)"]),
        ({"train_images": IMAGES[..., :2]}, ["train_images", "(N, H, W, 3)", "(30, 8, 8, 2)"]),
        ({"train_images": IMAGES[:0], "train_labels": LABELS[:0]}, ["train_images", "no image", "(0, 8, 8, 3)"]),
        ({"train_images": np.array([None])}, ["train_images", "pickle"]),
        ({"train_labels": LABELS[:29]}, ["train_labels", "29 labels", "30 images"]),
        ({"train_labels": LABELS.repeat(2, 1)}, ["train_labels", "(N, 1)", "(30, 2)"]),
        ({"train_labels": LABELS + 0.5}, ["train_labels", "integers", "float64"]),
        ({"train_labels": LABELS.astype(int) - 1}, ["train_labels", "[0, ", "-1"]),
        ({"train_labels": LABELS.astype(int) + 10**9}, ["train_labels", "1000000000"]),
        ({"test_labels": np.array([LABELS] * 9, object)}, ["test_labels", "pickle"]),
        ({"test_labels": np.full(9, 9)}, ["test_labels holds 9", "train_labels holds 0, 1, 2"]),
        ({"val_labels": np.arange(6)}, ["val_labels holds 3, 4, 5", "train_labels holds 0, 1, 2"]),
        (
            {"train_labels": np.arange(30), "test_labels": np.full(9, 40)},
            ["holds 0, 1, 2, 3, 4, 5, 6, 7 … and 22 more"],
        ),
        ({"class_names": np.array(["cat", "dog", "cat"])}, ["class_names", "'cat' more than once"]),
        ({"class_names": np.array(["cat", "dog"])}, ["class_names", "2 names", "train_labels", "label 2"]),
        ({"class_names": np.arange(3)}, ["class_names", "strings", "int64"]),
        ({"class_names": np.array([["cat", "dog", "eel"]])}, ["class_names", "(classes,)", "(1, 3)"]),
        ({f"{key}_labels": arrays()[f"{key}_labels"] * 0 for key in ("train", "val", "test")}, ["one class, '0'"]),
    ],
)
def test_npz_of_another_layout_is_refused_by_name(changes, named, tmp_path):
    np.savez(tmp_path / "wrong.npz", **arrays(**changes))
    refused("wrong", *named, name="wrong", root=tmp_path)


def test_classes_without_a_training_image_are_named(tmp_path):
    labels = {f"{key}_labels": arrays()[f"{key}_labels"] + 1 for key in ("train", "val", "test")}
    np.savez(tmp_path / "pets.npz", **arrays(**labels, class_names=np.array(["cat", "dog", "eel", "fox", "gnu"])))
    with pytest.warns(UserWarning, match="pets has no training image of 'cat', 'gnu';"):
        assert len(load_dataset("pets", tmp_path).classes) == 5
    np.savez(tmp_path / "pets.npz", **arrays(**labels))  # labels 1 to 3
    with pytest.warns(UserWarning, match="of '0';"):
        assert load_dataset("pets", tmp_path).classes == tuple("0123")


def test_damaged_npz_is_refused_by_name(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez(path, **arrays())
    whole = path.read_bytes()
    flipped = whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]
    damages = ((b"text", "zip"), (b"", "zip"), (whole[:-100], "zip"), (flipped, "train_images cannot be read"))
    for content, named in damages:
        path.write_bytes(content)
        refused(str(path), named, name="damaged", root=tmp_path)


# CIFAR-100 and CIFAR-10


@pytest.fixture
def cifar(monkeypatch) -> dict[str, np.ndarray]:
    """Return ten training images and one test image a class; torchvision takes any checksum and has no network."""
    from torchvision.datasets import CIFAR100

    def download(self):
        if not self._check_integrity():
            raise urllib.error.URLError("no network")

    monkeypatch.setattr(CIFAR100, "train_list", [["train", None]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", None]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": None})
    monkeypatch.setattr(CIFAR100, "download", download)
    random = np.random.default_rng(0)
    content = {"class_names": np.array([f"class {label}" for label in range(100)])}
    for split, count in (("train", 1000), ("test", 100)):
        content[f"{split}_images"] = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
        content[f"{split}_labels"] = random.permutation(np.arange(count) % 100)
    return content


def test_cifar_is_the_same_from_either_layout(cifar, tmp_path):
    folder = tmp_path / "pickles" / "cifar-100-python"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        labels = cifar[f"{split}_labels"].tolist()
        rows = cifar[f"{split}_images"].transpose(0, 3, 1, 2).reshape(len(labels), 3072)
        entry = {"filenames": [f"{i}.png" for i in labels], "batch_label": split, "fine_labels": labels}
        (folder / split).write_bytes(pickle.dumps(entry | {"coarse_labels": [0] * len(labels), "data": rows}, 2))
    names = {"fine_label_names": cifar["class_names"].tolist(), "coarse_label_names": ["any"]}
    (folder / "meta").write_bytes(pickle.dumps(names, 2))
    np.savez(tmp_path / "cifar100.npz", **cifar)

    pickles, npz = load_dataset("cifar100", folder.parent), load_dataset("cifar100", tmp_path, seed=5)
    assert sizes(npz) == [900, 100, 100] and npz.validation["label"].tolist().count(7) == 1
    assert npz.classes == pickles.classes and npz.classes[7] == "class 7"
    assert same(npz, pickles)  # and so whatever the seed: the validation split is fixed
    assert fingerprint(npz) == fingerprint(pickles)
    assert npz.test["image"][:3].shape == (3, 3, 64, 64)
    stored = load_dataset("cifar100", folder.parent, image_size=32).test
    assert np.array_equal(stored["image"][:].permute(0, 2, 3, 1).numpy(), cifar["test_images"])


def test_cifar_that_cannot_be_had_says_where_it_comes_from(cifar, tmp_path):
    url, layout = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "train_images, train_labels"
    folder, file = str(tmp_path / "cifar-100-python"), str(tmp_path / "cifar100.npz")
    refused("no network", "is not there", url, folder, file, layout, name="cifar100", root=tmp_path)
    refused("nothing is downloaded", url, folder, name="cifar100", root=tmp_path, download=False)
    Path(folder).mkdir()
    refused("no network", "does not match its checksums", folder, name="cifar100", root=tmp_path)
    np.savez(file, **arrays(side=28))
    refused(file, "32×32", "28×28", name="cifar100", root=tmp_path)


def test_cifar10_is_read_from_torchvisions_five_batches(monkeypatch, tmp_path):
    from torchvision.datasets import CIFAR10

    for name in ("train_list", "test_list"):
        monkeypatch.setattr(CIFAR10, name, [[file, None] for file, _ in getattr(CIFAR10, name)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": None})
    folder, random = tmp_path / "cifar-10-batches-py", np.random.default_rng(0)
    folder.mkdir()
    written = {}
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        rows, labels = random.integers(0, 256, (40, 3072), np.uint8), (np.arange(40) % 10).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": labels, "batch_label": name}, 2))
        written[name] = rows
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"kind {n}" for n in range(10)]}, 2))
    data = load_dataset("cifar10", tmp_path, image_size=32, download=False)
    assert sizes(data) == [180, 20, 40] and data.classes[3] == "kind 3" and data.name == "cifar10"
    assert np.array_equal(data.test["image"][:].flatten(1).numpy(), written["test_batch"])
    (folder / "data_batch_3").unlink()
    for each in ("data_batch_5, test_batch and batches.meta", "CIFAR-10", str(tmp_path / "cifar10.npz")):
        refused(each, "does not match its checksums", name="cifar10", root=tmp_path, download=False)
