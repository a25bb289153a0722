"""What a camera makes of colours: lines of 16 bits a pixel, and the images that `snn_camera.c` makes of them again."""

from typing import Literal, get_args

import torch
from torch import Tensor

Format = Literal["RGB565", "BGR565", "YUYV"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""In the order of `enum snn_format`."""


def camera_lines(images: Tensor, form: Format) -> Tensor:
    """Return the lines, uint8 (B, H, 2W), that a camera sends for images uint8 (B, 3, H, W) of an even width.

    RGB565: red in the five highest bits of the first byte. BGR565: blue there. YUYV: full range, BT.601, colour
    differences of two pixels averaged.
    """
    if form == "YUYV":
        red, green, blue = images.double().unbind(1)
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        u, v = (blue - y) / 1.772 + 128, (red - y) / 1.402 + 128
        u, v = ((each[..., ::2] + each[..., 1::2]) / 2 for each in (u, v))
        packed = torch.stack([y[..., ::2], u, y[..., 1::2], v], -1)
        return packed.round().clamp(0, 255).byte().flatten(2)
    high, green, low = (images if form == "RGB565" else images.flip(1)).int().unbind(1)
    words = (high >> 3) << 11 | (green >> 2) << 5 | low >> 3
    return torch.stack([words >> 8, words & 255], -1).byte().flatten(2)


def through_camera(images: Tensor, form: Format) -> Tensor:
    """Return the images, uint8 (B, 3, H, W), that the firmware sees of a camera's lines of images."""
    lines = camera_lines(images, form)
    if form == "YUYV":
        y0, u, y1, v = lines.unflatten(2, (-1, 4)).double().unbind(-1)
        u, v = u - 128, v - 128
        pixels = [torch.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], 1) for y in (y0, y1)]
        return (torch.stack(pixels, -1).flatten(3) + 0.5).floor().clamp(0, 255).byte()
    first, second = lines.unflatten(2, (-1, 2)).int().unbind(-1)
    high, green, low = first >> 3, (first & 7) << 3 | second >> 5, second & 31
    colours = [high << 3 | high >> 2, green << 2 | green >> 4, low << 3 | low >> 2]
    seen = torch.stack(colours, 1).byte()
    return seen if form == "RGB565" else seen.flip(1)
