"""Channels that flip bits of a payload."""

import math
from typing import Protocol

import torch
from torch import Tensor


class Channel(Protocol):
    """What every channel offers: bytes in, bytes of the same shape out, and the error rate it may tell."""

    ber: float | Tensor

    def __call__(self, payload: Tensor) -> Tensor: ...


class SymbolChannel(Channel, Protocol):
    """A channel that training can use: it also acts on unpacked code words, with the same statistics."""

    def on_symbols(self, symbols: Tensor, bits: int) -> Tensor: ...


def check_ber(ber: float | Tensor) -> None:
    """Refuse a bit error rate outside [0, 0.5]; a tensor must hold one rate per sample, (B,)."""
    values = torch.as_tensor(ber)
    if values.dim() > 1:
        raise ValueError(f"ber must be a number or one number per sample (B,), got shape {tuple(values.shape)}")
    wrong = values[~((values >= 0) & (values <= 0.5))]
    if wrong.numel():
        raise ValueError(f"ber must be in [0, 0.5], got {float(wrong.flatten()[0]):g}")


class BinarySymmetric:
    """The binary symmetric channel: every bit flips on its own with probability `ber`.

    ber: one rate in [0, 0.5], or one per sample, (B,).
    random: a seed, or a torch.Generator to draw from.
    """

    def __init__(self, ber: float | Tensor, random: int | torch.Generator = 0) -> None:
        check_ber(ber)
        self.ber = ber
        self.generator = torch.Generator().manual_seed(random) if isinstance(random, int) else random

    def __call__(self, payload: Tensor) -> Tensor:
        """Return payload uint8 (B, n) with flipped bits."""
        if payload.dtype != torch.uint8 or payload.dim() != 2:
            raise ValueError(f"payload must be uint8 (B, n), got {payload.dtype} {tuple(payload.shape)}")
        flips = torch.zeros_like(payload)
        for bit in range(8):
            flips |= (self._uniform(payload) < self._rate(payload)).to(torch.uint8) << bit
        return payload ^ flips

    def on_symbols(self, symbols: Tensor, bits: int) -> Tensor:
        """Return code words int64 (B, …) of `bits` bits each, flipped with the same statistics.

        One random number a symbol: the pattern of flips is drawn from its distribution over 2^bits patterns.
        """
        weights = torch.tensor([pattern.bit_count() for pattern in range(2**bits)])
        rate = self._rate(symbols).cpu().double().reshape(-1, 1)  # (B or 1, 1); not every accelerator has float64
        chances = rate**weights * (1 - rate) ** (bits - weights)  # (B or 1, 2^bits)
        edges = chances.cumsum(1)[:, :-1].to(symbols.device, torch.float32)
        dice = self._uniform(symbols.flatten(1))  # (B, symbols)
        flips = torch.searchsorted(edges.expand(len(dice), -1).contiguous(), dice, right=True)
        return symbols ^ flips.reshape(symbols.shape)

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, device=self.generator.device).to(like.device)

    def _rate(self, like: Tensor) -> Tensor:
        """Return the rate shaped to broadcast over `like`, whose first axis is the sample."""
        rate = torch.as_tensor(self.ber, device=like.device, dtype=torch.float32)
        if rate.dim() and len(rate) not in (1, len(like)):
            raise ValueError(f"ber holds {len(rate)} rates for {len(like)} samples")
        return rate.reshape(-1, *[1] * (like.dim() - 1))


def random_ber(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw bit error rates log-uniformly from [low, high], one per sample; float32 (count,)."""
    dice = torch.rand(count, generator=generator, device=generator.device)
    return torch.exp(math.log(low) + dice * (math.log(high) - math.log(low))).clamp(low, high)
