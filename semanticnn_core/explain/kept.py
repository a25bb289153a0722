"""What a window keeps of an image: where it lies, how much of the object is in it, what the edge answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from semanticnn_core.channels import Arrival
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import Slice, Window
from semanticnn_core.tasks.split import SplitModel

WINDOWS: tuple[Window, ...] = get_args(Window)


@dataclass(frozen=True)
class Kept:
    """What each window keeps of images, and what comes of it.

    images: uint8 (B, 3, H, W). importance: the device's map, (B, h, w). clean: the uncompressed network's answers,
    int64 (B,). boxes: by window, where it lies as shares of the picture, (B, 4). answers: by window, without any bit
    error, int64 (B,).
    """

    images: Tensor
    importance: Tensor
    clean: Tensor
    boxes: dict[Window, Tensor]
    answers: dict[Window, Tensor]


@torch.no_grad()
def keep(model: SplitModel, codec: SemanticCodec, images: Tensor, slice_ratio: float) -> Kept:
    """Send images uint8 (B, 3, H, W) through each kind of window of a slice ratio."""
    feature = model.device_part(images)
    slices = {window: Slice(slice_ratio, window) for window in WINDOWS}
    arrivals = {window: Arrival(codec.compress(feature, slice), ber=0.0) for window, slice in slices.items()}
    received = {window: codec.decompress(arrivals[window], feature.shape[1:], slices[window]) for window in WINDOWS}
    return Kept(
        images=images,
        importance=device_map(codec, feature),
        clean=model.edge_part(feature).argmax(1),
        boxes={window: window_boxes(codec, feature, slice) for window, slice in slices.items()},
        answers={window: model.edge_part(each).argmax(1) for window, each in received.items()},
    )


@torch.no_grad()
def device_map(codec: SemanticCodec, feature: Tensor) -> Tensor:
    """Return what the device's table makes of the symbols of features (B, C, H, W): their importance, (B, h, w)."""
    return codec.importance_map(code_index(codec, feature)).float()


@torch.no_grad()
def code_index(codec: SemanticCodec, feature: Tensor) -> Tensor:
    """Return the symbols that features (B, C, H, W) would be sent as, int64 (B, K, h, w)."""
    return codec.quantizer.assign(codec.encoder(feature))


def window_boxes(codec: SemanticCodec, feature: Tensor, slice: Slice) -> Tensor:
    """Return where each feature's window lies, as shares of the picture: x0, y0, x1, y1 in [0, 1], (B, 4)."""
    windows = codec.windows(feature.shape[1:], slice)
    corner = windows.corner(codec.best_window(code_index(codec, feature), slice)).expand(len(feature), 2)
    return windows.frames(corner)[:, [1, 0, 3, 2]]


def share_inside(mask: Tensor, box: Sequence[float]) -> float:
    """Return the share of a mask (H, W) that lies in a box of shares of the picture (x0, y0, x1, y1)."""
    height, width = mask.shape
    x0, y0, x1, y1 = (round(part * size) for part, size in zip(box, (width, height) * 2, strict=True))
    return float(mask[y0:y1, x0:x1].sum() / mask.sum().clamp_min(1))
