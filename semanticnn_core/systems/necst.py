"""NECST (Choi et al., ICML 2019, arXiv 1811.07557), and IABF's adversarial flips (Song et al., AAAI 2020,
arXiv 2004.01454).

The encoder gives every bit a probability s; over a binary symmetric channel a 1 arrives with s − 2·s·p + p, and
training draws what arrives from that, so that the channel is part of the code.
Adapted: behind a split, with SemanticNN's encoder and decoder, p drawn for each image and known to the decoder. The
draw has a straight-through gradient in place of VIMCO's five samples. Left out of IABF: its mutual-information term.
"""

import torch
from torch import Tensor

from semanticnn_core.channels.base import BitChannel
from semanticnn_core.systems.learned import FeatureCodec, channels_for, edge_decoder, light_encoder
from semanticnn_core.tasks.split import SplitModel

SHARPNESS = 3.0
"""By how much a latent, whose standard deviation begins at 1, is multiplied to be a bit's log-odds."""


class NECST(FeatureCodec):
    """Bits drawn with learned probabilities, through the channel's own statistics."""

    title = "NECST"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        channels = channels_for(model, size, 1)
        self.bits, self.code_shape = self.grid**2 * channels, (channels, self.grid, self.grid)
        self.encoder, self.decoder = light_encoder(model, channels), edge_decoder(model, channels)

    def encode(self, feature: Tensor) -> Tensor:
        return SHARPNESS * self.encoder(feature)

    def to_bits(self, latent: Tensor) -> Tensor:
        return latent.flatten(1) > 0

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        return (2.0 * bits - 1).view(-1, *self.code_shape)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        rate = torch.as_tensor(ber, device=latent.device, dtype=latent.dtype).reshape(-1, 1, 1, 1)
        trust = (1 - 2 * rate).expand(len(latent), 1, 1, 1)  # the mean of a bit that arrived as +1, bits being even
        spread = (1 - trust**2).clamp_min(0).sqrt().expand_as(latent)
        return self.decoder(trust * latent, spread, ber, *self.feature_shape[1:])

    def forward(self, feature: Tensor, channel: BitChannel) -> tuple[Tensor, Tensor | float]:
        received = self.arriving(self.encode(feature), channel.ber)
        return self.decode(received, channel.ber), 0.0

    def arriving(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        """Return bits −1 and 1 drawn with the chances that they arrive, whose gradient is that of the chances."""
        rate = torch.as_tensor(ber, device=latent.device).reshape(-1, 1, 1, 1)
        share = torch.sigmoid(latent)
        arrives = share - 2 * share * rate + rate
        drawn = (torch.rand_like(arrives) < arrives).to(arrives)
        return 2 * (drawn + arrives - arrives.detach()) - 1


class IABF(NECST):
    """NECST whose decoder also meets the flips that would hurt it most."""

    title = "IABF"
    share = 0.02
    """Share of the bits that are flipped on purpose, in half of the images."""

    def forward(self, feature: Tensor, channel: BitChannel) -> tuple[Tensor, Tensor | float]:
        latent = self.encode(feature)
        rate = torch.as_tensor(channel.ber, device=latent.device).expand(len(latent))
        turned = torch.zeros_like(latent, dtype=torch.bool)
        turned[::2] = self.worst(latent[::2].detach(), feature[::2], rate[::2])
        received = self.arriving(latent, rate)
        return self.decode(torch.where(turned, -received, received), rate), 0.0

    def worst(self, latent: Tensor, feature: Tensor, rate: Tensor) -> Tensor:
        """Return the bits whose flips would raise the feature's error most, to first order, bool as latent."""
        with torch.enable_grad():
            tried = (2.0 * (latent > 0) - 1).requires_grad_()
            error = (self.decode(tried, rate) - feature).square().mean((1, 2, 3)).sum()
            (slope,) = torch.autograd.grad(error, tried)
        harm = (-2 * tried.detach() * slope).flatten(1)
        places = harm.topk(max(int(self.share * harm.shape[1]), 1)).indices
        return torch.zeros_like(harm, dtype=torch.bool).scatter(1, places, True).view_as(latent)
