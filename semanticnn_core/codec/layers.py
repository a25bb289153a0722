"""Layers of encoder and decoder: GDN, PReLU with positive slopes, BER attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GDN(nn.Module):
    r"""Generalised divisive normalisation (Ballé, Laparra & Simoncelli, 2016), or its inverse.

    $y_i = x_i / \sqrt{\beta_i + \sum_j \gamma_{ij} x_j^2}$; the inverse multiplies by the root.
    $\beta$ and $\gamma$ are positive by construction. Input and output are (B, C, H, W).
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        gamma = torch.full((channels, channels), 1e-3) + 0.1 * torch.eye(channels)
        self.raw_beta = nn.Parameter(_inverse_softplus(torch.ones(channels)))
        self.raw_gamma = nn.Parameter(_inverse_softplus(gamma))

    @property
    def beta(self) -> Tensor:
        """The constant of each channel's norm, (C,), > 0."""
        return F.softplus(self.raw_beta) + 1e-6

    @property
    def gamma(self) -> Tensor:
        """The weight of channel j's energy in channel i's norm, (C, C), ≥ 0."""
        return F.softplus(self.raw_gamma)

    def forward(self, x: Tensor) -> Tensor:
        norm = F.conv2d(x * x, self.gamma[:, :, None, None], self.beta)
        return x * (torch.sqrt(norm) if self.inverse else torch.rsqrt(norm))


class PReLU(nn.Module):
    """PReLU with one slope a channel, positive by construction so that it can be inverted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_slope = nn.Parameter(torch.full((channels,), math.log(0.25)))

    @property
    def slope(self) -> Tensor:
        """The slopes for negative input, (C,), > 0."""
        return self.log_slope.exp()

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.slope)


class BERAttention(nn.Module):
    """Weigh the channels by what they hold and by how bad the channel is (BER attention, Figure 2).

    Each sample's global average and its log10 BER pass through two linear layers to a gate in (0, 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 4, 8)
        self.squeeze = nn.Linear(channels + 1, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, log_ber: Tensor) -> Tensor:
        """x: (B, C, H, W); log_ber: (B,), log10 of the bit error rate."""
        state = torch.cat([x.mean((2, 3)), log_ber[:, None] + 3], 1)  # centred on 0.1 %
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(state))))
        return x * gate[:, :, None, None]


def _inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))
