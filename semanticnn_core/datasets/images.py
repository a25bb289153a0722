"""Images that are brought to size only when a batch asks for them, and splits drawn class by class."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from semanticnn_core.datasets.base import DataError, ImageDataset, Split, listed


class LazyImages:
    """Images kept as they are stored and made (3, size, size) on access; indexed like a tensor (N, 3, size, size).

    source: what is stored, one entry an image.
    chosen: int64 (N,), which entries of the source these images are; all of them by default.
    """

    def __init__(self, source: Any, size: int, chosen: Tensor | None = None) -> None:
        self.source, self.size = source, size
        self.chosen = torch.arange(len(source)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    def __getitem__(self, index: Any) -> Tensor:
        """Return uint8 (n, 3, size, size); an integer gives one image (3, size, size)."""
        chosen = self.chosen[index]
        return self.make(chosen) if chosen.ndim else self.make(chosen[None])[0]

    def pick(self, index: Tensor) -> "LazyImages":
        """Return the images of `index`, still as they are stored."""
        return type(self)(self.source, self.size, self.chosen[index])

    def make(self, entries: Tensor) -> Tensor:
        """Return the entries (n,) of the source as uint8 (n, 3, size, size)."""
        raise NotImplementedError

    @property
    def left_out(self) -> dict[str, str]:
        """Files that lie beside the images and are not used, each with the reason."""
        return {}

    def file_name(self, number: int) -> str | None:
        """Return the path of an image's file, relative to the data set; None where it has no file of its own."""
        return None

    def examine(self, decode: bool) -> Iterator[tuple[bytes, str | None]]:
        """Yield for each image a digest of what is stored, and what is wrong with it; `decode` tries to make it."""
        raise NotImplementedError


class ResizedImages(LazyImages):
    """Stored uint8 images (N, 3, h, w), cropped to their centre square and resized: bilinear, antialiased."""

    def make(self, entries: Tensor) -> Tensor:
        if not len(entries):
            return torch.empty((0, *self.shape[1:]), dtype=torch.uint8)
        images = self.source[entries]
        height, width = images.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[..., top : top + side, left : left + side]
        if side != self.size:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        return images.contiguous()

    def examine(self, decode: bool) -> Iterator[tuple[bytes, str | None]]:
        stored = self.source.numpy()  # gathers such small rows several times as fast as torch
        for entries in self.chosen.split(500):
            yield from ((digest, None) for digest in digests_of(stored[entries.numpy()]))


def digests_of(images: np.ndarray) -> list[bytes]:
    """Return one digest an image of uint8 (n, …)."""
    return [hashlib.sha256(row).digest() for row in np.ascontiguousarray(images).reshape(len(images), -1)]


def progress(total: int, title: str, unit: str = "img") -> tqdm:
    """Return a progress bar that shows after two seconds, on a terminal alone."""
    hidden = True if os.environ.get("TQDM_DISABLE") else None  # None asks whether standard error is a terminal
    return tqdm(total=total, desc=title, unit=unit, delay=2, leave=False, disable=hidden)


def complete(
    name: str, classes: tuple[str, ...], splits: dict[str, Split], shares: dict[str, float], seed: int
) -> ImageDataset:
    """Return the data set, its missing splits drawn from `train` class by class, at random but seeded.

    splits: `train`, whose images are LazyImages, and those of `validation` and `test` that the source brings.
    shares: for each split that may be missing, the share of `train` it takes.
    Every class keeps an image in train before it gives one to another split. Raises DataError when a split would be
    empty, or when training has fewer than 2 classes; warns of classes that it lacks.
    """
    train = splits["train"]
    present = train["label"].unique().tolist()
    if len(present) < 2:
        raise DataError(f"{name} has one class, {classes[present[0]]!r}; at least 2 are needed")
    unseen = [repr(classes[label]) for label in sorted(set(range(len(classes))) - set(present))]
    if unseen:
        warnings.warn(f"{name} has no training image of {listed(unseen)}; no network can learn it", stacklevel=3)
    drawn = draw_splits(train["label"], {split: share for split, share in shares.items() if split not in splits}, seed)
    for split, index in drawn.items():
        if not len(index):
            raise DataError(
                f"{name}: no image is left for {split}: the {len(train)} training images are too few to divide; "
                f"give each class at least {len(drawn)} images here, or bring {split} images"
            )
        splits = splits | {split: train.pick(index)}
    return ImageDataset(name, classes, splits["train"], splits["validation"], splits["test"])


def draw_splits(labels: Tensor, shares: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Divide the items of each class by shares; returns sorted indices for `train` (the rest) and each share."""
    generator = torch.Generator().manual_seed(seed)
    pieces: dict[str, list[Tensor]] = {"train": [], **{split: [] for split in shares}}
    for members in labels.argsort(stable=True).split(labels.bincount().tolist()):
        total = len(members)
        members = members[torch.randperm(total, generator=generator)]
        for split, share in shares.items():
            count = min(max(round(share * total), 1), max(len(members) - 1, 0))
            pieces[split].append(members[:count])
            members = members[count:]
        pieces["train"].append(members)
    return {split: torch.cat(parts).sort().values for split, parts in pieces.items()}
