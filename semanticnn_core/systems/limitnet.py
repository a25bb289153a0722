"""LimitNet (Hojjat et al., MobiSys 2024): values leave in the order of a saliency map, as many as fit.

Adapted to a split, as the paper marks with *: SemanticNN's encoder and decoder, twelve channels, six bits a value, and
a map of 8 × 8 places in five bits, 40 bytes; it is the energy of the latent, where LimitNet trains a head on another
network's maps. A value's rank is the map's entry plus a share that falls from channel to channel. Faithful: trained
without errors, the map leaves bare. Fair: trained on the channel, the map with twice as much parity. Left out:
Huffman coding, of which one wrong bit unsettles all that come after.
"""

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, BitChannel, Payload
from semanticnn_core.codec.parity import parity_code
from semanticnn_core.codec.payload import pack, unpack
from semanticnn_core.systems.learned import FeatureCodec, edge_decoder, from_binary, light_encoder, to_binary
from semanticnn_core.systems.protected import corrected
from semanticnn_core.tasks.split import SplitModel

CHANNELS, WIDTH, PLACES, MAP_WIDTH = 12, 6, 64, 5
MAP_BYTES = PLACES * MAP_WIDTH // 8
SPAN = 2.5
"""Values are kept within ±2.5 standard deviations of their start."""


class LimitNet(FeatureCodec):
    """The map behind parity."""

    title = "LimitNet*"
    rate = 1.5e-3
    parity = 2 * MAP_BYTES

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        if self.grid**2 != PLACES:
            raise ValueError(f"{self.title} orders {PLACES} positions, this network's code has {self.grid**2}")
        room = 8 * (size - MAP_BYTES - self.parity)
        if room < WIDTH:
            raise ValueError(f"the map takes {MAP_BYTES + self.parity} bytes, {size} leave no room for values")
        self.count = min(room // WIDTH, CHANNELS * PLACES)
        self.bits = self.count * WIDTH
        self.encoder, self.decoder = light_encoder(model, CHANNELS), edge_decoder(model, CHANNELS)

    def encode(self, feature: Tensor) -> Tensor:
        return self.encoder(feature).clamp(-SPAN, SPAN)

    def saliency(self, latent: Tensor) -> Tensor:
        """Return the map, int64 (B, 64) in [0, 32), of a latent (B, 12, 8, 8): its energy, the largest 31."""
        energy = latent.square().sum(1).flatten(1)
        return (energy / energy.amax(1, keepdim=True).clamp_min(1e-6) * (2**MAP_WIDTH - 1)).round().long()

    def order(self, map: Tensor) -> Tensor:
        """Return which values leave, as numbers of the flattened latent, int64 (B, count), by a map (B, 64)."""
        shares = 1 - torch.arange(CHANNELS, device=map.device) / CHANNELS
        rank = map[:, None, :] / (2**MAP_WIDTH - 1) + shares[:, None]
        return rank.flatten(1).sort(dim=1, descending=True, stable=True).indices[:, : self.count]

    def to_bits(self, latent: Tensor) -> Tensor:
        values = latent.flatten(1).gather(1, self.order(self.saliency(latent)))
        return to_binary(((values / SPAN + 1) / 2 * (2**WIDTH - 1)).round().long(), WIDTH)

    def placed(self, bits: Tensor, map: Tensor) -> Tensor:
        """Return the latent (B, 12, 8, 8) of received bits, zero where nothing was sent."""
        values = (from_binary(bits, WIDTH) / (2**WIDTH - 1) * 2 - 1) * SPAN
        latent = values.new_zeros(len(bits), CHANNELS * PLACES).scatter(1, self.order(map), values)
        return latent.view(-1, CHANNELS, 8, 8)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return self.decoder(latent, (latent == 0).to(latent), ber, *self.feature_shape[1:])

    def forward(self, seen: Tensor, channel: BitChannel) -> tuple[Tensor, Tensor | float]:
        latent = self.encode(seen)
        bits, map = self.to_bits(latent.detach()), self.saliency(latent.detach())
        received = self.placed(bits ^ channel.wrong_bits(*bits.shape, bits.device), map)
        through = received + (latent - latent.detach()) * (received != 0)
        return self.decode(through, channel.ber), 0.0

    @torch.no_grad()
    def compress(self, seen: Tensor) -> Payload:
        latent = self.encode(seen)
        map = pack(self.saliency(latent).byte(), MAP_WIDTH)
        parity = [parity_code(MAP_BYTES, self.parity).encode(map)] if self.parity else []
        return Payload(torch.cat([map, *parity, pack(self.to_bits(latent).byte(), 1)], 1))

    @torch.no_grad()
    def decompress(self, arrival: Arrival) -> Tensor:
        data, head = arrival.payload.data, MAP_BYTES + self.parity
        map = data[:, :MAP_BYTES].contiguous()
        if self.parity:
            map = corrected(parity_code(MAP_BYTES, self.parity), data[:, :head], arrival.estimated_ber)
        bits = unpack(data[:, head:].contiguous(), 1, self.bits).bool()
        latent = self.placed(bits, unpack(map, MAP_WIDTH, PLACES).long())
        return self.decode(latent, arrival.estimated_ber)


class BareLimitNet(LimitNet):
    """The map without parity."""

    title = "LimitNet*, bare map"
    parity = 0
