"""Belief propagation: what parity says of every bit, in log-likelihood ratios."""

from functools import lru_cache, reduce

import torch
from torch import Tensor

from semanticnn_core.channels.base import ASSUMED_BER
from semanticnn_core.codec.parity import ParityCode

CERTAIN = 20.0
"""The largest log-likelihood ratio; what a bit of a message that satisfies all checks is given."""
ITERATIONS = 40
PATIENCE = 12
"""Iterations without fewer violated checks after which a message is given up: its beliefs get no better."""
FEWEST_CHECKS = 100
"""How many checks an estimate of the bit error rate is made of at least."""


class Beliefs:
    """The sum-product algorithm on a code's graph (Gallager, 1962; MacKay, 1999), for a batch of messages.

    Log-likelihood ratios are log P(bit is 0) / P(bit is 1); 0 says nothing, as of a bit that did not arrive.
    """

    def __init__(self, code: ParityCode, device: torch.device | str = "cpu") -> None:
        self.bit, self.check = (each.to(device) for each in code.checks)
        self.checks, edges = 32 * code.rows, len(self.bit)
        self.degree = torch.bincount(self.check)
        place = torch.arange(edges, device=device) - (self.degree.cumsum(0) - self.degree)[self.check]
        table = self.bit.new_full((int(self.degree.max()), self.checks), edges)  # each check's edges, filled up
        table[place, self.check] = torch.arange(edges, device=device)
        self.columns = list(table)
        self.back = place * self.checks + self.check  # where an edge stands in the table
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
        messages = belief.new_zeros(len(self.bit), len(llr))  # of the checks, edge by edge
        fewest, tries = at.new_full((len(llr),), self.checks + 1), torch.zeros_like(at)
        for iteration in range(iterations + 1):
            violated, unsure = self._violated(belief < 0), belief == 0
            violated = (violated | self._any(unsure) if unsure.any() else violated).sum(0)
            solved = violated == 0
            tries = torch.where(violated < fewest, 0, tries + 1)
            fewest = torch.minimum(fewest, violated)
            done = solved | (tries > PATIENCE) | (iteration == iterations)
            if done.any():
                certain = torch.where(belief < 0, -CERTAIN, CERTAIN)
                final = torch.where(solved, certain, belief.clamp(-CERTAIN, CERTAIN))[:, done]
                result[at[done]] = final.T.to(llr.dtype)
                kept = (each[..., ~done] for each in (at, channel, belief, messages, fewest, tries))
                at, channel, belief, messages, fewest, tries = kept
            if not len(at):
                break
            messages = self._from_checks(belief.index_select(0, self.bit) - messages)
            belief = channel.clone()
            for bits, edges in self.bits:
                belief[bits] += messages.index_select(0, edges.flatten()).unflatten(0, edges.shape).sum(1)
        return result

    def error_rate(self, ones: Tensor, known: Tensor) -> Tensor:
        """Return the bit error rate, (B,), that explains how many checks the received bits violate.

        ones, known: bool (B, bits), what was received, and of which bits something was; 0.01 where too few are.
        A check of d bits is violated with chance (1 − (1 − 2p)^d) / 2.
        """
        whole = ~self._any(~known.T)  # (checks, B)
        violated = self._violated(ones.T) & whole
        share = violated.sum(0) / whole.sum(0).clamp_min(1)
        degree = self.degree.float()[:, None]
        low, high = torch.full_like(share, 1e-4), torch.full_like(share, 0.5)
        for _ in range(20):
            middle = (low + high) / 2
            chance = ((1 - (1 - 2 * middle) ** degree) / 2 * whole).sum(0) / whole.sum(0).clamp_min(1)
            low, high = torch.where(chance < share, middle, low), torch.where(chance < share, high, middle)
        return torch.where(whole.sum(0) >= FEWEST_CHECKS, low, ASSUMED_BER)

    def _violated(self, ones: Tensor) -> Tensor:
        """Return which checks the bits violate, bool (checks, B), of bool (bits, B)."""
        return reduce(torch.bitwise_xor, self._by_place(ones.index_select(0, self.bit), False))

    def _any(self, bits: Tensor) -> Tensor:
        """Return which checks have such a bit, bool (checks, B), of bool (bits, B)."""
        return reduce(torch.bitwise_or, self._by_place(bits.index_select(0, self.bit), False))

    def _from_checks(self, messages: Tensor) -> Tensor:
        """Return each check's message to each bit, from the others' to the check: 2·atanh Π tanh(llr / 2), (E, B)."""
        halves = self._by_place(
            torch.copysign(1 - 2 * torch.sigmoid(-messages.abs()), messages), 1.0
        )  # as exact either way
        before, after = [torch.ones_like(halves[0])], [torch.ones_like(halves[0])]
        for one, other in zip(halves[:-1], halves[:0:-1], strict=True):
            before.append(before[-1] * one)
            after.append(after[-1] * other)
        others = torch.cat([one * other for one, other in zip(before, after[::-1], strict=True)])
        return 2 * torch.atanh(others.clamp(1e-7 - 1, 1 - 1e-7)).index_select(0, self.back)

    def _by_place(self, edges: Tensor, filling: float | bool) -> list[Tensor]:
        """Return the values of edges (E, B) check by check: those of all first edges (checks, B), all second, …"""
        filled = torch.cat([edges, edges.new_full((1, edges.shape[1]), filling)])
        return [filled.index_select(0, column) for column in self.columns]


@lru_cache(maxsize=64)
def beliefs(code: ParityCode, device: torch.device | str = "cpu") -> Beliefs:
    """Return the decoder of a code, made once for each device."""
    return Beliefs(code, device)
