"""The image itself through JPEG or WebP, at the best quality that fits; the device needs no network at all.

What is the same for every image is known at the edge and not sent: JPEG's tables follow from its quality and size, one
byte, and its end is always the same; of WebP nothing is sent of the container, nor the start code and the size in the
head of its frame (RFC 6386, section 9.1). An image may be shrunk first, where that looks better at the same bytes. The
edge's network may be one that learned to read such pictures.
"""

import copy
import io
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.systems.base import Received
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import SILENT, Run, placed, training_device
from semanticnn_core.training.task_network import train_task_network

SHRUNK = (1.0, 0.75, 0.5, 0.375)
"""Sizes that are tried, shares of the image's."""
QUALITIES = range(1, 63)
"""Qualities that are tried; with four sizes their number fits a byte."""
READER_RATE = 5e-4
"""Learning rate of a network that learns to read pictures."""
WEBP_HEAD = 20
"""Bytes of a WebP file before its picture: container, sizes, the name of the chunk."""
FRAME_TAG, FRAME_HEAD = 3, 10
"""Bytes at the head of a WebP picture: those that depend on it, and all, with start code and size."""
JPEG_END = b"\xff\xd9"
"""Marker that ends a JPEG file."""


@dataclass(frozen=True)
class Picture:
    """Sends a JPEG or WebP file of at most `size` bytes."""

    model: SplitModel
    size: int
    format: str = "webp"
    reader: SplitModel | None = None
    """The network that answers; the served one itself when left out."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return {"webp": "WebP", "jpeg": "JPEG"}[self.format]

    @property
    def settings(self) -> dict[str, object]:
        """None."""
        return {}

    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W): one that says quality and size, then the picture."""
        files = [self._best(each) for each in images.cpu()]
        data = torch.zeros(len(files), max(map(len, files)), dtype=torch.uint8)
        for row, each in zip(data, files, strict=True):
            row[: len(each)] = torch.tensor(list(each), dtype=torch.uint8)
        return Payload(data, torch.tensor([len(each) for each in files]))

    def receive(self, arrival: Arrival) -> Received:
        """Decode what can be decoded, grey where nothing can, and run the whole network."""
        reader = self.reader or self.model
        with torch.no_grad():
            return Received(reader(self.opened(arrival.payload).to(reader.device)))

    def opened(self, payload: Payload) -> Tensor:
        """Return the images uint8 (B, 3, H, W) of what arrived."""
        data, lengths = payload.data.cpu().numpy(), payload.length.tolist()
        return torch.stack([self._opened(row[:length].tobytes()) for row, length in zip(data, lengths, strict=True)])

    def taught(self, data: ImageDataset, epochs: int, flip: bool, seed: int, run: Run = SILENT) -> "Picture":
        """Return the same with a copy of the network that was trained on pictures as they arrive without errors."""
        images = torch.cat([self.opened(self.send(batch["image"])) for _, batch in data.train.batches()])
        arrived = replace(data, train=data.train.with_columns(image=images), validation=data.validation.take(200))
        reader = copy.deepcopy(self.model).requires_grad_(True)
        config = BaseTrainConfig(epochs=epochs, learning_rate=READER_RATE, flip=flip, seed=seed)
        with placed(training_device(), reader):
            train_task_network(reader, arrived, config, replace(run, title=f"reader of {self.name}"))
        return replace(self, reader=reader.folded())

    def _best(self, image: Tensor) -> bytes:
        """Return the file with the least squared error of all that fit."""
        best, least = b"", float("inf")
        for number, share in enumerate(SHRUNK):
            small = _resized(image, round(share * image.shape[-1]))
            quality, file = self._finest(small)
            if file is None:
                continue
            head = bytes([number * len(QUALITIES) + quality - QUALITIES.start])
            error = float((self._opened(head + file).float() - image.float()).square().mean())
            if error < least:
                best, least = head + file, error
        if not best:
            raise ValueError(f"no {self.name} of these images fits {self.size} bytes; allow more")
        return best

    def _finest(self, image: Tensor) -> tuple[int, bytes | None]:
        """Return the highest quality whose file fits, by bisection, and that file; sizes grow with quality."""
        low, high, found = QUALITIES.start, QUALITIES.stop - 1, (0, None)
        while low <= high:
            middle = (low + high) // 2
            file = self._file(image, middle)
            if len(file) < self.size:
                found, low = (middle, file), middle + 1
            else:
                high = middle - 1
        return found

    def _file(self, image: Tensor, quality: int) -> bytes:
        """Return what is sent of a file of this quality."""
        picture, stream = Image.fromarray(image.permute(1, 2, 0).numpy()), io.BytesIO()
        picture.save(stream, self.format, quality=quality, **({"method": 6} if self.format == "webp" else {}))
        if self.format == "webp":
            frame = stream.getvalue()[WEBP_HEAD:]
            return frame[:FRAME_TAG] + frame[FRAME_HEAD:]
        return stream.getvalue()[len(_jpeg_head(image.shape[-1], quality)) : -len(JPEG_END)]

    def _opened(self, sent: bytes) -> Tensor:
        """Return the image uint8 (3, H, W) of what arrived."""
        size = self.model.image_size
        number, quality = divmod(sent[0], len(QUALITIES)) if sent else (0, 0)
        side = round(SHRUNK[min(number, len(SHRUNK) - 1)] * size)
        body = sent[1:]
        if self.format == "webp":
            frame = body[:FRAME_TAG] + b"\x9d\x01\x2a" + 2 * side.to_bytes(2, "little") + body[FRAME_TAG:]
            chunk = b"WEBPVP8 " + len(frame).to_bytes(4, "little") + frame + bytes(len(frame) % 2)
            file = b"RIFF" + len(chunk).to_bytes(4, "little") + chunk
        else:
            file = _jpeg_head(side, quality + QUALITIES.start) + body + JPEG_END
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            picture = np.asarray(Image.open(io.BytesIO(file), formats=[self.format]).convert("RGB"))
        except Exception:  # what damaged bytes make a decoder raise is open
            return torch.full((3, size, size), 128, dtype=torch.uint8)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
        return _resized(torch.from_numpy(picture.copy()).permute(2, 0, 1), size)


@lru_cache(maxsize=512)
def _jpeg_head(side: int, quality: int) -> bytes:
    """Return all of a JPEG file before its compressed data: the same for all images of a size and quality."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "jpeg", quality=quality)
    file = stream.getvalue()
    start = file.index(b"\xff\xda")  # start of scan: marker, length of its own header, then the data
    return file[: start + 2 + int.from_bytes(file[start + 2 : start + 4])]


def _resized(image: Tensor, side: int) -> Tensor:
    """Return an image uint8 (3, H, W) at (side, side)."""
    if image.shape[-2:] == (side, side):
        return image
    large = F.interpolate(image[None].float(), (side, side), mode="bicubic", antialias=True)
    return large[0].round().clamp(0, 255).byte()
