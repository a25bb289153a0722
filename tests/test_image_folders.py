"""Directories of images: both layouts, every kind of image, and what cannot be used refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_checks import SPLITS, refused, same, sizes
from PIL import Image

from semanticnn_core.datasets import DataError, load_dataset
from semanticnn_core.datasets.folder import decode_image


def paint(path: Path, color="gray", size=(20, 16), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **options)
    return path


def fill(root: Path, **counts: int) -> Path:
    """Paint images, all different, into root/CLASS for each CLASS=count."""
    for label, (name, count) in enumerate(counts.items()):
        for index in range(count):
            paint(root / name / f"{index:03}.png", color=(index, 10 * label, 0))
    return root


def test_plain_folder_is_divided_class_by_class(tmp_path):
    fill(tmp_path / "pets", cat=40, dog=20)
    paint(tmp_path / "pets" / ".ipynb_checkpoints" / "copy.png")
    paint(tmp_path / "pets" / "cat" / ".ipynb_checkpoints" / "copy.png")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    dataset = load_dataset("pets", tmp_path, image_size=8)
    assert dataset.name == "pets" and dataset.classes == ("cat", "dog")
    counts = [getattr(dataset, split)["label"].bincount().tolist() for split in SPLITS]
    assert counts == [[28, 14], [6, 3], [6, 3]]
    images = torch.cat([getattr(dataset, split)["image"][:] for split in SPLITS])
    assert images.shape == (60, 3, 8, 8) and len(images.flatten(1).unique(dim=0)) == 60
    assert (
        dataset.train["image"][:][:, 1, 0, 0] == 10 * dataset.train["label"]
    ).all()  # the green value tells the class
    assert same(dataset, load_dataset(str(tmp_path / "pets"), image_size=8))
    assert not same(dataset, load_dataset("pets", tmp_path, image_size=8, seed=1))


def test_folder_keeps_the_splits_it_brings(tmp_path):
    fill(tmp_path / "train", cat=40, dog=20)
    assert sizes(load_dataset(str(tmp_path))) == [42, 6, 12]  # 10 % and 20 % are drawn
    fill(tmp_path / "test", dog=5)
    dataset = load_dataset(str(tmp_path))
    assert sizes(dataset) == [54, 6, 5] and dataset.test["label"].tolist() == [1] * 5  # as train numbers its classes
    fill(tmp_path / "validation", cat=2, dog=2)
    assert sizes(load_dataset(str(tmp_path))) == [60, 4, 5]
    fill(tmp_path / "val", cat=2)
    refused("both val and validation", name=str(tmp_path))


def test_folder_of_another_layout_is_refused_by_name(tmp_path):
    root = tmp_path / "pets"
    root.mkdir()
    refused(str(root), "no class folders", "CLASS/*.jpg", name="pets", root=tmp_path)
    fill(root, cat=2)
    refused("pets has one class, 'cat'", name="pets", root=tmp_path)
    fill(root, dog=1)
    refused("pets", "no image is left for test", "3 training images", "at least 3", name="pets", root=tmp_path)
    (root / "eel").mkdir()
    refused(str(root / "eel"), "no images", ".jpg", name="pets", root=tmp_path)
    fill(tmp_path / "split" / "test", cat=3)
    refused(str(tmp_path / "split"), "has test, but no train", name="split", root=tmp_path)
    fill(tmp_path / "split" / "train", dog=9, eel=9)
    refused(str(tmp_path / "split" / "test"), "'cat'", "dog, eel", name="split", root=tmp_path)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    orange, size, deep = (200, 100, 50), (20, 16), Image.fromarray(np.full((16, 20), 100 * 257, np.uint16))
    for name, mode in (("rgb.png", "RGB"), ("cmyk.jpg", "CMYK"), ("palette.png", "P"), ("opaque.webp", "RGBA")):
        shown = decode_image(paint(tmp_path / name, orange, size, mode), 8)
        assert shown.shape == (3, 8, 8) and shown.dtype == torch.uint8
        assert (shown - torch.tensor(orange)[:, None, None]).abs().max() <= 6, name
    for name, image, value in (
        ("grey.png", Image.new("L", size, 90), 90),
        ("bits.png", Image.new("1", size, 1), 255),
        ("deep.png", deep, 100),
        ("deep.tif", deep, 100),
        ("deep.pgm", deep, 100),
        ("clear.png", Image.new("RGBA", size, (255, 0, 0, 0)), 255),
        ("clear-grey.png", Image.new("LA", size, (0, 0)), 255),
    ):
        image.save(tmp_path / name)
        assert (decode_image(tmp_path / name, 8) == value).all(), name


def test_images_are_upright_and_cropped_to_their_centre(tmp_path):
    flag = Image.new("RGB", (800, 200), "red")
    flag.paste("lime", (200, 0, 600, 200))
    flag.save(tmp_path / "flag.jpg", quality=95)
    red, green, _ = decode_image(tmp_path / "flag.jpg", 16)
    assert red.max() < 10 and green.min() > 245

    stored = Image.new("RGB", (64, 64), "red")
    stored.paste("blue", (32, 0, 64, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise: what is stored left stands on top
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    red, _, blue = decode_image(tmp_path / "turned.jpg", 16)
    assert red[:6].min() > 240 and blue[-6:].min() > 240 and blue[:6].max() < 15
    stored.save(tmp_path / "odd.jpg", exif=b"Exif\0\0no such thing", quality=95)
    assert decode_image(tmp_path / "odd.jpg", 16)[0, :, :6].min() > 240  # damaged tags spoil no pixel


def test_unreadable_images_are_refused_by_name_when_asked_for(tmp_path, monkeypatch):
    root = fill(tmp_path / "pets", cat=9, dog=9)
    whole = paint(root / "cat" / "000.png", size=(200, 200)).read_bytes()
    opened, really_open = [], open

    def watched(*arguments, **options):
        opened.append(really_open(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr("builtins.open", watched)
    load_dataset("pets", tmp_path).train["image"][:]
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:40]):
        (root / "dog" / "008.png").write_bytes(content)
        dataset = load_dataset("pets", tmp_path)  # nothing is decoded before it is asked for
        with pytest.raises(DataError, match=r"dog.008\.png cannot be read as an image"):
            for split in SPLITS:
                getattr(dataset, split)["image"][:]
    assert len(opened) > 18 and all(file.closed for file in opened)
    for name, values in (("float.tif", np.zeros((9, 9), np.float32)), ("wide.tif", np.full((9, 9), 70_000, np.int32))):
        Image.fromarray(values).save(tmp_path / name)
        with pytest.raises(DataError, match=name + ".*(floats|70000)"):
            decode_image(tmp_path / name, 8)
