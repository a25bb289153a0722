"""Tiny-ImageNet in its archive's own layout, and with `val` sorted into class folders."""

import shutil
from pathlib import Path

import pytest
import torch
from dataset_checks import refused, same, sizes
from PIL import Image

from semanticnn_core.datasets import load_dataset

NUMBERS = ("n02012849", "n01443537", "n03126707")
WORDS = {
    "n00001740": "entity", "n01443537": "goldfish, Carassius auratus", "n02012849": "crane",
    "n03126707": "crane, hoist", "n09999999": "never used",
}  # fmt: skip


def paint(path: Path, red: int, green: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (red, green, 0)).save(path, quality=100)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder as the archive unpacks: 20 training and 4 validation images a class, 5 without labels."""
    root = tmp_path / "tiny-imagenet-200"
    lines = []
    for label, number in enumerate(NUMBERS):
        for index in range(20):
            paint(root / "train" / number / "images" / f"{number}_{index}.JPEG", 10 * index, 80 * label)
        (root / "train" / number / f"{number}_boxes.txt").write_text(f"{number}_0.JPEG\t0\t0\t62\t62\n")
        for index in range(4):
            name = f"val_{3 * index + label}.JPEG"
            paint(root / "val" / "images" / name, 20 * index, 80 * label)
            lines.append(f"{name}\t{number}\t0\t32\t44\t62\n")
    for index in range(5):
        paint(root / "test" / "images" / f"test_{index}.JPEG", 0, 0)
    (root / "val" / "val_annotations.txt").write_text("".join(sorted(lines)))
    (root / "wnids.txt").write_text("\n".join(NUMBERS) + "\n")
    (root / "words.txt").write_text("".join(f"{number}\t{words}\n" for number, words in WORDS.items()))
    return root


def test_the_archives_own_layout(archive):
    with pytest.warns(UserWarning, match="not used: test, whose images have no labels; val is the test split"):
        data = load_dataset("tiny-imagenet-200", archive.parent, image_size=64)
    assert data.classes == ("crane (n02012849)", "goldfish", "crane (n03126707)")
    assert sizes(data) == [54, 6, 12]
    for split in (data.train, data.validation, data.test):
        green = split["image"][:][:, 1, 32, 32].float()  # tells the class
        assert ((green - 80 * split["label"]).abs() < 6).all()
        assert split["label"].bincount(minlength=3).unique().numel() == 1


@pytest.mark.filterwarnings("ignore:.*have no labels")
@pytest.mark.parametrize("inner", ["", "images"])
def test_val_may_be_sorted_into_class_folders(archive, inner):
    copied = archive.parent / "copied"
    shutil.copytree(archive, copied)
    for line in (archive / "val" / "val_annotations.txt").read_text().splitlines():
        name, number = line.split("\t")[:2]
        (archive / "val" / number / inner).mkdir(parents=True, exist_ok=True)
        (archive / "val" / "images" / name).rename(archive / "val" / number / inner / name)
    (archive / "val" / "images").rmdir()
    (archive / "words.txt").unlink()
    moved = load_dataset(str(archive))
    assert same(load_dataset(str(copied)), moved) and moved.classes == NUMBERS


def test_what_is_missing_is_named(archive):
    annotations = archive / "val" / "val_annotations.txt"
    kept = annotations.read_text()
    annotations.write_text("val_0.JPEG\tn99999999\t0\t0\t1\t1\n")
    refused("line 1", "'n99999999' is none of the classes", name=str(archive))
    annotations.write_text("val_99.JPEG\tn01443537\t0\t0\t1\t1\n")
    refused("line 1", "val_99.JPEG is not there", name=str(archive))
    annotations.write_text("".join(line + "\n" for line in kept.splitlines() if NUMBERS[1] not in line))
    refused("has no images of n01443537, which wnids.txt names", name=str(archive))
    annotations.write_text(kept)
    (archive / "wnids.txt").write_text("\n".join(f"n{number:08}" for number in range(200)))
    refused("n00000000, n00000001, n00000002 … and 197 more", name=str(archive))
    (archive / "wnids.txt").write_text("n1\nn1\n")
    refused("must hold every class once", name=str(archive))


@pytest.mark.filterwarnings("ignore:.*have no labels")
def test_images_are_decoded_at_any_size(archive):
    data = load_dataset(str(archive), image_size=32)
    assert data.test["image"][:2].shape == (2, 3, 32, 32) and data.test["image"][:2].dtype == torch.uint8
