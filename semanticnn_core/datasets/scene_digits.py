"""SceneDigits: real handwritten digits in real photographs, with each digit's box and pixel mask."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semanticnn_core.datasets.base import ImageDataset, Split
from semanticnn_core.datasets.images import progress
from semanticnn_core.datasets.scenes import (
    SceneRecipe,
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

SIZE = 64
RECIPE = SceneRecipe()


def build_scene_digits(seed: int = 0, recipe: SceneRecipe = RECIPE) -> ImageDataset:
    """Build SceneDigits from scratch; the same seed gives the same bytes.

    Returns splits of uint8 images (N, 3, 64, 64), labels 0–9, tight boxes and masks of the digit.
    """
    generator = torch.Generator().manual_seed(seed)
    splits = []
    owned = shares(recipe, generator)
    with progress(sum(recipe.counts), "building SceneDigits, once") as bar:
        for share, count in zip(owned, recipe.counts, strict=True):
            pick, parts = torch.randint(len(share.glyphs), (count,), generator=generator), []
            for chosen in pick.split(1000):
                parts.append(_compose(share.glyphs[chosen], share.tiles, generator, recipe))
                bar.update(len(chosen))
            images, masks = (torch.cat(each) for each in zip(*parts, strict=True))
            columns = {"image": images, "label": share.labels[pick], "box": tight_boxes(masks), "mask": masks}
            splits.append(Split(columns))
    return ImageDataset("scene_digits", tuple(str(digit) for digit in range(10)), *splits)


def load_scene_digits(root: Path, seed: int = 0) -> ImageDataset:
    """Load SceneDigits from the cache under `root`, building it (some seconds) when it is not there or damaged."""
    path = cache_path(root, "scene_digits", RECIPE, seed)
    return cached(path, "SceneDigits", lambda: build_scene_digits(seed), _save, _load)


def _compose(glyphs: Tensor, tiles: Tensor, generator: torch.Generator, recipe: SceneRecipe) -> tuple[Tensor, Tensor]:
    """Set each glyph (n, 8, 8) into a crop of its own; returns images uint8 and masks bool."""
    uniform = draws(len(glyphs), generator)
    scene = crop_tiles(tiles, uniform(0, 1, 5), recipe.photo_zoom, SIZE)  # (n, 3, 64, 64)
    ink = place_glyphs(glyphs, uniform(*recipe.digit_size), uniform(-1, 1) * recipe.rotation, uniform(0, 1, 2), SIZE)
    stroke = strokes(ink, recipe)
    image = noisy(painted(scene, stroke, generator, recipe), generator, recipe)
    return image, stroke[:, 0] > 0.5


def _save(path: Path, dataset: ImageDataset) -> None:
    arrays = {}
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        arrays |= {
            f"{name}_images": split["image"].numpy(),
            f"{name}_labels": split["label"].numpy(),
            f"{name}_boxes": split["box"].numpy(),
            f"{name}_masks": np.packbits(split["mask"].numpy(), axis=-1),
        }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path) -> ImageDataset:
    with np.load(path) as arrays:
        splits = [
            Split(
                {
                    "image": torch.from_numpy(arrays[f"{name}_images"]),
                    "label": torch.from_numpy(arrays[f"{name}_labels"]),
                    "box": torch.from_numpy(arrays[f"{name}_boxes"]),
                    "mask": torch.from_numpy(np.unpackbits(arrays[f"{name}_masks"], axis=-1).astype(bool)),
                }
            )
            for name in ("train", "validation", "test")
        ]
    return ImageDataset("scene_digits", tuple(str(digit) for digit in range(10)), *splits)
