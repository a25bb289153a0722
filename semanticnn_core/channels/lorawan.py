"""What a LoRa message costs: time on air, energy, and what the rules of a region allow.

Time on air is Semtech's formula (AN1200.13, and the SX1276's data sheet); sizes, spreading factors and limits are those
of the LoRaWAN regional parameters (1.0.3A and RP002-1.0.5), for devices whose frames a repeater may carry.
"""

import math
from dataclasses import dataclass

from semanticnn_core.channels.radio import check_spreading_factor

LORAWAN_OVERHEAD = 13
"""Bytes that LoRaWAN adds to an application payload: header, address, counter, port, integrity code."""


@dataclass(frozen=True)
class DataRate:
    """A data rate at 125 kHz: its spreading factor, and the largest application payload in bytes."""

    spreading_factor: int
    bytes: int


@dataclass(frozen=True)
class Region:
    """What a region allows: data rates by number, the share of time a device may send, and seconds a frame may take."""

    rates: dict[int, DataRate]
    duty_cycle: float = 1.0
    dwell: float = math.inf


REGIONS = {
    "EU868": Region(
        {0: DataRate(12, 51), 1: DataRate(11, 51), 2: DataRate(10, 51), 3: DataRate(9, 115), 4: DataRate(8, 222),
         5: DataRate(7, 222)},
        duty_cycle=0.01,
    ),
    "US915": Region({0: DataRate(10, 11), 1: DataRate(9, 53), 2: DataRate(8, 125), 3: DataRate(7, 222)}, dwell=0.4),
    "AS923": Region({2: DataRate(10, 11), 3: DataRate(9, 53), 4: DataRate(8, 125), 5: DataRate(7, 222)}, dwell=0.4),
}  # fmt: skip
"""EU868: the default channels' sub-band. AS923: where its limit on the dwell time holds."""


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
    check_spreading_factor(spreading_factor)
    if not 0 <= size <= 255 or not 1 <= coding_rate <= 4:
        raise ValueError(f"a LoRa packet has 0 to 255 bytes and a coding rate of 1 to 4, got {size} and {coding_rate}")
    symbol = 2**spreading_factor / bandwidth
    slow = symbol > 0.016
    bits = 8 * size - 4 * spreading_factor + 28 + 16 * checksum - 20 * (not header)
    symbols = 8 + max(math.ceil(bits / (4 * (spreading_factor - 2 * slow))) * (coding_rate + 4), 0)
    return (preamble + 4.25 + symbols) * symbol


def lorawan_time_on_air(size: int, data_rate: int, region: str = "EU868") -> float:
    """Return the seconds that `size` bytes are on air over LoRaWAN, in as many frames as they need.

    data_rate: one of the region's. Frames are as long as it allows, the last holds the rest.
    Raises ValueError for another data rate or region.
    """
    rate = lorawan_rate(data_rate, region)
    whole, rest = divmod(size, rate.bytes)
    frames = [rate.bytes] * whole + [rest] * (rest > 0)
    return sum(lora_time_on_air(each + LORAWAN_OVERHEAD, rate.spreading_factor) for each in frames)


def lorawan_rate(data_rate: int, region: str = "EU868") -> DataRate:
    """Return what a region's data rate is; a ValueError names those there are."""
    if region not in REGIONS:
        raise ValueError(f"region must be one of {', '.join(REGIONS)}, got {region!r}")
    rates = REGIONS[region].rates
    if data_rate not in rates:
        raise ValueError(f"data_rate must be {min(rates)} to {max(rates)} in {region}, got {data_rate}")
    return rates[data_rate]


def energy(seconds: float, current: float, voltage: float = 3.3) -> float:
    """Return the joules that sending for so many seconds takes at a current in amperes and a voltage in volts."""
    return seconds * current * voltage
