"""Small shared material: a learnable data set, a split of two hand-made modules, a codec for its feature."""

import torch
from torch import Tensor, nn

from semanticnn_core.config import CodecConfig
from semanticnn_core.datasets import ImageDataset, Split
from semanticnn_core.tasks.split import SplitModel


class UnitPixels(nn.Module):
    """Turn uint8 pixels into floats in [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 255


def quadrants(count: int, generator: torch.Generator) -> Split:
    """Return noise images (count, 3, 16, 16) whose label 0–3 is the quadrant that is brighter."""
    images = torch.randint(0, 90, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 4
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[:, row : row + 8, column : column + 8] += 60
    return Split({"image": images, "label": labels})


def make_dataset() -> ImageDataset:
    """Return a data set that asks which quadrant is brighter: 96, 40 and 40 images (3, 16, 16)."""
    generator = torch.Generator().manual_seed(0)
    splits = [quadrants(count, generator) for count in (96, 40, 40)]
    return ImageDataset("quadrants", ("0", "1", "2", "3"), *splits)


def make_split() -> SplitModel:
    """Return a split with feature (4, 8, 8) in [0, 6] whose edge names the brightest quadrant, untrained and right."""
    conv, linear = nn.Conv2d(3, 4, 2, 2), nn.Linear(16, 4)
    with torch.no_grad():
        conv.weight.copy_(torch.linspace(0.1, 0.6, conv.weight.numel()).view_as(conv.weight))
        conv.bias.zero_()
        linear.weight.copy_(torch.eye(4).repeat(1, 4))  # each quadrant's sum over the channels
        linear.bias.zero_()
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), linear)
    return SplitModel(nn.Sequential(UnitPixels(), conv, nn.ReLU6()), edge, image_size=16).frozen()


def make_codec_config() -> CodecConfig:
    """Return settings of a code of 4×4×4 symbols, 24 bytes, for the tiny split's feature."""
    return CodecConfig(
        4, code_channels=4, kernel=2, stride=2, centers=8, decoder="transposed", decoder_widths=(8,), parity=0.0
    )
