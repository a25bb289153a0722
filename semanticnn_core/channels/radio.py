"""Radio links: from signal to bit errors.

LoRa's rate of wrong bits is that of uncoded chirps in white noise, as Elshabrawy and Robert approximate it (IEEE
Communications Letters, 2018, doi 10.1109/LCOMM.2018.2849718); the exact rate of as many orthogonal signals, received
without phase, lies within 0.3 dB. Wi-Fi's rates are those of Gray-coded BPSK, QPSK and square QAM in white noise.
Both are without the radio's own code, which `chips` adds; `fading` lets the signal vary.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import erfc

from semanticnn_core.channels.bits import BinarySymmetric, derived_seed

SPREADING_FACTORS = range(7, 13)
Modulation = Literal["BPSK", "QPSK", "16-QAM", "64-QAM"]
BITS_PER_SYMBOL: dict[Modulation, int] = {"BPSK": 1, "QPSK": 2, "16-QAM": 4, "64-QAM": 6}


def tail(x: float) -> float:
    """Return Q(x), the chance that a standard normal number exceeds x."""
    return float(erfc(x / math.sqrt(2)) / 2)


def lora_ber(snr: float, spreading_factor: int) -> float:
    """Return LoRa's bit error rate in white noise, uncoded, in [0, 0.5].

    snr: in the signal's bandwidth, dB. spreading_factor: 7 to 12. Raises ValueError for another one.
    """
    check_spreading_factor(spreading_factor)
    linear = 10 ** (snr / 10)
    return tail(math.sqrt(linear * 2 ** (spreading_factor + 1)) - math.sqrt(1.386 * spreading_factor + 1.154)) / 2


def qam_ber(snr: float, modulation: Modulation) -> float:
    """Return the bit error rate of a Gray-coded modulation in white noise, uncoded, in [0, 0.5].

    snr: energy of a symbol over noise density, dB. Exact (Cho and Yoon, IEEE Transactions on Communications, 2002).
    Raises ValueError for a modulation that is not in `BITS_PER_SYMBOL`.
    """
    if modulation not in BITS_PER_SYMBOL:
        raise ValueError(f"modulation must be one of {', '.join(BITS_PER_SYMBOL)}, got {modulation!r}")
    bits, linear = BITS_PER_SYMBOL[modulation], 10 ** (snr / 10)
    if bits == 1:
        return tail(math.sqrt(2 * linear))
    levels = 2 ** (bits // 2)
    total = 0.0
    for bit in range(bits // 2):  # of an axis, the highest first
        for i in range(levels - levels // 2 ** (bit + 1)):
            at = i * 2**bit / levels
            times = (2**bit - math.floor(at + 0.5)) * (-1) ** math.floor(at)
            total += times * 2 * tail((2 * i + 1) * math.sqrt(3 * linear / (levels**2 - 1)))
    return total / levels / (bits // 2)


def rayleigh_bpsk_ber(snr: float) -> float:
    """Return BPSK's mean bit error rate where the signal fades after Rayleigh and the receiver knows its phase.

    snr: mean energy of a bit over noise density, dB.
    """
    linear = 10 ** (snr / 10)
    return 0.5 * (1 - math.sqrt(linear / (1 + linear)))


def check_spreading_factor(spreading_factor: int) -> None:
    """Refuse what is no spreading factor with a ValueError."""
    if spreading_factor not in SPREADING_FACTORS:
        raise ValueError(f"the spreading factor must be 7 to 12, got {spreading_factor}")


@dataclass(frozen=True)
class LoRa:
    """LoRa links of one signal-to-noise ratio, dB, and spreading factor; the receiver knows the bit error rate."""

    snr: float
    spreading_factor: int = 7

    def __post_init__(self) -> None:
        check_spreading_factor(self.spreading_factor)

    @property
    def settings(self) -> dict[str, object]:
        ber = lora_ber(self.snr, self.spreading_factor)
        return {"ber": ber, "snr": self.snr, "spreading_factor": self.spreading_factor}

    def channel(self, seed: int) -> BinarySymmetric:
        """Return the channel of a seed."""
        return BinarySymmetric(self.settings["ber"], derived_seed(seed, "LoRa", self.snr, self.spreading_factor))


@dataclass(frozen=True)
class WiFi:
    """Links of one modulation and signal-to-noise ratio, dB; the receiver knows the bit error rate."""

    snr: float
    modulation: Modulation = "BPSK"

    def __post_init__(self) -> None:
        qam_ber(self.snr, self.modulation)

    @property
    def settings(self) -> dict[str, object]:
        return {"ber": qam_ber(self.snr, self.modulation), "snr": self.snr, "modulation": self.modulation}

    def channel(self, seed: int) -> BinarySymmetric:
        """Return the channel of a seed."""
        return BinarySymmetric(self.settings["ber"], derived_seed(seed, "Wi-Fi", self.snr, self.modulation))
