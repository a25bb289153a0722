"""Belief propagation: what parity says of every bit, in log-likelihood ratios."""

from functools import lru_cache

import torch
from torch import Tensor

from semanticnn_core.channels.base import ASSUMED_BER
from semanticnn_core.codec.parity import ParityCode

CERTAIN = 20.0
"""The largest log-likelihood ratio; what a bit of a message that satisfies all checks is given."""
ITERATIONS = 40
FEWEST_CHECKS = 100
"""How many checks an estimate of the bit error rate is made of at least."""


class Beliefs:
    """The sum-product algorithm on a code's graph (Gallager, 1962; MacKay, 1999), for a batch of messages.

    Log-likelihood ratios are log P(bit is 0) / P(bit is 1); 0 says nothing, as of a bit that did not arrive.
    """

    def __init__(self, code: ParityCode, device: torch.device | str = "cpu") -> None:
        self.bit, self.check = (each.to(device) for each in code.checks)
        self.checks = 32 * code.rows
        edges, degree = len(self.bit), torch.bincount(self.check)
        place = torch.arange(edges, device=device) - (degree.cumsum(0) - degree)[self.check]
        self.table = self.bit.new_full((self.checks, int(degree.max())), edges)  # the edges of each check, filled up
        self.table[self.check, place] = torch.arange(edges, device=device)
        self.back = self.check * self.table.shape[1] + place  # where an edge stands in the table
        of_bit, degree = self.bit.argsort(stable=True), torch.bincount(self.bit)
        first = degree.cumsum(0) - degree
        self.bits = []  # of each degree, with their edges, (n, degree)
        for count in degree.unique().tolist():
            bits = (degree == count).nonzero()[:, 0]
            self.bits.append((bits, of_bit[first[bits, None] + torch.arange(count, device=device)]))

    @torch.no_grad()
    def __call__(self, llr: Tensor, iterations: int = ITERATIONS) -> Tensor:
        """Return what is believed of each bit, (B, bits), from what the link alone says of it, (B, bits)."""
        result, channel = llr.clone(), llr.T.float().contiguous().clamp(-CERTAIN, CERTAIN)  # (bits, B) from here on
        at, belief = torch.arange(len(llr), device=llr.device), channel
        told = belief.new_zeros(len(self.bit), len(llr))  # by the checks, edge by edge
        for iteration in range(iterations + 1):
            solved = ~self._violated(belief).any(0) & (belief != 0).all(0)
            if solved.any():
                result[at[solved]] = torch.where(belief[:, solved] < 0, -CERTAIN, CERTAIN).T.to(llr.dtype)
                at, channel, belief, told = (each[..., ~solved] for each in (at, channel, belief, told))
            if not len(at) or iteration == iterations:
                break
            told = self._from_checks(belief[self.bit] - told)
            belief = channel.clone()
            for bits, edges in self.bits:
                belief[bits] += told[edges].sum(1)
        result[at] = belief.T.clamp(-CERTAIN, CERTAIN).to(llr.dtype)
        return result

    def error_rate(self, ones: Tensor, known: Tensor) -> Tensor:
        """Return the bit error rate, (B,), that explains how many checks the received bits violate.

        ones, known: bool (B, bits), what was received, and of which bits something was; 0.01 where too few are.
        A check of d bits is violated with chance (1 − (1 − 2p)^d) / 2.
        """
        whole = self._filled(known.T[self.bit], True).all(1)  # (checks, B)
        violated = (self._filled(ones.T[self.bit], False).sum(1) % 2 == 1) & whole
        share = violated.sum(0) / whole.sum(0).clamp_min(1)
        degree = torch.bincount(self.check).float()[:, None]
        low, high = torch.full_like(share, 1e-4), torch.full_like(share, 0.5)
        for _ in range(20):
            middle = (low + high) / 2
            chance = ((1 - (1 - 2 * middle) ** degree) / 2 * whole).sum(0) / whole.sum(0).clamp_min(1)
            low, high = torch.where(chance < share, middle, low), torch.where(chance < share, high, middle)
        return torch.where(whole.sum(0) >= FEWEST_CHECKS, low, ASSUMED_BER)

    def _violated(self, belief: Tensor) -> Tensor:
        """Return which checks the likelier bits violate, bool (checks, B)."""
        return self._filled((belief < 0)[self.bit], False).sum(1) % 2 == 1

    def _from_checks(self, told: Tensor) -> Tensor:
        """Return what each check tells each bit, of what the others told it: 2·atanh Π tanh(llr / 2), (E, B)."""
        halves = self._filled(torch.tanh(told.clamp(-CERTAIN, CERTAIN) / 2), 1.0)  # (checks, degree, B)
        sizes = halves.abs().clamp(1e-7, 1 - 1e-7).log()
        signs = torch.where(halves < 0, -1.0, 1.0)
        others = (sizes.sum(1, keepdim=True) - sizes).exp().clamp_max(1 - 1e-7)
        others = torch.where(others < 2e-7, 0.0, others)  # of what did not arrive nothing follows
        answer = signs.prod(1, keepdim=True) * signs * 2 * torch.atanh(others)
        return answer.flatten(0, 1)[self.back]

    def _filled(self, edges: Tensor, value: float | bool) -> Tensor:
        """Return the values of edges (E, B) by check, (checks, degree, B), filled up."""
        return torch.cat([edges, edges.new_full((1, edges.shape[1]), value)])[self.table]


@lru_cache(maxsize=64)
def beliefs(code: ParityCode, device: torch.device | str = "cpu") -> Beliefs:
    """Return the decoder of a code, made once for each device."""
    return Beliefs(code, device)
