"""Images with boxes, as COCO, VOC2007 and NWPU VHR-10 have them: fitted into a square, their boxes with them."""

import io
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.datasets.image_files import DecodedImages, ImageFiles, reason, to_rgb

GRAY = (128, 128, 128)
"""What fills the square beside an image."""


@dataclass(frozen=True)
class Boxed:
    """An image file and what is known of it.

    size: width and height of the pixels that the boxes are given in. boxes: x0, y0, x1, y1. crowd: whether a box is
    neither a hit nor a miss.
    """

    path: Path
    size: tuple[int, int]
    boxes: Sequence[tuple[float, float, float, float]] = ()
    labels: Sequence[int] = ()
    crowd: Sequence[bool] = ()


@dataclass
class SizedFiles(ImageFiles):
    """Image files with the size that their boxes were drawn for."""

    sizes: Sequence[tuple[int, int]] = ()


class LetterboxedImages(DecodedImages):
    """Image files, decoded on access and fitted whole into a square."""

    source: SizedFiles

    def decode(self, file: str | io.BytesIO, entry: int) -> Tensor:
        return letterboxed(file, self.source.sizes[entry], self.size)


def fitted(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Return width and height of an image fitted into a square, and how far its corner lies from the square's."""
    width, height = (max(round(each * side / max(size)), 1) for each in size)
    return width, height, (side - width) // 2, (side - height) // 2


def letterboxed(file: str | Path | io.BytesIO, size: tuple[int, int], side: int) -> Tensor:
    """Decode an image, fit it whole into a square and fill the rest with grey; uint8 (3, side, side).

    It is turned as its EXIF tag says where that gives the size that its boxes were drawn for, and not otherwise.
    Raises DataError naming the file.
    """
    try:
        with Image.open(file) as image:
            image.load()
            turned = ImageOps.exif_transpose(image)
        image = image if image.size == size else turned
        if image.size != size:
            raise ValueError(f"it has {image.size[0]}×{image.size[1]} pixels, its boxes are for {size[0]}×{size[1]}")
        width, height, left, top = fitted(size, side)
        paper = Image.new("RGB", (side, side), GRAY)
        paper.paste(to_rgb(image).resize((width, height), Image.Resampling.BILINEAR), (left, top))
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise DataError(f"{file} cannot be read as an image: {reason(error)}") from error
    return torch.from_numpy(np.array(paper)).permute(2, 0, 1)


def boxed_dataset(
    root: Path,
    name: str,
    classes: tuple[str, ...],
    splits: Mapping[str, Sequence[Boxed]],
    shares: Mapping[str, float],
    side: int,
    seed: int,
    left_out: Mapping[str, str] | None = None,
) -> ImageDataset:
    """Return a data set of images with boxes; splits it lacks are drawn from train at random, seeded.

    shares: for each split that may be missing, the share of train that it takes. Columns: image, box, label, crowd.
    Boxes are cut at the image's border; one that has no area then is left out, and their number is a warning. Raises
    DataError for files that are not there and splits that would be empty.
    """
    splits = {split: list(each) for split, each in splits.items()}
    missing = [split for split in shares if split not in splits]
    order = torch.randperm(len(splits["train"]), generator=torch.Generator().manual_seed(seed)).tolist()
    for split in missing:
        count = round(shares[split] * len(splits["train"]))
        splits[split], order = [splits["train"][row] for row in sorted(order[:count])], order[count:]
    splits["train"] = [splits["train"][row] for row in sorted(order)]
    for split, each in splits.items():
        if not each:
            raise DataError(f"{name}: no image is left for {split}; there are too few to divide")
        absent = [str(item.path) for item in each if not item.path.is_file()]
        if absent:
            more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
            raise DataError(f"{name}: {absent[0]}{more}: named by the annotations, but not there; unpack the images")
    dropped: Counter[str] = Counter()
    made = {split: _split(root, each, side, dict(left_out or {}), dropped) for split, each in splits.items()}
    if dropped:
        warnings.warn(
            f"{name}: {sum(dropped.values()):,} boxes without area inside their image are left out, for instance in "
            f"{next(iter(dropped))}",
            stacklevel=3,
        )
    return ImageDataset(name, classes, made["train"], made["validation"], made["test"])


def _split(root: Path, items: Sequence[Boxed], side: int, left_out: dict[str, str], dropped: Counter[str]) -> Split:
    files = SizedFiles(root, [str(item.path) for item in items], left_out, [item.size for item in items])
    columns: dict[str, list[Tensor]] = {"box": [], "label": [], "crowd": []}
    for item in items:
        width, height, left, top = fitted(item.size, side)
        size = torch.tensor(item.size * 2, dtype=torch.float64)
        box = torch.tensor(item.boxes, dtype=torch.float64).reshape(-1, 4).clamp(min=0).minimum(size)
        box = box / size * torch.tensor((width, height) * 2) + torch.tensor((left, top) * 2)
        kept = (box[:, 2:] > box[:, :2]).all(1)
        if lost := int((~kept).sum()):
            dropped[item.path.name] += lost
        crowd = torch.tensor([bool(each) for each in item.crowd] or [False] * len(box), dtype=torch.bool)
        for name, values in (("box", box.float()), ("label", torch.tensor(item.labels).long()), ("crowd", crowd)):
            columns[name].append(values[kept])
    return Split({"image": LetterboxedImages(files, side), **columns})
