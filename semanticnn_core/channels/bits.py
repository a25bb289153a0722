"""Channels that flip bits of a payload."""

import hashlib
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload, check_ber
from semanticnn_core.draws import Draws, checked_seed


class BinarySymmetric:
    """The binary symmetric channel: every bit flips on its own with probability `ber`.

    ber: one rate in [0, 0.5], or one per sample, (B,).
    random: a seed, any integer, or what to draw from.
    """

    def __init__(self, ber: float | Tensor, random: int | torch.Generator | Draws = 0) -> None:
        check_ber(ber)
        self.ber, self.draws = ber, Draws(random)

    def __call__(self, payload: Payload) -> Arrival:
        """Return the payload with flipped bits; the receiver knows the rate."""
        return Arrival(replace(payload, data=payload.data ^ self.flips(payload)), ber=self.ber)

    def flips(self, payload: Payload) -> Tensor:
        """Return the bits that flip next time, uint8 (B, n), none behind a sample's length."""
        flips = torch.zeros_like(payload.data)
        for bit in range(8):
            flips |= (self._uniform(flips) < self._rate(flips)).to(torch.uint8) << bit
        return flips * payload.used

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        """Return which of so many bits of each of `count` payloads flip next time, bool (count, bits)."""
        draws = self.draws.uniform(count, bits).to(device)
        return draws < self._rate(draws)

    def _uniform(self, like: Tensor) -> Tensor:
        return self.draws.uniform(*like.shape).to(like.device)

    def _rate(self, like: Tensor) -> Tensor:
        """Return the rate shaped to broadcast over `like`, whose first axis is the sample."""
        rate = torch.as_tensor(self.ber, device=like.device, dtype=torch.float32)
        if rate.dim() and len(rate) not in (1, len(like)):
            raise ValueError(f"ber holds {len(rate)} rates for {len(like)} samples")
        return rate.reshape(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True)
class BitErrors:
    """Links whose bits flip independently at a rate in [0, 0.5]."""

    ber: float

    def __post_init__(self) -> None:
        check_ber(self.ber)

    @property
    def settings(self) -> dict[str, object]:
        return {"ber": float(self.ber)}

    def channel(self, seed: int) -> BinarySymmetric:
        """Return the channel of a seed; the receiver knows its rate. Each rate has draws of its own."""
        return BinarySymmetric(self.ber, derived_seed(seed, float(self.ber)))


def derived_seed(seed: int, *keys: object) -> int:
    """Return a seed that depends on a seed and keys, so that what differs in one of them is drawn independently."""
    digest = hashlib.blake2b(repr((checked_seed(seed), *keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1  # generators take 63 bits


def random_ber(low: float, high: float, count: int, draws: Draws) -> Tensor:
    """Draw bit error rates log-uniformly from [low, high], one per sample; float32 (count,)."""
    share = draws.uniform(count)
    return torch.exp(math.log(low) + share * (math.log(high) - math.log(low))).clamp(low, high)
