"""What integers do to the device side: symbols that differ, and how close their latents were to a threshold."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.stm32.integer import IntegerEncoder


@dataclass(frozen=True)
class Rounding:
    """The integer encoder beside the one in floats.

    differ: whether a symbol differs, bool (B, K, h, w). distance: of its latent from the nearest threshold.
    """

    differ: Tensor
    distance: Tensor


@torch.no_grad()
def rounding(codec: SemanticCodec, encoder: IntegerEncoder, feature: Tensor, images: Tensor) -> Rounding:
    """Encode images uint8 (B, 3, H, W) in integers, their features (B, C, h, w) in floats, and compare."""
    latent, levels = codec.encoder(feature), codec.quantizer.levels
    return Rounding(
        differ=encoder(images) != codec.quantizer.assign(latent),
        distance=(latent[..., None] - (levels[1:] + levels[:-1]) / 2).abs().amin(-1),
    )
