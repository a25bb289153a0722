"""Small random changes that leave an image's class alone."""

import torch
from torch import Tensor

from semanticnn_core.config import TrainConfig


def augment(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Shift, mirror and re-light each image by itself, as far as the settings say; uint8 (B, 3, H, W) in and out."""
    if not (config.shift or config.flip or config.jitter):
        return images
    n, _, height, width = images.shape

    def dice(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator, device=generator.device).to(images.device)

    def shifted(length: int) -> Tensor:  # (B, length): reflected source index of every row or column
        offset = ((dice(1) * 2 - 1) * (min(config.shift, length - 1) + 0.5)).round()
        index = (torch.arange(length, device=images.device) + offset).long().abs()
        return torch.where(index >= length, 2 * (length - 1) - index, index)

    rows, columns = shifted(height), shifted(width)
    if config.flip:
        columns = torch.where(dice(1) < 0.5, columns, columns.flip(1))
    item = torch.arange(n, device=images.device)[:, None, None]
    images = images.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float()
    gain, lift = ((dice(2, 1, 1, 1) * 2 - 1) * config.jitter).unbind(1)
    mean = images.mean((1, 2, 3), keepdim=True)
    return ((images - mean) * (1 + gain) + mean * (1 + lift)).clamp(0, 255).round().byte()
