"""SceneDetection: reproducible, its boxes tight and apart, its splits disjoint, kept and rebuilt."""

from dataclasses import replace

import pytest
import torch

from semanticnn_core.datasets import DataError, load_dataset, scene_detection
from semanticnn_core.datasets.scene_detection import DETECTION, GAP, SIZE, build_scene_detection

SMALL = replace(DETECTION, scene=replace(DETECTION.scene, counts=(60, 20, 20)))


@pytest.fixture(scope="module")
def scenes():
    return build_scene_detection(0, SMALL)


@pytest.mark.slow
def test_scenes_are_the_same_for_a_seed_and_others_for_another(scenes):
    again, other = build_scene_detection(0, SMALL), build_scene_detection(1, SMALL)
    for split in ("train", "validation", "test"):
        one, two = getattr(scenes, split), getattr(again, split)
        assert torch.equal(one["image"], two["image"])
        assert all(map(torch.equal, one["box"] + one["label"], two["box"] + two["label"]))
    assert not torch.equal(scenes.train["image"], other.train["image"])


def test_every_scene_has_one_to_six_digits_inside_it_and_apart(scenes):
    counts = set()
    for split in (scenes.train, scenes.validation, scenes.test):
        assert split["image"].shape == (len(split), 3, SIZE, SIZE) and split["image"].dtype == torch.uint8
        for box, label in zip(split["box"], split["label"], strict=True):
            counts.add(len(box))
            assert len(box) == len(label) and label.dtype == torch.int64 and box.dtype == torch.float32
            assert (box[:, :2] >= 0).all() and (box[:, 2:] <= SIZE).all() and (box[:, 2:] > box[:, :2]).all()
            for row in range(len(box)):
                rest = torch.cat([box[:row], box[row + 1 :]])
                apart = (box[row, :2] >= rest[:, 2:] + GAP) | (rest[:, :2] >= box[row, 2:] + GAP)
                assert apart.any(1).all()
    assert counts == {1, 2, 3, 4, 5, 6}


@pytest.mark.slow
def test_boxes_are_tight_around_what_was_painted():
    """With the same draws but clear ink, all that differs from the background lies in the boxes, and reaches them."""
    scene = replace(SMALL.scene, noise=0.0)
    plain = replace(SMALL, scene=replace(scene, opacity=(0.0, 0.0)))
    one = build_scene_detection(0, replace(SMALL, scene=scene)).test
    other = build_scene_detection(0, plain).test
    for image, empty, box in zip(one["image"], other["image"], one["box"], strict=True):
        changed = (image.int() - empty.int()).abs().amax(0) > 12
        inside = torch.zeros_like(changed)
        for x0, y0, x1, y1 in box.int().tolist():
            inside[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = True
            part = changed[y0:y1, x0:x1]
            assert part.any(0)[[0, 1, -2, -1]].any() and part.any(1)[[0, 1, -2, -1]].any() and part.float().mean() > 0.1
        assert not (changed & ~inside).any()


def test_splits_share_no_digit_and_no_photograph(monkeypatch):
    given = []
    compose = scene_detection._compose
    monkeypatch.setattr(
        scene_detection, "_compose", lambda count, share, *rest: given.append(share) or compose(count, share, *rest)
    )
    build_scene_detection(0, replace(SMALL, scene=replace(SMALL.scene, counts=(1, 1, 1))))
    assert [len(each.glyphs) for each in given] == pytest.approx([1258, 270, 269], abs=12)  # 70, 15 and 15 %
    tiles = [{each.numpy().tobytes() for each in share.tiles} for share in given]
    assert sum(map(len, tiles)) == len(set.union(*tiles)) == 2 * 3 * 4


@pytest.mark.slow
def test_it_is_kept_and_a_damaged_file_is_built_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_detection, "DETECTION", SMALL)
    monkeypatch.setattr(scene_detection, "build_scene_detection", lambda seed=0: build_scene_detection(seed, SMALL))
    first = load_dataset("scene_detection", tmp_path, SIZE)
    (file,) = (tmp_path / "cache").iterdir()
    again = load_dataset("scene_detection", tmp_path, SIZE)
    assert torch.equal(first.test["image"], again.test["image"])
    assert all(map(torch.equal, first.train["box"], again.train["box"]))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="is damaged"):
        load_dataset("scene_detection", tmp_path, SIZE)
    with pytest.raises(DataError, match="image_size must be 128, got 64"):
        load_dataset("scene_detection", tmp_path)
