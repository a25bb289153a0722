"""Links whose signal fades: each payload meets a strength of its own, drawn anew (block fading)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaincinv

from semanticnn_core.channels.base import Arrival, Channel, Payload
from semanticnn_core.channels.bits import BinarySymmetric, derived_seed
from semanticnn_core.draws import Draws

POINTS = 4000
"""Gains over which a mean is taken, of equal chance."""


@dataclass(frozen=True)
class Faded:
    """Links of a mean signal-to-noise ratio, dB, whose power varies from payload to payload.

    rate: the bit error rate, in [0, 0.5], at a signal-to-noise ratio, such as `lora_ber` with a spreading factor.
    calm: Nakagami's m, at least 0.5. 1 is Rayleigh's fading; with a line of sight that is K times as strong as all
    echoes (Rice), (K + 1)² / (2K + 1); endless is no fading.
    The receiver knows the rate of each payload. Raises ValueError for another m.
    """

    rate: Callable[[float], float]
    snr: float
    calm: float = 1.0

    def __post_init__(self) -> None:
        if not self.calm >= 0.5:
            raise ValueError(f"calm, Nakagami's m, must be at least 0.5, got {self.calm}")

    @property
    def mean(self) -> float:
        """The bit error rate in the mean over all strengths."""
        return float(self._rates((np.arange(POINTS) + 0.5) / POINTS).mean())

    @property
    def settings(self) -> dict[str, object]:
        return {"ber": self.mean, "snr": self.snr, "calm": self.calm, "link": "fading"}

    def channel(self, seed: int) -> Channel:
        """Return the channel of a seed; each strength and m has draws of its own."""
        draws = Draws(derived_seed(seed, "fading", self.snr, self.calm))

        def send(payload: Payload) -> Arrival:
            rates = self._rates(draws.uniform(len(payload)).double().numpy())
            return BinarySymmetric(torch.from_numpy(rates).float(), draws)(payload)

        return send

    def _rates(self, chance: np.ndarray) -> np.ndarray:
        """Return the rates of payloads whose power exceeds that of so large a share of all."""
        gains = gammaincinv(self.calm, chance) / self.calm
        levels = self.snr + 10 * np.log10(np.maximum(gains, 1e-12))
        return np.array([self.rate(each) for each in levels])
