"""YOLOv3 (Redmon & Farhadi, 2018), cut after the layer that first halves the image.

image ─► device part ─► feature ─► four stages ─► head /32 ─► /16 ─► /8 ─► three outputs (B, 3·(5 + classes), h, w)

`yolov3` and `yolov3_tiny` are the original networks, layer by layer, and read and write their weights (see `darknet`).
`yolov3_small` has fewer and narrower blocks, and begins with one convolution of stride 2 and ReLU6, which the firmware
can run; it trains on two cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semanticnn_core.tasks.detection import Anchors, Detection
from semanticnn_core.tasks.split import PixelNormalize


@dataclass(frozen=True)
class Shape:
    """What tells the networks apart: blocks a stage, channels in shares of the original's, anchors and their image."""

    blocks: tuple[int, ...]
    width: float
    anchors: Anchors
    anchor_size: int


# YOLOv3-tiny's published weights were made with the second to fourth anchor at the finer output, whatever cfg files
# say: on 128 validation images of COCO they give an mAP50 of 0.450, with the first three 0.295.
SHAPES = {
    "yolov3": Shape(
        (1, 2, 8, 8, 4),
        1.0,
        (
            ((116, 90), (156, 198), (373, 326)),
            ((30, 61), (62, 45), (59, 119)),
            ((10, 13), (16, 30), (33, 23)),
        ),
        416,
    ),
    "yolov3_tiny": Shape((), 1.0, (((81, 82), (135, 169), (344, 319)), ((23, 27), (37, 58), (81, 82))), 416),
    "yolov3_small": Shape(
        (1, 1, 2, 2, 1),
        0.25,
        (
            ((31, 42), (32, 51), (38, 53)),
            ((25, 34), (24, 40), (27, 46)),
            ((15, 27), (18, 28), (20, 33)),
        ),
        128,
    ),
}


NOTHING = -4.0
"""Objectness, as a logit, with which training begins: hardly a box holds an object."""


class Pixels(nn.Module):
    """Turn uint8 pixels (B, 3, H, W) into floats in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("full", torch.tensor(255.0))

    def forward(self, images: Tensor) -> Tensor:
        return (images.to(self.full.dtype) / self.full).contiguous(memory_format=torch.channels_last)


class Unit(nn.Sequential):
    """Convolution without bias, batch norm, leaky ReLU: the original's layer."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.01),
            nn.LeakyReLU(0.1),
        )


class Block(nn.Module):
    """Two convolutions, the first of half the channels, added to their input. It begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.units = nn.Sequential(Unit(channels, channels // 2, 1), Unit(channels // 2, channels, 3))
        nn.init.zeros_(self.units[1][1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.units(x)


def _neck(inputs: int, channels: int) -> nn.Sequential:
    """Return five convolutions that come before an output, and from which the next finer head goes on."""
    two, one = (channels, 2 * channels, 3), (2 * channels, channels, 1)
    return nn.Sequential(Unit(inputs, channels, 1), Unit(*two), Unit(*one), Unit(*two), Unit(*one))


def _output(channels: int, inner: int, values: int) -> nn.Sequential:
    """Return the last two layers: values for three boxes at each place, linear."""
    last = nn.Conv2d(inner, values, 1)
    with torch.no_grad():
        last.bias.view(3, -1)[:, 4] = NOTHING
    return nn.Sequential(Unit(channels, inner, 3), last)


class YOLOv3(nn.Module):
    """The edge part of YOLOv3: from the feature (B, C, H/2, W/2) to outputs at 1/32, 1/16 and 1/8 of the image.

    classes: how many. blocks: residual blocks of the five stages. width: channels in shares of the original's.
    Parts are made, and kept, in the order of the original's layers.
    """

    def __init__(self, classes: int, blocks: Sequence[int], width: float) -> None:
        super().__init__()
        wide = [max(round(width * channels), 2) for channels in (64, 128, 256, 512, 1024)]
        stages = [nn.Sequential(*(Block(wide[0]) for _ in range(blocks[0])))]
        for inputs, outputs, count in zip(wide[:-1], wide[1:], blocks[1:], strict=True):
            stages.append(nn.Sequential(Unit(inputs, outputs, 3, 2), *(Block(outputs) for _ in range(count))))
        self.stages = nn.ModuleList(stages)
        values, (eighth, quarter, half) = 3 * (5 + classes), (wide[1], wide[2], wide[3])
        self.neck32, self.output32 = _neck(wide[4], half), _output(half, wide[4], values)
        self.lift16 = nn.Sequential(Unit(half, quarter, 1), nn.Upsample(scale_factor=2))
        self.neck16, self.output16 = _neck(quarter + wide[3], quarter), _output(quarter, wide[3], values)
        self.lift8 = nn.Sequential(Unit(quarter, eighth, 1), nn.Upsample(scale_factor=2))
        self.neck8, self.output8 = _neck(eighth + wide[2], eighth), _output(eighth, wide[2], values)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three outputs, the coarsest first."""
        x8 = self.stages[2](self.stages[1](self.stages[0](feature)))
        x16 = self.stages[3](x8)
        neck32 = self.neck32(self.stages[4](x16))
        neck16 = self.neck16(torch.cat([self.lift16(neck32), x16], 1))
        neck8 = self.neck8(torch.cat([self.lift8(neck16), x8], 1))
        return self.output32(neck32), self.output16(neck16), self.output8(neck8)


