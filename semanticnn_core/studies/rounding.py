"""What integers do to the device side: errors of feature and latent, symbols that differ, and where they differ."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.stm32.integer import IntegerEncoder
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class Rounding:
    """The integer encoder beside the one in floats.

    images: uint8 (B, 3, H, W). feature, latent: mean error over the channels, in steps of the integers, (B, h, w).
    differ: whether a symbol differs, bool (B, K, h, w). distance: of its latent from the nearest threshold.
    """

    images: Tensor
    feature: Tensor
    latent: Tensor
    differ: Tensor
    distance: Tensor


@torch.no_grad()
def rounding(model: SplitModel, codec: SemanticCodec, encoder: IntegerEncoder, images: Tensor) -> Rounding:
    """Encode images uint8 (B, 3, H, W) in integers and in floats, and compare."""
    feature, whole = model.device_part(images), encoder.feature(images)
    convolved, latent = codec.encoder.conv(codec.encoder.padded(feature)), codec.encoder(feature)
    levels = codec.quantizer.levels
    return Rounding(
        images=images,
        feature=(whole - feature.double() / encoder.stem.step).abs().mean(1),
        latent=(encoder.latent(whole) - convolved.double() / encoder.code.step).abs().mean(1),
        differ=encoder(images) != codec.quantizer.assign(latent),
        distance=(latent[..., None] - (levels[1:] + levels[:-1]) / 2).abs().amin(-1),
    )
