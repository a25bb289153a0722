"""The quantiser: learned centres, soft gradients, code words, and what a received symbol is worth."""

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import SymbolChannel
from semanticnn_core.codec.code_order import hamming_distances, order_by_name


class SoftQuantizer(nn.Module):
    """Scalar quantiser whose centres learn through a soft assignment, with a code word for every centre.

    centers: parameter (n,), used in ascending order; index i below always means the i-th smallest.
    code: buffer (n,), the code word that stands for each index on the link.
    prior: buffer (n,), running share of symbols at each index, which the posterior mean needs.
    sigma: sharpness of the soft assignment, in units of the mean spacing of the centres.
    """

    def __init__(self, centers: int = 8, dequantizer: str = "posterior", sigma: float = 4.0) -> None:
        super().__init__()
        self.bits = centers.bit_length() - 1
        self.dequantizer = dequantizer
        self.sigma = sigma
        self.centers = nn.Parameter(torch.linspace(-1.5, 1.5, centers))
        self.register_buffer("code", order_by_name("natural", centers))
        self.register_buffer("prior", torch.full((centers,), 1 / centers))

    @property
    def levels(self) -> Tensor:
        """The centres in ascending order, (n,)."""
        return self.centers.sort().values

    def assign(self, x: Tensor) -> Tensor:
        """Return the index of the nearest centre for every element, int64 shaped as x."""
        levels = self.levels.detach()
        return torch.bucketize(x.detach().contiguous(), (levels[1:] + levels[:-1]) / 2)

    def soft_assign(self, x: Tensor) -> Tensor:
        """Return the soft assignment (…, n): softmax of −sigma·(distance / mean spacing)²."""
        levels = self.levels
        spacing = ((levels[-1] - levels[0]) / (len(levels) - 1)).detach().clamp_min(1e-6)
        return torch.softmax(-self.sigma * ((x[..., None] - levels) / spacing) ** 2, -1)

    def soft_occupancy(self, x: Tensor) -> Tensor:
        """Return the share of x that falls to each centre, (n,), with gradient: counted between blurred thresholds.

        A threshold is as blurred as the soft assignment is between evenly spaced centres. (The mean of the soft
        assignment will not do: two centres on one spot halve their neighbourhood softly, so that it looks evenly
        used, while the hard rule can send only one of them.)
        """
        levels = self.levels
        thresholds = (levels[1:] + levels[:-1]) / 2
        spacing = ((levels[-1] - levels[0]) / (len(levels) - 1)).detach().clamp_min(1e-6)
        below = torch.sigmoid((thresholds - x.reshape(-1, 1)) * (2 * self.sigma / spacing)).mean(0)
        return torch.diff(below, prepend=below.new_zeros(1), append=below.new_ones(1))

    def transition(self, ber: float | Tensor) -> Tensor:
        """Return P(index j received | index i sent) of the binary symmetric channel, (B, n, n)."""
        p = torch.as_tensor(ber, device=self.code.device, dtype=self.centers.dtype).reshape(-1, 1, 1)
        flips = hamming_distances(self.code)
        return p**flips * (1 - p) ** (self.bits - flips)

    def values(self, ber: float | Tensor) -> Tensor:
        """Return what each received index is worth at a bit error rate, (B, n).

        `posterior`: the mean centre given what was received, Σ_i P(i | j)·centre_i; `plain`: centre_j.
        """
        transition = self.transition(ber)  # (B, n, n)
        if self.dequantizer == "plain":
            return self.levels.expand(len(transition), -1)
        joint = self.prior.clamp_min(1e-6)[:, None] * transition
        return self.levels @ joint / joint.sum(1)

    def dequantize(self, index: Tensor, ber: float | Tensor) -> Tensor:
        """Turn received indices (B, …) into values of the same shape, knowing the bit error rate."""
        values = self.values(ber).expand(len(index), -1)
        return values.gather(1, index.flatten(1)).reshape(index.shape)

    def expected_distortion(self, ber: float | Tensor) -> Tensor:
        """Return the exact mean of (centre sent − value received)² under prior and channel, (B,)."""
        error = self.levels[:, None] - self.values(ber)[:, None, :]  # (B, n, n)
        return (self.prior[:, None] * self.transition(ber) * error**2).sum((1, 2))

    def encode(self, index: Tensor) -> Tensor:
        """Return the code words, int64, of indices."""
        return self.code[index]

    def decode(self, symbols: Tensor) -> Tensor:
        """Return the indices of code words."""
        return self.code.argsort()[symbols.long()]

    def forward(self, x: Tensor, channel: SymbolChannel) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise x (B, …), cross the channel, dequantise; for training.

        Returns the received values shaped as x, the indices sent, and the soft occupancy (n,).
        Forward, the values are sampled; backward, their gradient is that of their expectation:
        soft assignment × transition matrix × values.
        """
        index = self.assign(x)
        received = self.decode(channel.on_symbols(self.encode(index), self.bits))
        if self.training:
            self._count(index)
        values = self.values(channel.ber)  # (B, n)
        soft = self.soft_assign(x.flatten(1))  # (B, elements, n)
        mean = (self.transition(channel.ber) @ values[..., None]).expand(len(x), -1, -1)  # (B, n, 1)
        expected = (soft @ mean).reshape(x.shape)
        sampled = values.expand(len(x), -1).gather(1, received.flatten(1)).reshape(x.shape)
        occupancy = self.soft_occupancy(x)
        return expected + (sampled - expected).detach(), index, _shared(occupancy) if self.training else occupancy

    @torch.no_grad()
    def fit_centers(self, x: Tensor) -> None:
        """Put the centres at evenly spread quantiles of x, so that every symbol is used equally at first."""
        n = len(self.centers)
        ranks = ((torch.arange(n, device=x.device) + 0.5) / n * x.numel()).long()
        self.centers.copy_(x.flatten().sort().values[ranks])

    def _count(self, index: Tensor, momentum: float = 0.02) -> None:
        share = torch.bincount(index.flatten(), minlength=len(self.prior)).to(self.prior) / index.numel()
        self.prior.lerp_(_shared(share), momentum)


class _Shared(torch.autograd.Function):
    """The mean of a statistic over the processes that share a batch; its gradient is the mean of theirs."""

    @staticmethod
    def forward(context: object, mean: Tensor) -> Tensor:
        total = mean.clone()
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return _Shared.forward(context, gradient)


def _shared(mean: Tensor) -> Tensor:
    """Average a statistic of a batch over the processes that share it, with gradient."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return _Shared.apply(mean) if together else mean
