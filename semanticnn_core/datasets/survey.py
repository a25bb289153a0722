"""What a data set holds, and what is wrong with it: found before any work starts."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semanticnn_core.datasets.base import DataError, ImageDataset, listed
from semanticnn_core.datasets.images import LazyImages, digests_of, progress

SPLITS = ("train", "validation", "test")
SHOWN = 5
"""Files that are named one by one; of more only the number is given."""


@dataclass(frozen=True)
class DataSummary:
    """What `survey` found.

    sizes: the number of images in each split.
    counts: for each split with labels the number of images of each class.
    image_shape: of one image: (3, H, W).
    damaged: images that cannot be read, each with the reason.
    left_out: files that are not used, each with the reason.
    repeated: images of validation or test that an earlier split holds too, each with its double there.
    fingerprint: see `fingerprint`.
    """

    name: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    counts: Mapping[str, list[int]]
    image_shape: tuple[int, ...]
    damaged: Mapping[str, str]
    left_out: Mapping[str, str]
    repeated: Mapping[str, str]
    fingerprint: str

    def describe(self) -> str:
        """Return three to five lines for people."""
        total = sum(self.sizes.values())
        classes = f"{len(self.classes)} classes ({listed(self.classes, 10)})"
        lines = [
            f"{self.name}: {total:,} images of {classes}, {self.image_shape[-2]}×{self.image_shape[-1]} pixels",
            "; ".join(_described(split, size, self.counts.get(split)) for split, size in self.sizes.items()),
        ]
        if self.left_out:
            lines.append(f"not used: {counted(self.left_out)}: {listed(self.left_out, SHOWN)}")
        if self.repeated:
            pairs = [f"{name} = {other}" for name, other in self.repeated.items()]
            lines.append(f"in two splits: {_number(len(pairs), 'image')}: {listed(pairs, SHOWN)}")
        if self.damaged:
            lines.append(
                f"damaged: {_number(len(self.damaged), 'image')}: {listed(_with_reasons(self.damaged), SHOWN)}"
            )
        else:
            lines.append("every image can be read" + ("" if self.repeated else ", none is in two splits"))
        return "\n".join(lines)

    def refuse_damaged(self) -> None:
        """Raise a DataError that names the images that cannot be read, if there are any."""
        if self.damaged:
            raise DataError(
                f"{self.name}: {_number(len(self.damaged), 'image')} cannot be read: "
                f"{listed(_with_reasons(self.damaged), SHOWN)}; repair or remove them"
            )


def survey(dataset: ImageDataset) -> DataSummary:
    """Look at every image of a data set, and return what it holds and what is wrong with it.

    Image files are all read and decoded, as many at once as there are processors; a bar shows how far it is.
    """
    digests, damaged = _examined(dataset, decode=True)
    splits = {split: getattr(dataset, split) for split in SPLITS}
    left_out: dict[str, str] = {}
    for split in splits.values():
        left_out |= split["image"].left_out if isinstance(split["image"], LazyImages) else {}
    labels = {name: split["label"] for name, split in splits.items() if isinstance(split.columns.get("label"), Tensor)}
    return DataSummary(
        name=dataset.name,
        classes=dataset.classes,
        sizes={name: len(split) for name, split in splits.items()},
        counts={name: label.bincount(minlength=len(dataset.classes)).tolist() for name, label in labels.items()},
        image_shape=_image_shape(dataset.train["image"]),
        damaged=damaged,
        left_out=left_out,
        repeated=_repeated(dataset, digests),
        fingerprint=_fingerprint(dataset, digests),
    )


def fingerprint(dataset: ImageDataset) -> str:
    """Return 32 hexadecimal digits that differ for data sets that differ in anything.

    They cover the names of the data set and of its classes, the image size, and the content and order of every column
    of every split; of image files their bytes, wherever they lie. Raises DataError for a file that cannot be read.
    """
    digests, damaged = _examined(dataset, decode=False)
    if damaged:
        raise DataError(f"{dataset.name}: {listed(_with_reasons(damaged), SHOWN)}: cannot be read")
    return _fingerprint(dataset, digests)


def _examined(dataset: ImageDataset, decode: bool) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """Return for each split one digest an image, and the images that cannot be read with the reason."""
    digests: dict[str, list[bytes]] = {}
    damaged = {}
    with progress(sum(len(getattr(dataset, split)) for split in SPLITS), f"checking {dataset.name}") as bar:
        for split in SPLITS:
            images, digests[split] = getattr(dataset, split)["image"], []
            for number, (digest, problem) in enumerate(_examine(images, decode)):
                digests[split].append(digest)
                if problem:
                    damaged[_image_name(dataset, split, number)] = problem
                bar.update()
    return digests, damaged


def _examine(images: Any, decode: bool) -> Iterator[tuple[bytes, str | None]]:
    """Yield for each image a digest of its content, and what is wrong with it."""
    if isinstance(images, LazyImages):
        yield from images.examine(decode)
    elif isinstance(images, list):
        yield from ((digest, None) for image in images for digest in digests_of(image[None].numpy()))
    else:
        for start in range(0, len(images), 500):
            yield from ((digest, None) for digest in digests_of(images[start : start + 500].numpy()))


def _fingerprint(dataset: ImageDataset, digests: Mapping[str, list[bytes]]) -> str:
    total = hashlib.sha256(repr((dataset.name, dataset.classes)).encode())
    for split in SPLITS:
        columns = dict(getattr(dataset, split).columns)
        images = columns.pop("image")
        total.update(repr((split, len(images), [tuple(each.shape) for each in _parts(images)])).encode())
        total.update(b"".join(digests[split]))
        for name, column in sorted(columns.items()):
            for part in _parts(column):
                total.update(repr((name, part.dtype, tuple(part.shape))).encode())
                total.update(part.contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()[:32]


def _parts(column: Any) -> list[Any]:
    return column if isinstance(column, list) else [column]


def _repeated(dataset: ImageDataset, digests: Mapping[str, list[bytes]]) -> dict[str, str]:
    """Return the images whose content an earlier split holds too, each with its double."""
    earlier: dict[bytes, tuple[str, int]] = {}
    repeated = {}
    for split in SPLITS:
        for number, digest in enumerate(digests[split]):
            if earlier.setdefault(digest, (split, number))[0] != split:
                repeated[_image_name(dataset, split, number)] = _image_name(dataset, *earlier[digest])
    return repeated


def _image_name(dataset: ImageDataset, split: str, number: int) -> str:
    """Return the path of an image file, else the split and the image's number in it."""
    images = getattr(dataset, split)["image"]
    return (isinstance(images, LazyImages) and images.file_name(number)) or f"{split}[{number}]"


def _image_shape(images: Any) -> tuple[int, ...]:
    return tuple(images[0].shape if isinstance(images, list) else images.shape[1:])


def _described(split: str, size: int, counts: list[int] | None) -> str:
    if counts is None:
        return f"{split} {_number(size, 'image')}"
    low, high = min(counts), max(counts)
    return f"{split} {_number(size, 'image')}, {low:,}{'' if low == high else f'–{high:,}'} a class"


def counted(left_out: Mapping[str, str]) -> str:
    """Return how many files there are of each reason, such as "12 .heic, 1 without an ending"."""
    reasons = Counter(left_out.values()).most_common()
    return listed(f"{count:,} {reason}" for reason, count in reasons)


def _with_reasons(damaged: Mapping[str, str]) -> list[str]:
    return [f"{name} ({reason})" for name, reason in damaged.items()]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
