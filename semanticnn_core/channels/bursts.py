"""A channel whose errors come in bursts."""

from dataclasses import dataclass

import torch

from semanticnn_core.channels.base import Arrival, Payload, check_ber
from semanticnn_core.channels.bits import derived_seed
from semanticnn_core.draws import Draws


class GilbertElliott:
    """Bits are good until a burst begins; within a burst each is wrong with probability `bad` (Gilbert, 1960).

    ber: share of wrong bits over time, below `bad`. length: mean length of a burst, bits. bad: in (0, 0.5].
    random: a seed, any integer, or what to draw from. The receiver knows `ber`, not where bursts lie.
    """

    def __init__(
        self, ber: float, length: float = 16.0, bad: float = 0.3, random: int | torch.Generator | Draws = 0
    ) -> None:
        check_ber(ber)
        if not 0 < bad <= 0.5 or length < 1 or ber * (length + 1) > bad * length:
            raise ValueError(
                f"bursts need bad in (0, 0.5], a length of at least 1 bit and ber ≤ bad · length / (length + 1), so "
                f"that good bits lie between them; got ber {ber:g}, bad {bad:g}, length {length:g}"
            )
        self.ber, self.length, self.bad, self.draws = ber, length, bad, Draws(random)

    def __call__(self, payload: Payload) -> Arrival:
        """Return the payload with flipped bits; the receiver knows the rate."""
        count, size = payload.data.shape
        wrong = self.wrong_bits(count, 8 * size, payload.data.device).unflatten(1, (size, 8))
        flips = (wrong << torch.arange(8, device=wrong.device)).sum(2).byte() * payload.used
        return Arrival(Payload(payload.data ^ flips, payload.length, payload.local), ber=self.ber)

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> torch.Tensor:
        """Return which of so many bits of each of `count` payloads arrive wrong, bool (count, bits)."""
        wrong = self.draws.uniform(count, bits) < self.bad
        return (wrong & self._burst(count, bits)).to(device)

    def _burst(self, count: int, bits: int) -> torch.Tensor:
        """Return which bits lie in a burst, bool (count, bits): runs of geometric length, good and bad in turn."""
        share = self.ber / self.bad
        if not share:
            return torch.zeros(count, bits, dtype=torch.bool, device=self.draws.device)
        means = torch.tensor([self.length * (1 - share) / share, self.length], device=self.draws.device)
        begins_bad = self.draws.uniform(count, 1) < share
        # so many pairs of runs that they reach the end but for one payload in millions, which ends good
        pairs = int(2 * bits / float(means.sum()) + 40)
        uniform = self.draws.uniform(count, pairs, 2).clamp_min(1e-12).double()
        runs = (uniform.log() / torch.log1p(-1 / means.double()).clamp_max(-1e-12)).ceil().clamp(1, bits)
        ends = torch.where(begins_bad[..., None], runs.flip(2), runs).flatten(1).cumsum(1)
        places = torch.arange(bits, device=ends.device).double().expand(count, -1).contiguous()
        number = torch.searchsorted(ends, places, right=True)
        return (number % 2 == 1) ^ begins_bad


@dataclass(frozen=True)
class Bursts:
    """Links whose errors come in bursts, as `GilbertElliott` has them."""

    ber: float
    length: float = 16.0
    bad: float = 0.3

    def __post_init__(self) -> None:
        GilbertElliott(self.ber, self.length, self.bad)

    @property
    def settings(self) -> dict[str, object]:
        return {"ber": float(self.ber), "link": "bursts"}

    def channel(self, seed: int) -> GilbertElliott:
        """Return the channel of a seed; the receiver knows its rate. Each rate has draws of its own."""
        return GilbertElliott(self.ber, self.length, self.bad, derived_seed(seed, "bursts", float(self.ber)))
