"""Small random changes that leave an image's class alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.config import TrainConfig
from semanticnn_core.draws import Draws


def augment(images: Tensor, config: TrainConfig, draws: Draws) -> Tensor:
    """Shift, mirror, re-light, coarsen and disturb images as far as the settings say; uint8 (B, 3, H, W) in and out."""
    if not (config.shift or config.flip or config.jitter or config.coarse > 1 or config.noise):
        return images
    n, _, height, width = images.shape

    def uniform(*shape: int) -> Tensor:
        return draws.uniform(n, *shape).to(images.device)

    def shifted(length: int) -> Tensor:  # (B, length): reflected source index of every row or column
        offset = ((uniform(1) * 2 - 1) * (min(config.shift, length - 1) + 0.5)).round()
        index = (torch.arange(length, device=images.device) + offset).long().abs()
        return torch.where(index >= length, 2 * (length - 1) - index, index)

    def shrunken(most: float) -> tuple[int, int]:  # height and width over a factor of 1 to most, one for all
        factor = most ** float(draws.shared()) if most > 1 else 1
        return max(round(height / factor), 1), max(round(width / factor), 1)

    rows, columns = shifted(height), shifted(width)
    if config.flip:
        columns = torch.where(uniform(1) < 0.5, columns, columns.flip(1))
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
    return images.clamp(0, 255).round().byte()
