"""A thumbnail: the image itself, very small; the device needs no encoder and no first layer.

Plain: the edge enlarges it and runs the whole network. Learned: what SemanticNN's decoder makes of it, trained on the
channel, is added to the feature that the network's first layer sees in the enlarged thumbnail.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.codec.payload import pack, payload_bytes, unpack
from semanticnn_core.systems.base import Received
from semanticnn_core.systems.learned import FeatureCodec, edge_decoder, from_binary, to_binary
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class Thumbnail:
    """Sends side × side pixels of three colours, so many bits each; 16 × 16 × 3 × 4 bits are 384 bytes."""

    model: SplitModel
    side: int = 16
    bits: int = 4
    name: str = "thumbnail"

    @property
    def settings(self) -> dict[str, object]:
        """None."""
        return {}

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W)."""
        return Payload(pack(shrunken(images, self.side, self.bits).flatten(1).byte(), self.bits))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Enlarge what arrived and run the whole network."""
        values = unpack(arrival.payload.data, self.bits, 3 * self.side**2).view(-1, 3, self.side, self.side)
        return Received(self.model(enlarged(values / (2**self.bits - 1), self.model.image_size)))


class LearnedThumbnail(FeatureCodec):
    """A thumbnail of 16 × 16 pixels, four bits a colour, and a learned decoder."""

    title = "thumbnail, learned decoder"
    side, width, sees = 16, 4, "image"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        if payload_bytes(3 * self.side**2, self.width) > size:
            raise ValueError(f"the thumbnail takes {payload_bytes(3 * self.side**2, self.width)} bytes, got {size}")
        self.bits = 3 * self.side**2 * self.width
        self.decoder = edge_decoder(model, 3 * (self.side // 8) ** 2)
        self.image_size, self.first = model.image_size, copy.deepcopy(model.device_part).requires_grad_(False)
        self.range = self.decoder.range
        self.decoder.range = (-self.range[1], self.range[1])  # what it gives is added
        for each in self.decoder.leave.parameters():
            nn.init.zeros_(each)

    def train(self, mode: bool = True) -> "LearnedThumbnail":
        """Set the mode of all but the network's first layer, whose norms stay as they are."""
        super().train(mode)
        self.first.eval()
        return self

    def encode(self, images: Tensor) -> Tensor:
        return shrunken(images, self.side, self.width) / (2**self.width - 1) * 4 - 2

    def to_bits(self, latent: Tensor) -> Tensor:
        return to_binary(((latent + 2) / 4 * (2**self.width - 1)).round().long().flatten(1), self.width)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        values = from_binary(bits, self.width).view(-1, 3, self.side, self.side)
        return values / (2**self.width - 1) * 4 - 2

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        folded = F.pixel_unshuffle(latent, self.side // 8)
        added = self.decoder(folded, torch.zeros_like(folded), ber, *self.feature_shape[1:])
        seen = self.first(enlarged((latent + 2) / 4, self.image_size))
        return (seen + added).clamp(*self.range)


def enlarged(values: Tensor, side: int) -> Tensor:
    """Return images uint8 (B, 3, side, side) of thumbnails in [0, 1]."""
    return F.interpolate(255 * values, (side, side), mode="bicubic").round().clamp(0, 255).byte()


def shrunken(images: Tensor, side: int, bits: int) -> Tensor:
    """Return images uint8 (B, 3, H, W) at (side, side), whole numbers in [0, 2^bits)."""
    small = F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return (small * ((2**bits - 1) / 255)).round().clamp(0, 2**bits - 1).long()
