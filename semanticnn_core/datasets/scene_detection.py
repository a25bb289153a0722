"""SceneDetection: one to six handwritten digits in a photograph, each with its box and class.

Made from what SceneDigits is made from, at 128 px; every digit scan and tile of photograph belongs to one split alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.datasets.base import ImageDataset, Split
from semanticnn_core.datasets.images import progress
from semanticnn_core.datasets.scenes import (
    SceneRecipe,
    Share,
    cache_path,
    cached,
    crop_tiles,
    draws,
    noisy,
    painted,
    place_glyphs,
    shares,
    strokes,
    tight_boxes,
)
from semanticnn_core.files import replacing

SIZE = 128
CLASSES = tuple(str(digit) for digit in range(10))
TRIES = 12
"""Places tried for a digit before it is left out."""
GAP = 2
"""Least distance between two digits' boxes, pixels."""
MARGIN = 36
"""Half the side of the patch that a digit of any size and turn fits in, pixels."""


@dataclass(frozen=True)
class DetectionRecipe:
    """Everything that decides how hard the scenes are: SceneDigits' inks, and what is said here."""

    scene: SceneRecipe = SceneRecipe(
        counts=(5_000, 500, 500), photo_tiles=(3, 4), digit_size=(24.0, 56.0), photo_zoom=(0.8, 1.1)
    )
    digits: tuple[int, int] = (1, 6)  # in an image, at most


DETECTION = DetectionRecipe()


def build_scene_detection(seed: int = 0, recipe: DetectionRecipe = DETECTION) -> ImageDataset:
    """Build SceneDetection from scratch; the same seed gives the same bytes.

    Returns splits of uint8 images (N, 3, 128, 128), and lists of tight boxes float32 (n, 4) and labels int64 (n,).
    """
    generator = torch.Generator().manual_seed(seed)
    splits = []
    owned = shares(recipe.scene, generator)
    with progress(sum(recipe.scene.counts), "building SceneDetection, once") as bar:
        for share, count in zip(owned, recipe.scene.counts, strict=True):
            images, boxes, kinds = [], [], []
            for part in torch.arange(count).split(250):
                image, box, kind = _compose(len(part), share, generator, recipe)
                images.append(image)
                boxes += box
                kinds += kind
                bar.update(len(part))
            splits.append(Split({"image": torch.cat(images), "box": boxes, "label": kinds}))
    return ImageDataset("scene_detection", CLASSES, *splits)


def load_scene_detection(root: Path, seed: int = 0) -> ImageDataset:
    """Load SceneDetection from the cache under `root`, building it (some seconds) when it is not there or damaged."""
    path = cache_path(root, "scene_detection", DETECTION, seed)
    return cached(path, "SceneDetection", lambda: build_scene_detection(seed), _save, _load)


def _compose(
    count: int, share: Share, generator: torch.Generator, recipe: DetectionRecipe
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Paint so many scenes; returns images uint8, boxes and labels, in the order in which digits were painted."""
    scene, (fewest, most) = recipe.scene, recipe.digits
    images = crop_tiles(share.tiles, draws(count, generator)(0, 1, 5), scene.photo_zoom, SIZE)
    images = F.pad(images, (MARGIN,) * 4, mode="replicate")  # patches may reach beyond the edge, digits may not
    numbers = torch.randint(fewest, most + 1, (count,), generator=generator)
    boxes = [torch.empty(0, 4) for _ in range(count)]
    kinds = [torch.empty(0, dtype=torch.int64) for _ in range(count)]
    for digit in range(most):
        rows = torch.nonzero(numbers > digit).flatten()
        pick = torch.randint(len(share.glyphs), (len(rows),), generator=generator)
        uniform = draws(len(rows), generator)
        size, turn = uniform(*scene.digit_size), uniform(-1, 1) * scene.rotation
        stroke = strokes(
            place_glyphs(share.glyphs[pick], size, turn, torch.full((len(rows), 2), 0.5), 2 * MARGIN), scene
        )
        box = tight_boxes(stroke[:, 0] > 0.5)
        low, high = -box[:, :2].clamp(max=MARGIN), SIZE - box[:, 2:].clamp(min=MARGIN)  # of the patch's corner
        tries = (
            low[:, None] + (torch.rand(len(rows), TRIES, 2, generator=generator) * (high - low + 1)[:, None]).floor()
        )
        corner = [_free_corner(boxes[row], *each) for row, *each in zip(rows.tolist(), box, tries, strict=True)]
        free = torch.tensor([each is not None for each in corner])
        if not free.any():
            continue
        corner = torch.stack([each for each in corner if each is not None])
        ramp, rows = torch.arange(2 * MARGIN), rows[free]
        x, y = ((corner[:, axis, None] + ramp + MARGIN).long() for axis in (0, 1))
        where = rows[:, None, None], slice(None), y[:, :, None], x[:, None, :]
        patch = images[where].permute(0, 3, 1, 2)  # advanced indices put the channels last
        images[where] = painted(patch, stroke[free], generator, scene).permute(0, 2, 3, 1)
        for row, each, kind in zip(
            rows.tolist(), box[free] + corner.repeat(1, 2), share.labels[pick[free]], strict=True
        ):
            boxes[row] = torch.cat([boxes[row], each[None]])
            kinds[row] = torch.cat([kinds[row], kind[None]])
    return noisy(images[..., MARGIN:-MARGIN, MARGIN:-MARGIN], generator, scene), boxes, kinds


def _free_corner(boxes: Tensor, box: Tensor, corners: Tensor) -> Tensor | None:
    """Return the first of the corners (T, 2) where a box (4,) keeps its distance from boxes (n, 4); None without."""
    placed = box + corners.repeat(1, 2)  # (T, 4)
    apart = (placed[:, None, :2] >= boxes[:, 2:] + GAP) | (boxes[:, :2] >= placed[:, None, 2:] + GAP)
    free = torch.nonzero(apart.any(2).all(1)).flatten()
    return corners[free[0]] if len(free) else None


def _save(path: Path, dataset: ImageDataset) -> None:
    arrays = {}
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        arrays |= {
            f"{name}_images": split["image"].numpy(),
            f"{name}_counts": np.array([len(each) for each in split["label"]]),
            f"{name}_boxes": torch.cat(split["box"]).numpy(),
            f"{name}_labels": torch.cat(split["label"]).numpy(),
        }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path) -> ImageDataset:
    splits = []
    with np.load(path) as arrays:
        for name in ("train", "validation", "test"):
            counts = arrays[f"{name}_counts"].tolist()
            boxes, labels = (torch.from_numpy(arrays[f"{name}_{each}"]).split(counts) for each in ("boxes", "labels"))
            image = torch.from_numpy(arrays[f"{name}_images"])
            splits.append(Split({"image": image, "box": list(boxes), "label": list(labels)}))
    return ImageDataset("scene_detection", CLASSES, *splits)
