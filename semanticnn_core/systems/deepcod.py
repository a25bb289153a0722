"""DeepCOD (Yao et al., SenSys 2020): a linear encoder, learned centres, a decoder with attention over all positions.

Adapted to a split, as the paper marks with *: it compresses the feature, with a convolution of SemanticNN's size. What
leaves are eight centres a value, three bits. Kept: no activation on the device, orthogonal kernels, soft-to-hard
centres, self-attention and residual blocks that double the size; nobody tells the decoder the bit error rate. Added: a
bias, without which the mean of the feature would lie beyond the centres. Left out: spectral normalisation, and the tanh
at the end, which could not reach the feature's range.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels.base import BitChannel
from semanticnn_core.codec.networks import principal_kernels
from semanticnn_core.systems.learned import FeatureCodec, channels_for, code_settings, from_binary, to_binary
from semanticnn_core.tasks.split import SplitModel

BITS = 3
SHARPNESS = 4.0
"""Of the soft assignment, over the squared distance in units of the centres' spacing."""
ORTHOGONALITY = 1e-3
"""Weight of the kernels' squared inner products."""


class DeepCOD(FeatureCodec):
    """A linear convolution, eight learned centres, an attention decoder."""

    title = "DeepCOD*"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        channels, config = channels_for(model, size, BITS), code_settings(model, 1)
        self.bits, self.code_shape = self.grid**2 * BITS * channels, (channels, self.grid, self.grid)
        self.conv = nn.Conv2d(model.feature_shape[0], channels, config.kernel, config.stride)
        self.centers = nn.Parameter(torch.linspace(-1.75, 1.75, 2**BITS))
        ups = config.stride.bit_length() - 1
        widths = [128, *(max(128 >> step, 32) for step in range(1, ups + 1))]
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.attention = Attention(widths[0])
        self.blocks = nn.ModuleList(Up(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.leave = nn.Conv2d(widths[-1], model.feature_shape[0], 3, padding=1)
        self.range = model.feature_range

    @torch.no_grad()
    def start(self, features: Tensor, model: SplitModel) -> None:
        """Begin with the Karhunen–Loève transform, each output centred with standard deviation 1."""
        kernels = principal_kernels(features, self.conv)
        self.conv.weight[: len(kernels)] = kernels
        before = self.conv(features)
        gain = 1 / before.std((0, 2, 3)).clamp_min(1e-6)
        self.conv.weight.mul_(gain[:, None, None, None])
        self.conv.bias.sub_(before.mean((0, 2, 3))).mul_(gain)

    def encode(self, feature: Tensor) -> Tensor:
        return self.conv(feature)

    def to_bits(self, latent: Tensor) -> Tensor:
        return to_binary(self._distances(latent).argmin(-1).flatten(1), BITS)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        return self.centers[from_binary(bits, BITS)].view(-1, *self.code_shape)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        x = self.attention(self.enter(latent))
        for block in self.blocks:
            x = block(x)
        return self.leave(F.relu(x)).clamp(*self.range)

    def forward(self, feature: Tensor, channel: BitChannel) -> tuple[Tensor, Tensor]:
        latent = self.encode(feature)
        bits = self.to_bits(latent.detach())
        received = self.from_bits(bits ^ channel.wrong_bits(*bits.shape, bits.device), channel.ber)
        soft = torch.softmax(-SHARPNESS * self._distances(latent), -1) @ self.centers
        kernels = F.normalize(self.conv.weight.flatten(1), dim=1)
        overlap = (kernels @ kernels.T - torch.eye(len(kernels), device=kernels.device)).square().sum()
        return self.decode(soft + (received - soft).detach(), channel.ber), ORTHOGONALITY * overlap

    def _distances(self, latent: Tensor) -> Tensor:
        spacing = (self.centers.max() - self.centers.min()).detach() / (len(self.centers) - 1)
        return ((latent[..., None] - self.centers) / spacing) ** 2


class Attention(nn.Module):
    """Self-attention over positions, with a gate that begins closed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels // 2 + channels // 4, 1)
        self.back = nn.Conv2d(channels // 4, channels, 1)
        self.gate = nn.Parameter(torch.zeros(()))
        self.sizes = (channels // 4, channels // 4, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (each.flatten(2).transpose(1, 2) for each in self.look(x).split(self.sizes, 1))
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + self.gate * self.back(seen)


class Up(nn.Module):
    """A residual block that doubles the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        large = F.interpolate(x, scale_factor=2.0)
        return self.past(large) + self.second(F.relu(self.first(F.relu(large))))
