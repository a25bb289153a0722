"""Images that no camera takes: they reach clamps, signs and thresholds that photographs leave alone."""

import torch
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.tasks.split import SplitModel, evaluating

DRIVEN = 4
"""Channels of the latent that are driven as far up, and as far down, as they go."""
SOFT = 6
"""Images of soft noise, whose latents fall near thresholds too, where a rounding decides."""


def flat_and_loud(size: int) -> Tensor:
    """Return images uint8 (16, 3, size, size): black, white, three colours, two chessboards, stripes, and noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, size, size), generator=generator)
    place = torch.arange(size)
    colours = [torch.eye(3, dtype=torch.int64)[each][:, None, None].expand(3, size, size) * 255 for each in range(3)]
    boards = [(place[:, None] // side + place // side) % 2 * 255 for side in (1, 8)]
    grey = [each.expand(3, size, size) for each in (*boards, place[:, None].expand(size, size) % 4 // 2 * 255)]
    soft = (
        torch.randn(SOFT, 3, size, size, generator=generator) * 32
        + torch.rand(SOFT, 3, 1, 1, generator=generator) * 255
    )
    loud = [noise * 0, noise * 0 + 255, *colours, *grey, noise, noise // 128 * 255]
    return torch.cat([torch.stack(loud), soft.round().clamp(0, 255)]).byte()


def extreme_images(model: SplitModel, codec: SemanticCodec) -> Tensor:
    """Return images uint8 (B, 3, H, W) for a codec's test vectors: `flat_and_loud`, and some that saturate its latent.

    Those are black or white where the convolution's output grows or falls with the pixel, for a few channels each way.
    """
    base = flat_and_loud(model.image_size)
    with evaluating(model), evaluating(codec), torch.enable_grad():
        pixels = torch.full_like(base[:1], 128).float().to(model.device).requires_grad_()
        latent = codec.encoder.conv(codec.encoder.padded(model.device_part(pixels)))
        channels = torch.linspace(0, latent.shape[1] - 1, min(DRIVEN, latent.shape[1])).long()
        slopes = [torch.autograd.grad(latent[0, k].sum(), pixels, retain_graph=True)[0] for k in channels.tolist()]
    driven = [(sign * slope > 0).cpu().byte() * 255 for slope in slopes for sign in (1, -1)]
    return torch.cat([base, *driven])
