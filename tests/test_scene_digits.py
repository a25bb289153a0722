"""SceneDigits: reproducible, labelled truly, its splits disjoint, and not to be told from pixels alone."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.datasets import ImageDataset, load_dataset, scene_digits
from semanticnn_core.datasets.scene_digits import build_scene_digits
from semanticnn_core.datasets.scenes import SceneRecipe, cached, cut_tiles, share_out

SMALL = SceneRecipe(counts=(200, 50, 50))


@pytest.fixture(scope="module")
def scenes() -> ImageDataset:
    return build_scene_digits(0, SMALL)


def same(first: ImageDataset, second: ImageDataset) -> bool:
    """Return whether every tensor of every split is the same."""
    pairs = [(getattr(first, split), getattr(second, split)) for split in ("train", "validation", "test")]
    parts = ("image", "label", "box", "mask")
    return all(torch.equal(a[part], b[part]) for a, b in pairs for part in parts)


def test_of_two_that_ask_at_once_one_builds(tmp_path):
    path, built = tmp_path / "cache" / "digits.npz", []

    def build() -> str:
        built.append(time.sleep(0.2))
        return "a data set"

    def ask(_: int) -> str:
        return cached(path, "Digits", build, Path.write_text, Path.read_text)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == ["a data set"] * 2
    assert len(built) == 1


@pytest.mark.slow
def test_scenes_are_the_same_for_a_seed_and_others_for_another(scenes):
    again, other = build_scene_digits(0, SMALL), build_scene_digits(1, SMALL)
    assert same(scenes, again)
    assert not torch.equal(scenes.train["image"], other.train["image"])


def test_scenes_have_labels_tight_boxes_and_masks(scenes):
    splits = (scenes.train, scenes.validation, scenes.test)
    assert [len(split) for split in splits] == [200, 50, 50] and scenes.classes == tuple("0123456789")
    for split in splits:
        assert split["image"].dtype == torch.uint8 and split["image"].shape == (len(split), 3, 64, 64)
        assert split["label"].dtype == torch.int64 and set(split["label"].tolist()) == set(range(10))
        assert split["mask"].dtype == torch.bool and split["box"].dtype == torch.float32
        for box, mask in zip(split["box"].int().tolist(), split["mask"], strict=True):
            y, x = torch.nonzero(mask).unbind(1)
            assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert 0 <= box[0] < box[2] <= 64 and 0 <= box[1] < box[3] <= 64


def test_building_says_how_far_it_is(monkeypatch):
    shown = []

    class Bar:
        def __init__(self, total: int, title: str) -> None:
            shown.append((title, total))

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *error: object) -> None:
            shown.append("closed")

        def update(self, count: int) -> None:
            shown.append(count)

    def compose(glyphs: torch.Tensor, *rest: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(glyphs), 3, 64, 64, dtype=torch.uint8), torch.ones(len(glyphs), 64, 64).bool()

    monkeypatch.setattr(scene_digits, "_compose", compose)
    monkeypatch.setattr(scene_digits, "progress", Bar)
    build_scene_digits(0, SceneRecipe(counts=(1010, 20, 10)))
    assert shown == [("building SceneDigits, once", 1040), 1000, 10, 20, 10, "closed"]


def testshare_out_gives_each_split_its_share_of_every_group():
    groups = torch.arange(400) % 4
    owner = share_out(groups, (0.7, 0.15, 0.15), torch.Generator().manual_seed(0))
    for group in range(4):
        assert owner[groups == group].bincount().tolist() == [70, 15, 15]


def test_tiles_cover_a_photograph_without_overlap():
    photos = torch.arange(2 * 3 * 40 * 60, dtype=torch.float32).reshape(2, 3, 40, 60)  # every value stands once
    tiles = cut_tiles(photos, (4, 6))
    assert tiles.shape == (48, 3, 10, 10) and torch.equal(tiles.flatten().sort().values, photos.flatten())
    assert torch.equal(tiles[2 * 7 + 1], photos[1, :, 10:20, 10:20])  # row 1, column 1 of the second photograph


def test_no_scan_and_no_tile_stands_in_two_splits(monkeypatch):
    used = []

    def compose(glyphs, tiles, generator, recipe):
        used.append([{each.numpy().tobytes() for each in items} for items in (glyphs, tiles)])
        return torch.zeros(len(glyphs), 3, 64, 64, dtype=torch.uint8), torch.ones(len(glyphs), 64, 64).bool()

    monkeypatch.setattr(scene_digits, "_compose", compose)
    build_scene_digits(0, SceneRecipe(counts=(1000, 1000, 1000)))
    for train, validation, test in zip(*used, strict=True):
        assert train and validation and test
        assert not (train & validation or train & test or validation & test)


@pytest.mark.slow
def test_pixels_alone_do_not_tell_the_digit():
    dataset = build_scene_digits(0, SceneRecipe(counts=(3000, 10, 500)))
    train, test = (
        F.avg_pool2d(each["image"] / 255, 2).flatten(1) for each in (dataset.train, dataset.test)
    )  # (N, 3072)
    mean, targets = train.mean(0), F.one_hot(dataset.train["label"], 10).float()
    train, test = train - mean, test - mean
    gram, seen = train.T @ train, train.T @ (targets - targets.mean(0))
    for ridge in (10.0, 1000.0):  # from one that learns the training scenes by heart to a stiff one
        weights = torch.linalg.solve(gram + ridge * torch.eye(len(gram)), seen)
        assert ((test @ weights).argmax(1) == dataset.test["label"]).float().mean() < 0.3


def test_scenes_are_cached_once_and_whole(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(scene_digits, "build_scene_digits", lambda seed: scenes)
    assert same(load_dataset("scene_digits", tmp_path), scenes)
    (cache,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(scene_digits, "build_scene_digits", lambda seed: pytest.fail("built although cached"))
    assert same(load_dataset("scene_digits", tmp_path), scenes)

    monkeypatch.setattr(scene_digits, "build_scene_digits", lambda seed: scenes)
    whole = cache.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:-1000], flipped, b"not a zip file"):
        cache.write_bytes(damaged)
        with pytest.warns(UserWarning, match=f"{cache.name} is damaged"):
            assert same(load_dataset("scene_digits", tmp_path), scenes)
        assert cache.read_bytes()[:2] == b"PK" and cache.stat().st_size == len(whole)


def test_a_failed_write_leaves_no_cache_behind(scenes, tmp_path, monkeypatch):
    def savez(file, **arrays):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(scene_digits, "build_scene_digits", lambda seed: scenes)
    monkeypatch.setattr(np, "savez", savez)
    with pytest.warns(UserWarning, match="disk full"):
        assert same(load_dataset("scene_digits", tmp_path), scenes)
    assert list((tmp_path / "cache").iterdir()) == []
