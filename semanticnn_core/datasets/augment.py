"""Small random changes that leave an image's class alone, and random parts."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.config import TrainConfig
from semanticnn_core.datasets.base import Batch
from semanticnn_core.draws import Draws


def augment(batch: Batch, config: TrainConfig, draws: Draws) -> Batch:
    """Shift, mirror, re-light, coarsen and disturb a batch's images as far as the settings say, uint8 (B, 3, H, W).

    Boxes move with the pixels; what a border reflects has none. A mask does not move, and is left out.
    """
    images = batch["image"]
    if not (config.shift or config.flip or config.jitter or config.coarse > 1 or config.noise):
        return batch
    n, _, height, width = images.shape

    def uniform(*shape: int) -> Tensor:
        return draws.uniform(n, *shape).to(images.device)

    def shifted(length: int) -> tuple[Tensor, Tensor]:  # reflected source index of rows or columns, (B, length); offset
        offset = ((uniform(1) * 2 - 1) * (min(config.shift, length - 1) + 0.5)).round()
        index = (torch.arange(length, device=images.device) + offset).long().abs()
        return torch.where(index >= length, 2 * (length - 1) - index, index), offset

    def shrunken(most: float) -> tuple[int, int]:  # height and width over a factor of 1 to most, one for all
        factor = most ** float(draws.shared()) if most > 1 else 1
        return max(round(height / factor), 1), max(round(width / factor), 1)

    (rows, down), (columns, right) = shifted(height), shifted(width)
    mirrored = torch.zeros(n, 1, dtype=torch.bool, device=images.device)
    if config.flip:
        mirrored = ~(uniform(1) < 0.5)
        columns = torch.where(mirrored, columns.flip(1), columns)
    batch = {name: column for name, column in batch.items() if name != "mask"}
    if "box" in batch:
        moves = torch.cat([right, down], 1), mirrored
        batch["box"] = _moved_boxes(batch["box"], *moves, torch.tensor([width, height], device=images.device))
    item = torch.arange(n, device=images.device)[:, None, None]
    images = images.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float()
    gain, lift = ((uniform(2, 1, 1, 1) * 2 - 1) * config.jitter).unbind(1)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + gain) + mean * (1 + lift)
    if config.coarse > 1:
        small = F.interpolate(images, shrunken(config.coarse), mode="bilinear", antialias=True)
        images = torch.where(uniform(1, 1, 1) < 0.5, F.interpolate(small, (height, width), mode="bilinear"), images)
    if config.noise:
        noise = draws.normal(n, 3, *shrunken(config.grain)).to(images)
        noise = F.interpolate(noise, (height, width))  # a grain fills a pixel or several
        images = images + config.noise * uniform(1, 1, 1) ** 2 * noise
    return {**batch, "image": images.clamp(0, 255).round().byte()}


def cropped(images: Tensor, side: int, draws: Draws) -> Tensor:
    """Return a square of the images (B, C, H, W), the same and anywhere; where `side` is 0 or larger, all of them."""
    if not side:
        return images
    for axis in (2, 3):
        length = images.shape[axis]
        start = int(float(draws.shared()) * (length - min(side, length) + 1))
        images = images.narrow(axis, start, min(side, length))
    return images


def _moved_boxes(boxes: Any, offset: Tensor, mirrored: Tensor, size: Tensor) -> Any:
    """Return the boxes of each image, (4,) or (n, 4), where its pixels went, cut at the image's border.

    boxes: a list, or a tensor where all images have as many. offset: how far the source of a pixel lies to the right
    and below it, (B, 2). size: width and height.
    """
    counts = [each.numel() // 4 for each in boxes]
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(offset.device)
    corners = torch.cat([each.reshape(-1, 2, 2) for each in boxes])  # (all boxes, corner, x and y)
    corners = (corners - offset[owner, None]).clamp(min=0).minimum(size)
    x, y = corners.unbind(-1)
    x = torch.where(mirrored[owner], size[0] - x.flip(-1), x)
    moved = torch.stack([x, y], -1).flatten(-2)
    return moved.view_as(boxes) if isinstance(boxes, Tensor) else list(moved.split(counts))