class TinyYOLOv3(nn.Module):
    """The edge part of YOLOv3-tiny: seven convolutions with max-pools between, outputs at 1/32 and 1/16."""

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        wide = [max(round(width * channels), 2) for channels in (16, 32, 64, 128, 256, 512, 1024)]
        half = nn.MaxPool2d(2)
        pairs = list(zip(wide[:5], wide[1:5], strict=False))
        early = [layer for inputs, outputs in pairs for layer in (Unit(inputs, outputs, 3), half)]
        self.early = nn.Sequential(*early[:-1])  # to 1/16: the finer output looks at it too
        still = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
        self.late = nn.Sequential(half, Unit(wide[4], wide[5], 3), still, Unit(wide[5], wide[6], 3))
        values = 3 * (5 + classes)
        self.neck32 = Unit(wide[6], wide[4], 1)
        self.output32 = _output(wide[4], wide[5], values)
        self.lift16 = nn.Sequential(Unit(wide[4], wide[3], 1), nn.Upsample(scale_factor=2))
        self.output16 = _output(wide[3] + wide[4], wide[4], values)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two outputs, the coarser first."""
        x16 = self.early(feature)
        neck32 = self.neck32(self.late(x16))
        return self.output32(neck32), self.output16(torch.cat([self.lift16(neck32), x16], 1))


def parts(name: str, classes: int, image_size: int, width: float | None) -> tuple[nn.Module, nn.Module, Detection]:
    """Return device part, edge part and task of a network of `SHAPES`, for square images of a multiple of 32 pixels.

    width: channels in shares of the original's; the network's own when left out.
    """
    if image_size % 32 or image_size < 64:
        raise ValueError(f"image_size must be a multiple of 32, at least 64, for {name}, got {image_size}")
    shape = SHAPES[name]
    width = shape.width if width is None else width
    if not 1 / 16 <= width <= 4:
        raise ValueError(f"width must be in [1/16, 4], got {width}")
    scale = image_size / shape.anchor_size if name == "yolov3_small" else 1
    anchors = tuple(tuple((w * scale, h * scale) for w, h in group) for group in shape.anchors)
    task = Detection(classes, image_size, anchors)
    if name == "yolov3_tiny":
        device = nn.Sequential(Pixels(), Unit(3, max(round(16 * width), 2), 3), nn.MaxPool2d(2))
        return device, TinyYOLOv3(classes, width), task
    first, second = (max(round(width * channels), 2) for channels in (32, 64))
    if name == "yolov3":
        device = nn.Sequential(Pixels(), Unit(3, first, 3), Unit(first, second, 3, 2))
    else:
        stem = nn.Conv2d(3, second, 3, 2, 1, bias=False), nn.BatchNorm2d(second), nn.ReLU6()
        device = nn.Sequential(PixelNormalize(), *stem)
    return device, YOLOv3(classes, shape.blocks, width), task
