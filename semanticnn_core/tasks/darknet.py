"""Darknet's weight files: the original's YOLOv3 and YOLOv3-tiny, read into a split network and written from it.

A file is a header (three int32: major, minor, revision; then the number of images seen, int64 from version 0.2 on,
int32 before) and float32 numbers, layer by layer: of a layer with batch norm bias, scale, mean, variance, then the
kernel; of others bias, then the kernel (pjreddie/darknet, src/parser.c).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from semanticnn_core.files import replacing
from semanticnn_core.tasks.split import SplitModel

VERSION = (0, 2, 5)
"""Major, minor and revision of files that are written."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself, and where its numbers begin, bytes."""

    version: tuple[int, int, int]
    seen: int
    size: int


@torch.no_grad()
def read_weights(model: SplitModel, path: str | Path) -> str:
    """Read a `.weights` file into a network, in place; returns in words what was read.

    A file may stop after a layer, as `darknet53.conv.74` does, or hold other numbers of classes: what comes then keeps
    its start. Raises ValueError, before anything is changed, for a network that is not the original's, a file that ends
    within a layer, is longer than the network, or holds numbers that are not finite.
    """
    path = Path(path).expanduser()
    header, numbers = _parsed(path)
    layers, read, taken = list(_layers(model)), [], 0
    for number, (conv, norm) in enumerate(layers):
        tensors = _tensors(conv, norm)
        wanted = sum(each.numel() for each in tensors)
        left = len(numbers) - taken
        if not left:
            break
        if left < wanted:
            raise ValueError(
                f"{path} ends within layer {number} of {len(layers)} ({conv}): {left:,} of {wanted:,} numbers are "
                "there; it is cut short, or of another network or number of classes"
            )
        read.append((tensors, numbers[taken : taken + wanted]))
        taken += wanted
    if taken < len(numbers):
        raise ValueError(
            f"{path} holds {len(numbers):,} numbers, the network {taken:,}; it is of another network or number of "
            "classes"
        )
    if not np.isfinite(numbers).all():
        raise ValueError(f"{path} holds numbers that are not finite; fetch it anew")
    for tensors, values in read:
        for tensor in tensors:
            part, values = values[: tensor.numel()], values[tensor.numel() :]
            tensor.copy_(torch.from_numpy(part.copy()).view(tensor.shape))
    version = ".".join(map(str, header.version))
    return f"{len(read)} of {len(layers)} layers, {taken:,} numbers, version {version}, {header.seen:,} images seen"


def write_weights(model: SplitModel, path: str | Path, seen: int = 0) -> None:
    """Write a network's weights as Darknet reads them."""
    numbers = [each.detach().float().cpu().contiguous() for layer in _layers(model) for each in _tensors(*layer)]
    with replacing(Path(path).expanduser()) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<iiiq", *VERSION, seen))
        for each in numbers:
            file.write(each.reshape(-1).numpy().astype("<f4").tobytes())


def _parsed(path: Path) -> tuple[Header, np.ndarray]:
    data = path.read_bytes()
    if len(data) < 16:
        raise ValueError(f"{path} is no weight file: it has {len(data)} bytes, its header alone 16 or 20")
    major, minor, revision = struct.unpack_from("<iii", data)
    long = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    size = 20 if long else 16
    if len(data) < size or (len(data) - size) % 4:
        raise ValueError(
            f"{path} has {len(data):,} bytes: a header of {size} and float32 numbers, 4 bytes each, leave "
            f"{(len(data) - size) % 4}; it is cut short or no weight file"
        )
    (seen,) = struct.unpack_from("<q" if long else "<i", data, 12)
    return Header((major, minor, revision), seen, size), np.frombuffer(data, "<f4", offset=size)


def _layers(model: SplitModel) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Yield convolutions with the batch norm behind them, in the order of the original's layers."""
    if model.description.get("model") not in ("yolov3", "yolov3_tiny"):
        name = model.description.get("model", "this network")
        raise ValueError(f"weight files are for yolov3 and yolov3_tiny, {name} has other layers")
    convs: list[nn.Conv2d] = []
    for module in (*model.device_part.modules(), *model.edge_part.modules()):
        if isinstance(module, nn.Conv2d):
            if convs:
                yield convs.pop(), None
            convs.append(module)
        elif isinstance(module, nn.BatchNorm2d):
            yield convs.pop(), module
    if convs:
        yield convs.pop(), None


def _tensors(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> list[Tensor]:
    """Return a layer's tensors in the order of the file."""
    if norm is None:
        return [conv.bias, conv.weight]
    return [norm.bias, norm.weight, norm.running_mean, norm.running_var, conv.weight]
