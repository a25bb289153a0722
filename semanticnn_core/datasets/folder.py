"""Any directory of images with one folder a class, decoded only when a batch asks for them."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.datasets.images import LazyImages, complete

LAYOUT = "CLASS/*.jpg, or train/CLASS/*.jpg with, where there, val (or validation) and test beside train"
SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def load_folder(path: str | Path, image_size: int = 64, seed: int = 0) -> ImageDataset:
    """Load a data set from a directory of either layout; splits it lacks are drawn class by class.

    PATH/CLASS/*.jpg is divided 70/15/15; beside PATH/train a missing validation split takes 10 % of train and a
    missing test split 20 %. Files may lie deeper; names that start with a dot are passed over.
    Returns splits of images (N, 3, image_size, image_size): shorter side resized, centre cropped.
    Raises DataError for a layout, a class or (when it is decoded) a file that cannot be used, naming it.
    """
    path = Path(path)
    inside = _folders(path)
    given = [name for name in SPLITS if name in inside]
    if "train" not in given:
        if given and set(given) == set(inside):
            raise DataError(f"{path} has {', '.join(given)}, but no train; expected {LAYOUT}")
        files, shares = {"train": _list_files(path, inside)}, {"validation": 0.15, "test": 0.15}
        classes = inside
    else:
        if "val" in given and "validation" in given:
            raise DataError(f"{path} has both val and validation; keep the one to validate on")
        classes = _folders(path / "train")
        files = {SPLITS[name]: _list_files(path / name, classes) for name in given}
        shares = {"validation": 0.1, "test": 0.2}
    splits = {
        split: Split(
            {
                "image": DecodedImages([file for file, _ in each], image_size),
                "label": torch.tensor([y for _, y in each]),
            }
        )
        for split, each in files.items()
    }
    return complete(path.resolve().name, tuple(classes), splits, shares, seed)


def _folders(path: Path) -> list[str]:
    """Return the sorted names of the folders in `path`, hidden ones left out; DataError when there is none."""
    names = sorted(each.name for each in os.scandir(path) if each.is_dir() and not each.name.startswith((".", "__")))
    if not names:
        raise DataError(f"{path} has no class folders; expected {LAYOUT}")
    return names


def _list_files(path: Path, classes: list[str]) -> list[tuple[str, int]]:
    """Return the image files under `path` with their labels; DataError for a class unknown or without images."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, is_image_file, make_dataset

    present = _folders(path)
    unknown = sorted(set(present) - set(classes))
    if unknown:
        raise DataError(f"{path} has the class {unknown[0]!r}, which train lacks; train has {', '.join(classes)}")
    start = len(str(path))
    files = make_dataset(
        path,
        {name: classes.index(name) for name in present},
        is_valid_file=lambda file: is_image_file(file) and os.sep + "." not in file[start:],
        allow_empty=True,
    )
    filled = {classes[label] for _, label in files}
    empty = [name for name in present if name not in filled]
    if empty:
        raise DataError(f"{path / empty[0]} holds no images; known endings are {' '.join(IMG_EXTENSIONS)}")
    return files


class DecodedImages(LazyImages):
    """Image files, decoded on every access."""

    def make(self, entries: Tensor) -> Tensor:
        images = torch.empty(len(entries), 3, self.size, self.size, dtype=torch.uint8)
        for image, entry in zip(images, entries.tolist(), strict=True):
            image.copy_(decode_image(self.source[entry], self.size))
        return images


def decode_image(path: str | Path, size: int) -> Tensor:
    """Decode an image file: upright, RGB, shorter side resized to `size`, centre cropped; uint8 (3, size, size).

    Transparent pixels turn white; 16-bit grey is scaled to 8 bits. Raises DataError naming the file.
    """
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no larger than antialiasing needs
            rgb = _to_rgb(_upright(image))
        pixels = np.array(ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR))
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF tag says; as it is when the tags are damaged, for the pixels are not."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as many kinds as there are ways to damage EXIF
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return any image as 8-bit RGB; ValueError when its values have no known range."""
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey, which convert("RGB") would clip at 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError(f"its values reach from {values.min()} to {values.max()}, beyond 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
