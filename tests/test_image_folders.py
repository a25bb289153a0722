"""Directories of images: both layouts, every kind of image, and what cannot be used refused by name."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_checks import SPLITS, refused, same, sizes
from PIL import Image, features

from semanticnn_core.datasets import DataError, ImageDataset, image_files, load_dataset
from semanticnn_core.datasets.image_files import decode_image


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
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "__MACOSX/copy.png", "@eaDir/copy.png"):
        (tmp_path / "pets" / "cat" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "pets" / "cat" / name).write_text("no image")
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


def counts(dataset: ImageDataset) -> list[int]:
    """Return the number of images of each class, in all splits together."""
    labels = torch.cat([getattr(dataset, split)["label"] for split in SPLITS])
    return labels.bincount(minlength=len(dataset.classes)).tolist()


def test_links_do_not_multiply_images(tmp_path):
    root = fill(tmp_path / "pets", cat=8, dog=8)
    stored = fill(tmp_path / "elsewhere", eel=8) / "eel"
    (root / "eel").symlink_to(stored)
    expected = load_dataset("pets", tmp_path, image_size=8)
    assert counts(expected) == [8, 8, 8]
    (root / "cat" / "up").symlink_to("..")  # a loop
    (root / "cat" / "far-up").symlink_to("../../..")  # past the data set, into all that lies beside it
    (root / "cat" / "self").symlink_to("self")
    (root / "dog" / "again").symlink_to("../dog")
    (root / "dog" / "again.png").symlink_to("003.png")
    os.link(root / "dog" / "004.png", root / "dog" / "005-hard.png")
    (root / "eel" / "whole").symlink_to(stored.parent)
    with pytest.warns(UserWarning, match="not used: 1 without an ending"):
        assert same(load_dataset("pets", tmp_path, image_size=8), expected)
    (root / "cat" / "more").mkdir()
    (root / "cat" / "first").symlink_to(root / "cat" / "more")  # two links to one folder
    (root / "cat" / "second").symlink_to(root / "cat" / "more")
    paint(root / "cat" / "more" / "1.png")
    with pytest.warns(UserWarning):
        assert counts(load_dataset("pets", tmp_path)) == [9, 8, 8]


@pytest.mark.parametrize(
    ("link", "target", "named"),
    [
        ("train/dog/x.png", "train/cat/000.png", ["train/cat/000.png", "train/dog/x.png", "classes, 'cat' and 'dog'"]),
        ("train/cat/x", "train/dog", ["train/cat/x", "train/dog", "classes, 'dog' and 'cat'"]),
        ("train/eel", "train/cat", ["train/cat", "train/eel", "classes, 'cat' and 'eel'"]),
        ("test/cat/x.png", "train/cat/000.png", ["test/cat/x.png", "splits, train and test"]),
        ("test/cat/x", "train/cat/deep", ["test/cat/x", "splits, train and test"]),
        ("val", "test", ["val/cat", "test/cat", "splits, test and validation"]),
        ("train/eel", "train/cat/deep/er", ["train/eel", "train/cat/deep/er", "classes, 'eel' and 'cat'"]),
        ("train/eel", ".", ["train/eel", "holds the data set itself"]),
        ("train/eel", "..", ["train/eel", "holds the data set itself"]),
    ],
)
def test_one_image_in_two_classes_or_splits_is_refused(link, target, named, tmp_path):
    root = tmp_path / "pets"
    fill(root / "train", cat=3, dog=3)
    fill(root / "test", cat=3)
    paint(root / "train" / "cat" / "deep" / "er" / "1.png")
    (root / link).symlink_to(root / target)
    refused(*named, name="pets", root=tmp_path)


def test_hard_links_into_two_classes_are_refused(tmp_path):
    root = fill(tmp_path / "pets", cat=3, dog=3)
    os.link(root / "cat" / "000.png", root / "dog" / "copy.png")
    refused("cat/000.png", "dog/copy.png", "'cat' and 'dog'", name="pets", root=tmp_path)


def test_any_format_that_pillow_reads_is_used_and_other_files_are_counted(tmp_path):
    root = fill(tmp_path / "mix", cat=8, dog=8)
    endings = [".gif", ".GIF", ".jp2", ".tga", ".apng", ".ico"] + [".avif"] * features.check("avif")
    for number, ending in enumerate(endings):
        image = Image.new("RGB", (32, 32), (200, number, 0))
        image.save(root / "cat" / f"{number}{ending}")
    frames = [Image.new("RGB", (32, 32), color) for color in ("lime", "red")]
    frames[0].save(root / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode_image(root / "cat" / "moving.gif", 8).float().mean((1, 2)).tolist() == [0, 255, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load_dataset("mix", tmp_path, image_size=8)
    assert counts(dataset) == [8 + len(endings) + 1, 8]
    assert all(getattr(dataset, split)["image"][:].shape[0] for split in SPLITS)  # and all can be decoded

    for name in ("a.heic", "b.HEIC", "notes.txt", "clip.mpg", "README", "page.eps", "d/deep.heic"):
        (root / "dog" / name).parent.mkdir(exist_ok=True)
        (root / "dog" / name).write_text("any")
    os.mkfifo(root / "dog" / "pipe.png")
    paint(root / "loose.png")
    (root / "LICENSE.txt").write_text("beside the classes, where such files belong")
    with pytest.warns(UserWarning) as caught:
        assert same(load_dataset("mix", tmp_path, image_size=8), dataset)
    (message,) = [str(each.message) for each in caught]
    for part in ("mix: not used: 3 .heic", "1 .txt", "1 .mpg", "1 .eps", "1 without an ending", "1 no file"):
        assert part in message
    assert "1 outside the class folders" in message

    (root / "eel").mkdir()
    (root / "eel" / "a.heic").write_text("any")
    refused(str(root / "eel"), "no images that Pillow reads", "1 .heic", name="mix", root=tmp_path)


def test_names_of_classes_are_one_however_the_system_writes_them(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    fill(tmp_path / "train", **{decomposed: 9, "tea": 9})
    fill(tmp_path / "test", **{composed: 3, "tea": 3})
    dataset = load_dataset(tmp_path, image_size=8)
    assert dataset.classes == (composed, "tea") and dataset.test["label"].bincount().tolist() == [3, 3]
    assert dataset.train["image"][:].shape[0] == len(dataset.train)  # under the paths that exist
    paint(tmp_path / "test" / decomposed / "1.png")
    assert load_dataset(tmp_path).test["label"].bincount().tolist() == [4, 3]


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
    (tmp_path / "val").rename(tmp_path / "more")
    (tmp_path / "validation").rename(tmp_path / "VALID")
    (tmp_path / "train").rename(tmp_path / "Train")
    paint(tmp_path / "Train" / "loose.png")
    with pytest.warns(UserWarning, match="1 beside train, 1 outside the class folders"):
        assert sizes(load_dataset(str(tmp_path))) == [60, 4, 5]


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
    (tmp_path / "many" / "test" / "cat").mkdir(parents=True)
    fill(tmp_path / "many" / "train", **{f"class {number:03}": 1 for number in range(200)})
    refused("'cat'", "class 007 … and 192 more", name="many", root=tmp_path)


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


def test_images_are_decoded_once_while_there_is_room(tmp_path, monkeypatch):
    dataset = load_dataset(fill(tmp_path / "pets", cat=10, dog=10), image_size=8)
    smaller = type(dataset.train["image"])(dataset.train["image"].source, 4)
    first = dataset.train["image"][:]
    monkeypatch.setattr(
        image_files, "decode_image", lambda file, size: torch.full((3, size, size), 7, dtype=torch.uint8)
    )
    assert torch.equal(dataset.train["image"][:], first)
    assert (smaller[:] == 7).all(), "another size is another image"
    monkeypatch.setattr(image_files, "KEPT", 0)
    dataset.train["image"].source.decoded.clear()
    assert (dataset.train["image"][:] == 7).all() and not dataset.train["image"].source.decoded


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
