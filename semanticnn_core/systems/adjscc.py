"""ADJSCC (Xu et al., TCSVT 2021) as the paper compares it: SemanticNN's encoder and decoder without its quantiser.

Faithful: 32-bit floats leave, their bits flip, and the receiver replaces what is no number and clamps the rest; a link
of one per cent errors damages 28 % of them. Fair: the same in as many bytes as the others, three bits a value between
fixed, even levels, so that it shows what learned centres are worth.
Adapted: a binary symmetric channel in place of noise on complex symbols.
"""

import torch
from torch import Tensor

from semanticnn_core.systems.learned import (
    FeatureCodec,
    channels_for,
    edge_decoder,
    from_binary,
    light_encoder,
    to_binary,
)
from semanticnn_core.tasks.split import SplitModel

LARGEST = 4.0
"""Values are kept within ±4 standard deviations of their start."""


class FloatADJSCC(FeatureCodec):
    """The latent as 32-bit floats: 16 channels, 4,096 bytes for 64 positions."""

    title = "A-ADJSCC"
    channels = 16

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        self.bits, self.code_shape = self.grid**2 * 32 * self.channels, (self.channels, self.grid, self.grid)
        self.encoder, self.decoder = light_encoder(model, self.channels), edge_decoder(model, self.channels)

    def encode(self, feature: Tensor) -> Tensor:
        return self.encoder(feature).clamp(-LARGEST, LARGEST)

    def to_bits(self, latent: Tensor) -> Tensor:
        return to_binary(latent.float().contiguous().view(torch.int32), 32)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        words = from_binary(bits, 32)
        floats = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32).view(torch.float32)
        return floats.nan_to_num(0.0).clamp(-LARGEST, LARGEST).view(-1, *self.code_shape)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return self.decoder(latent, torch.zeros_like(latent), ber, *self.feature_shape[1:])


class UniformADJSCC(FloatADJSCC):
    """The latent in three bits a value, evenly between −2 and 2."""

    title = "A-ADJSCC, 3 bits"
    width, low, high = 3, -2.0, 2.0

    def __init__(self, model: SplitModel, size: int) -> None:
        self.channels = channels_for(model, size, self.width)
        super().__init__(model, size)
        self.bits = self.grid**2 * self.width * self.channels

    def encode(self, feature: Tensor) -> Tensor:
        return self.encoder(feature)

    def to_bits(self, latent: Tensor) -> Tensor:
        steps = 2**self.width - 1
        share = (latent.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        return to_binary((share * steps).round().long(), self.width)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        share = from_binary(bits, self.width) / (2**self.width - 1)
        return (self.low + (self.high - self.low) * share).view(-1, *self.code_shape)
