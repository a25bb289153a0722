"""Radio links: from signal to bit errors, and what a message costs in time on air and energy.

LoRa's rate of wrong bits is that of uncoded chirps in white noise, as Elshabrawy and Robert approximate it (IEEE
Communications Letters, 2018, doi 10.1109/LCOMM.2018.2849718); the exact rate of as many orthogonal signals, received
without phase, lies within 0.3 dB. Time on air is Semtech's formula (AN1200.13, and the SX1276's data sheet).
Wi-Fi's rates are those of Gray-coded BPSK, QPSK and square QAM in white noise, without its convolutional code.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import erfc

from semanticnn_core.channels.bits import BinarySymmetric, derived_seed

SPREADING_FACTORS = range(7, 13)
Modulation = Literal["BPSK", "QPSK", "16-QAM", "64-QAM"]
BITS_PER_SYMBOL: dict[Modulation, int] = {"BPSK": 1, "QPSK": 2, "16-QAM": 4, "64-QAM": 6}
LORAWAN_BYTES = {0: 51, 1: 51, 2: 51, 3: 115, 4: 222, 5: 222}
"""Largest application payload by data rate in EU868 behind a repeater, bytes (LoRaWAN regional parameters)."""
LORAWAN_OVERHEAD = 13
"""Bytes that LoRaWAN adds to an application payload: header, address, counter, port, integrity code."""
DUTY_CYCLE = 0.01
"""Share of the time that a device may send in EU868's default channels."""


def tail(x: float) -> float:
    """Return Q(x), the chance that a standard normal number exceeds x."""
    return float(erfc(x / math.sqrt(2)) / 2)


def lora_ber(snr: float, spreading_factor: int) -> float:
    """Return LoRa's bit error rate in white noise, uncoded, in [0, 0.5].

    snr: in the signal's bandwidth, dB. spreading_factor: 7 to 12. Raises ValueError for another one.
    """
    _check_spreading_factor(spreading_factor)
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


def lora_time_on_air(
    size: int,
    spreading_factor: int,
    bandwidth: float = 125e3,
    coding_rate: int = 1,
    preamble: int = 8,
    header: bool = True,
    checksum: bool = True,
) -> float:
    """Return the seconds that a LoRa packet of `size` bytes is on air.

    bandwidth: Hz. coding_rate: 1 to 4 for 4/5 to 4/8. preamble: symbols. header: explicit header. checksum: the
    payload's CRC. Symbols longer than 16 ms use the low data rate mode, as the chips do.
    Raises ValueError for more than 255 bytes, which no packet holds.
    """
    _check_spreading_factor(spreading_factor)
    if not 0 <= size <= 255 or not 1 <= coding_rate <= 4:
        raise ValueError(f"a LoRa packet has 0 to 255 bytes and a coding rate of 1 to 4, got {size} and {coding_rate}")
    symbol = 2**spreading_factor / bandwidth
    slow = symbol > 0.016
    bits = 8 * size - 4 * spreading_factor + 28 + 16 * checksum - 20 * (not header)
    symbols = 8 + max(math.ceil(bits / (4 * (spreading_factor - 2 * slow))) * (coding_rate + 4), 0)
    return (preamble + 4.25 + symbols) * symbol


def lorawan_time_on_air(size: int, data_rate: int) -> float:
    """Return the seconds that `size` bytes are on air over LoRaWAN in EU868, in as many frames as they need.

    data_rate: 0 to 5, spreading factors 12 to 7. Frames are as long as the data rate allows, the last holds the rest.
    """
    if data_rate not in LORAWAN_BYTES:
        raise ValueError(f"data_rate must be 0 to 5, got {data_rate}")
    most, factor = LORAWAN_BYTES[data_rate], 12 - data_rate
    whole, rest = divmod(size, most)
    frames = [most] * whole + [rest] * (rest > 0)
    return sum(lora_time_on_air(each + LORAWAN_OVERHEAD, factor) for each in frames)


def energy(seconds: float, current: float, voltage: float = 3.3) -> float:
    """Return the joules that sending for so many seconds takes at a current in amperes and a voltage in volts."""
    return seconds * current * voltage


def _check_spreading_factor(spreading_factor: int) -> None:
    if spreading_factor not in SPREADING_FACTORS:
        raise ValueError(f"the spreading factor must be 7 to 12, got {spreading_factor}")


@dataclass(frozen=True)
class LoRa:
    """LoRa links of one signal-to-noise ratio, dB, and spreading factor; the receiver knows the bit error rate."""

    snr: float
    spreading_factor: int = 7

    def __post_init__(self) -> None:
        _check_spreading_factor(self.spreading_factor)

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
