"""BottleNet++ (Shao & Zhang, ICC 2020 workshops): a convolution, batch norm and sigmoid; 8 bits a value.

Adapted: split after the first layer with the stride that gives 64 positions; a binary symmetric channel in place of
the erasure channel; SemanticNN's decoder, which knows the bit error rate. Left out: the plane of the channel's state
at the encoder, as a device that only sends does not know it.
"""

import torch
from torch import Tensor, nn

from semanticnn_core.systems.adjscc import UniformADJSCC
from semanticnn_core.tasks.split import SplitModel


class BottleNet(UniformADJSCC):
    """Values of 8 bits in [0, 1]: six channels in 384 bytes."""

    title = "BottleNet++"
    rate = 1.5e-3
    width, low, high = 8, 0.0, 1.0

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        self.norm = nn.BatchNorm2d(self.channels)

    def encode(self, feature: Tensor) -> Tensor:
        encoder = self.encoder
        return torch.sigmoid(2 * self.norm(encoder.conv(encoder.padded(feature))))

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return super().decode(4 * latent - 2, ber)
