"""What a data set holds and what is wrong with it, said before work starts; and its fingerprint."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semanticnn_core.datasets import DataError, ImageDataset, Split, fingerprint, load_dataset, survey
from semanticnn_core.datasets.images import progress


def fill(root: Path, count: int = 20) -> Path:
    """Save images of noise, all different, as root/cat/NUMBER.jpg and root/dog/NUMBER.jpg."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.jpg")
    return root


def arrays() -> ImageDataset:
    """Return 6, 4 and 4 images with every kind of column."""
    generator = torch.Generator().manual_seed(0)
    splits = []
    for count in (6, 4, 4):
        image = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
        columns = {"label": torch.arange(count) % 2, "box": torch.rand(count, 4, generator=generator)}
        objects = [torch.rand(number % 3, 5, generator=generator) for number in range(count)]
        splits.append(Split({"image": image, "mask": image[:, 0] > 128, "objects": objects, **columns}))
    return ImageDataset("noise", ("cat", "dog"), *splits)


def test_a_sound_data_set_is_described_in_three_lines(tmp_path):
    summary = survey(load_dataset(fill(tmp_path / "pets"), image_size=16))
    assert summary.sizes == {"train": 28, "validation": 6, "test": 6}
    assert summary.counts["train"] == [14, 14] and summary.image_shape == (3, 16, 16)
    assert summary.describe().splitlines() == [
        "pets: 40 images of 2 classes (cat, dog), 16×16 pixels",
        "train 28 images, 14 a class; validation 6 images, 3 a class; test 6 images, 3 a class",
        "every image can be read, none is in two splits",
    ]
    summary.refuse_damaged()
    assert survey(arrays()).describe().splitlines()[1].startswith("train 6 images, 3 a class; validation 4 images, 2")
    bare = ImageDataset("bare", ("cat",), *[Split({"image": arrays().train["image"][:1] + k}) for k in range(3)])
    assert "train 1 image; validation 1 image; test 1 image" in survey(bare).describe()
    ragged = [Split({"image": list(getattr(arrays(), split)["image"])}) for split in ("train", "validation", "test")]
    assert survey(ImageDataset("ragged", ("cat",), *ragged)).image_shape == (3, 8, 8)


def test_damaged_images_are_found_by_name_before_training(tmp_path):
    root = fill(tmp_path / "pets")
    whole = (root / "cat" / "00.jpg").read_bytes()
    (root / "cat" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "cat" / "01.jpg").write_bytes(b"")
    (root / "cat" / "02.jpg").write_text("no image")
    (root / "cat" / "03.jpg").unlink()
    (root / "cat" / "03.jpg").symlink_to("nowhere.jpg")
    Image.fromarray(np.zeros((9, 9), np.float32)).save(root / "dog" / "deep.tif")
    (root / "dog" / "notes.txt").write_text("any")
    with pytest.warns(UserWarning, match=r"1 \.txt"):
        dataset = load_dataset(root, image_size=16)
    summary = survey(dataset)
    reasons = {"cat/00.jpg": "runcated", "cat/01.jpg": "format", "cat/02.jpg": "format", "cat/03.jpg": "No such file"}
    reasons |= {"dog/deep.tif": "floats"}
    assert set(summary.damaged) == set(reasons)
    assert not {name: reason for name, reason in summary.damaged.items() if reasons[name] not in reason}
    assert "damaged: 5 images: " in summary.describe() and "not used: 1 .txt: dog/notes.txt" in summary.describe()
    with pytest.raises(DataError, match=r"pets: 5 images cannot be read: .*cat/00\.jpg \(.*runcated"):
        summary.refuse_damaged()
    with pytest.raises(DataError, match="cat/03.jpg .No such file"):
        fingerprint(dataset)
    for number in range(10, 15):
        (root / "dog" / f"{number}.jpg").write_bytes(whole[:500])
    with pytest.warns(UserWarning), pytest.raises(DataError, match=r"10 images cannot be read: .* … and 5 more"):
        survey(load_dataset(root)).refuse_damaged()


def test_images_in_two_splits_are_named(tmp_path):
    root = tmp_path / "pets"
    fill(root / "train")
    fill(root / "test", 1)  # the same noise as the first two cats
    summary = survey(load_dataset(root))
    assert summary.repeated == {"test/cat/00.jpg": "train/cat/00.jpg", "test/dog/00.jpg": "train/cat/01.jpg"}
    assert "in two splits: 2 images: test/cat/00.jpg = train/cat/00.jpg, test/dog" in summary.describe()
    noise = arrays()
    noise.test["image"][3] = noise.train["image"][5]
    assert survey(noise).repeated == {"test[3]": "train[5]"}


def test_fingerprint_differs_in_whatever_differs(tmp_path):
    first = fingerprint(arrays())
    assert len(first) == 32 and first == fingerprint(arrays()) == survey(arrays()).fingerprint
    seen = {first, fingerprint(arrays().take(3))}
    for column, place in (("image", (3, 0, 7, 7)), ("label", 3), ("box", (1, 2)), ("mask", (0, 1, 1))):
        changed = arrays()
        entry = changed.test[column]
        entry[place] = ~entry[place] if column == "mask" else entry[place] + 1
        seen.add(fingerprint(changed))
    changed = arrays()
    changed.train["objects"][2][0, 0] += 1
    seen.add(fingerprint(changed))
    same = arrays()
    others = ({"name": "other"}, {"classes": ("cat", "eel")}, {"train": same.train[::-1]}, {"test": same.validation})
    seen |= {fingerprint(replace(same, **other)) for other in others}
    assert len(seen) == 11


def test_fingerprint_of_files_is_of_their_content_and_of_the_image_size(tmp_path):
    root = fill(tmp_path / "pets", 8)
    first = fingerprint(load_dataset(root, image_size=16))
    root.rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "pets")
    assert fingerprint(load_dataset("pets", tmp_path, image_size=16)) == first
    others = [fingerprint(load_dataset(root, image_size=24)), fingerprint(load_dataset(root, image_size=16, seed=1))]
    others.append(fingerprint(load_dataset(root, image_size=16).take(4)))
    Image.new("RGB", (32, 24)).save(root / "dog" / "07.jpg")
    others.append(fingerprint(load_dataset(root, image_size=16)))
    assert len({first, *others}) == 5


def test_fingerprint_of_an_npz_is_of_what_is_stored(tmp_path):
    random = np.random.default_rng(0)
    stored = {f"{split}_images": random.integers(0, 256, (8, 6, 6), np.uint8) for split in ("train", "test")}
    stored |= {f"{split}_labels": np.arange(8) % 2 for split in ("train", "test")}
    np.savez(tmp_path / "grey.npz", **stored)
    first = fingerprint(load_dataset("grey", tmp_path))
    np.savez_compressed(tmp_path / "grey.npz", **stored)
    assert fingerprint(load_dataset("grey", tmp_path)) == first
    stored["train_images"][0, 5, 5] ^= 1
    np.savez(tmp_path / "grey.npz", **stored)
    assert fingerprint(load_dataset("grey", tmp_path)) != first
    assert fingerprint(load_dataset("grey", tmp_path, image_size=32)) != fingerprint(load_dataset("grey", tmp_path))


def test_progress_shows_on_a_terminal_alone(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress(9, "checking").disable
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(9, "checking") as bar:
        assert not bar.disable
        bar.update(9)
    assert sys.stderr.getvalue() == ""  # done within two seconds
    with progress(9, "checking") as bar:
        bar.start_t -= 3
        bar.last_print_t -= 3
        bar.update(4)
        assert "checking" in sys.stderr.getvalue()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress(9, "checking").disable
