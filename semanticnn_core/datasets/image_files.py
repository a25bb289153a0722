"""Image files as the images of a data set: decoded on access, upright, 8-bit RGB, at one size."""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from semanticnn_core.datasets.base import DataError
from semanticnn_core.datasets.images import LazyImages

KEPT = 256_000_000
"""Bytes of decoded images that are kept for the next epoch: about 20,000 images of 64 pixels."""


@dataclass
class ImageFiles:
    """Image files of a data set, and what is not used of it."""

    root: Path
    paths: list[str]
    left_out: dict[str, str]
    """Paths relative to `root`, each with the reason."""
    decoded: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False)
    """Images (3, size, size) by size and entry, up to `KEPT` bytes."""

    def __len__(self) -> int:
        return len(self.paths)


class DecodedImages(LazyImages):
    """Image files, decoded on access; the first are kept, as a photograph takes longer to decode than to learn from."""

    source: ImageFiles

    @property
    def left_out(self) -> dict[str, str]:
        return self.source.left_out

    def file_name(self, number: int) -> str:
        return os.path.relpath(self.source.paths[self.chosen[number]], self.source.root)

    def make(self, entries: Tensor) -> Tensor:
        images = torch.empty(len(entries), 3, self.size, self.size, dtype=torch.uint8)
        for image, entry in zip(images, entries.tolist(), strict=True):
            image.copy_(self._decoded(entry))
        return images

    def _decoded(self, entry: int) -> Tensor:
        kept, key = self.source.decoded, (self.size, entry)
        if (image := kept.get(key)) is None:
            image = self.decode(self.source.paths[entry], entry)
            if len(kept) * image.numel() < KEPT:
                kept[key] = image
        return image

    def decode(self, file: str | io.BytesIO, entry: int) -> Tensor:
        """Return an entry's image (3, size, size), from its file or from what that holds."""
        return decode_image(file, self.size)

    def examine(self, decode: bool) -> Iterator[tuple[bytes, str | None]]:
        def examined(entry: int) -> tuple[bytes, str | None]:
            path = self.source.paths[entry]
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                return hashlib.sha256(os.fsencode(path)).digest(), error.strerror
            problem = None
            if decode:
                try:
                    self.decode(io.BytesIO(content), entry)
                except DataError as error:
                    problem = reason(error.__cause__)
            return hashlib.sha256(content).digest(), problem

        with ThreadPool() as pool:
            yield from pool.imap(examined, self.chosen.tolist(), chunksize=8)


def decode_image(path: str | Path | io.BytesIO, size: int) -> Tensor:
    """Decode an image file: upright, RGB, shorter side resized to `size`, centre cropped; uint8 (3, size, size).

    Of an animation the first frame counts; transparent pixels turn white; 16-bit grey is scaled to 8 bits.
    Raises DataError naming the file.
    """
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no larger than antialiasing needs
            return fitted(to_rgb(_upright(image)), size)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise DataError(f"{path} cannot be read as an image: {reason(error)}") from error


def fitted(rgb: Image.Image, size: int) -> Tensor:
    """Return an RGB image with its shorter side resized to `size` and its centre cropped, uint8 (3, size, size)."""
    pixels = np.array(ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def reason(error: BaseException | None) -> str:
    """Say why an image could not be read."""
    return "its format is none that Pillow knows" if isinstance(error, UnidentifiedImageError) else str(error)


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF tag says; as it is when the tags are damaged, for the pixels are not."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as many kinds as there are ways to damage EXIF
        return image


def to_rgb(image: Image.Image) -> Image.Image:
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
