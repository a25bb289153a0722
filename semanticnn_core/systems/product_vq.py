"""Product vector quantisation over the binary symmetric channel, of the kind of ESC-MVQ (Shin et al., 2025,
arXiv 2504.11709) and CAVQ (Meng et al., 2025, arXiv 2510.18604), after Farvardin's channel-optimised quantisers.

Four values of a position share one index of eight bits. The device chooses the index whose expected error after the
channel is least; the edge takes the mean over what may have been sent. The codebooks begin as two bits a value, whose
Gray order makes neighbours differ in one bit, and learn on the channel from there.
Adapted: behind a split, with SemanticNN's encoder and decoder; modulation and power are not part of it.
"""

import torch
from torch import Tensor, nn

from semanticnn_core.codec.code_order import hamming_distances
from semanticnn_core.systems.learned import (
    FeatureCodec,
    channels_for,
    edge_decoder,
    from_binary,
    light_encoder,
    to_binary,
)
from semanticnn_core.tasks.split import SplitModel

DESIGN_BER = 0.02
"""The rate that the device chooses indices for; it does not know the channel's."""
WIDTH, GROUP = 8, 4
"""Bits an index, values an index."""
COMMITMENT = 0.05
"""Weight of the squared distance between latent and chosen code vector."""


class ProductVQ(FeatureCodec):
    """Indices of eight bits into learned codebooks of four values."""

    title = "product VQ"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        self.groups = channels_for(model, size, WIDTH)
        channels = GROUP * self.groups
        self.bits, self.code_shape = self.grid**2 * WIDTH * self.groups, (channels, self.grid, self.grid)
        self.encoder, self.decoder = light_encoder(model, channels), edge_decoder(model, channels)
        levels = torch.tensor([-1.25, -0.4, 1.25, 0.4])  # of code words 0, 1, 2, 3: Gray
        index = torch.arange(2**WIDTH)
        each = levels[torch.stack([index >> 2 * place & 3 for place in range(GROUP)], 1)]
        self.codebooks = nn.Parameter(each.repeat(self.groups, 1, 1))  # (groups, 256, 4)
        self.register_buffer("distances", hamming_distances(index))

    def transition(self, ber: float | Tensor) -> Tensor:
        """Return P(index received | index sent), (B, 256, 256); symmetric."""
        rate = torch.as_tensor(ber, device=self.codebooks.device, dtype=self.codebooks.dtype).reshape(-1, 1)
        flips = torch.arange(WIDTH + 1, device=rate.device)
        return (rate**flips * (1 - rate) ** (WIDTH - flips))[:, self.distances]

    def encode(self, feature: Tensor) -> Tensor:
        return self.encoder(feature)

    def to_bits(self, latent: Tensor) -> Tensor:
        with torch.no_grad():
            likely = self.transition(DESIGN_BER)[0]
            centers = likely @ self.codebooks  # (groups, 256, 4): what an index is worth in the mean
            energy = (likely @ self.codebooks.square().sum(-1, keepdim=True))[..., 0]
            values = self._grouped(latent)  # (groups, B·positions, 4)
            index = (energy[:, None] - 2 * values @ centers.transpose(1, 2)).argmin(-1)
        return to_binary(index.view(self.groups, -1, self.grid**2).transpose(0, 1).flatten(1), WIDTH)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        index = from_binary(bits, WIDTH).view(-1, self.groups, self.grid**2)
        worth = torch.einsum("bij,gjd->bgid", self.transition(ber), self.codebooks)
        worth = worth.expand(len(index), -1, -1, -1)
        values = worth.gather(2, index[..., None].expand(-1, -1, -1, GROUP))  # (B, groups, positions, 4)
        return values.transpose(2, 3).reshape(-1, *self.code_shape)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        rate = torch.as_tensor(ber, device=latent.device, dtype=latent.dtype).reshape(-1, 1, 1, 1)
        return self.decoder(latent, (4 * rate * (1 - rate)).sqrt().expand_as(latent), ber, *self.feature_shape[1:])

    def penalty(self, latent: Tensor, received: Tensor) -> Tensor:
        return COMMITMENT * (latent - received.detach()).square().mean()

    def _grouped(self, latent: Tensor) -> Tensor:
        grouped = latent.view(len(latent), self.groups, GROUP, self.grid**2)
        return grouped.permute(1, 0, 3, 2).flatten(1, 2)
