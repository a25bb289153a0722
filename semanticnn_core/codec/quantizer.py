"""The quantiser: learned centres, soft gradients, code words, and what a received symbol is worth."""

import torch
from torch import Tensor, nn

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
        p = torch.as_tensor(ber, device=self.code.device, dtype=self.centers.dtype).reshape(-1, 1)
        return self.worth(p.expand(-1, self.bits))[0]

    def worth(self, wrong: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each index is worth, (…, n), where its code word's bits are wrong with chances `wrong` (…, bits).

        `posterior`: the mean centre, over the indices that the bits may have been and their shares; `plain`: the centre
        of the likeliest word. With it the standard deviation of the centre that was sent, (…, n).
        """
        patterns = torch.arange(len(self.code), device=self.code.device)
        meant = self.code.argsort()[self.code[:, None] ^ patterns]  # (n, patterns): the index, if these bits are wrong
        levels, shares = self.levels[meant], self.prior.clamp_min(1e-6)[meant]
        if self.dequantizer == "plain":
            wrong, shares = (wrong > 0.5).to(levels), torch.ones_like(shares)
        chance = torch.ones_like(wrong[..., :1])
        for bit in wrong.split(1, -1):
            chance = torch.cat([chance * (1 - bit), chance * bit], -1)  # (…, patterns), the first bit the lowest
        whole = chance @ shares.T
        mean = chance @ (shares * levels).T / whole
        variance = chance @ (shares * levels**2).T / whole - mean**2
        return mean, variance.clamp_min(1e-8).sqrt()

    def dequantize(self, llr: Tensor) -> tuple[Tensor, Tensor]:
        """Turn what is believed of received bits into values and their standard deviations, (…) each.

        llr: (…, bits), log P(bit is 0) / P(bit is 1). A symbol of which nothing is known becomes the mean symbol.
        """
        word = ((llr < 0) << torch.arange(self.bits, device=llr.device)).sum(-1)
        index = self.decode(word)[..., None]
        values, spread = (each.gather(-1, index)[..., 0] for each in self.worth(torch.sigmoid(-llr.abs())))
        if self.dequantizer == "plain":
            values = torch.where((llr == 0).any(-1), self.prior @ self.levels, values)
        return values, spread

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

    def forward(self, x: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantise x, send it, dequantise it; for training.

        wrong: the chances that the bits sent arrived wrong as the receiver sees them, (…, bits) for x (…): near 1 where
        a flipped bit fools it.
        Returns the received values and their standard deviations shaped as x, the indices sent, and the soft
        occupancy (n,).
        Forward, the values are those of the indices sent; backward, their gradient is that of the soft assignment's.
        """
        index = self.assign(x)
        if self.training:
            self._count(index)
        values, spreads = self.worth(wrong)  # (…, n) each
        expected = (self.soft_assign(x) * values).sum(-1)
        sent, spread = (each.gather(-1, index[..., None])[..., 0] for each in (values, spreads))
        occupancy = self.soft_occupancy(x)
        occupancy = _shared(occupancy) if self.training else occupancy
        return expected + (sent - expected).detach(), spread.detach(), index, occupancy

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
