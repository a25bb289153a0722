"""Bit error rates over time: simulated days and walks, and files that anybody can record.

A trace is a table: `seconds` from its start, `snr` in dB where known, `ber` in [0, 0.5]. The simulated ones are
models from the literature with numbers chosen here, not measurements: a log-distance path loss with walls, log-normal
shadowing that changes slowly, and Rayleigh fading from packet to packet.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from semanticnn_core.channels.radio import Modulation, lora_ber, qam_ber

COLUMNS = ("seconds", "ber")
DAY = 24 * 3600.0
WALK = ((0, 2), (60, 4), (120, 9), (200, 14), (300, 14), (380, 9), (440, 5), (500, 3), (600, 2))
"""A walk through a flat and back: seconds, and metres from the access point."""
WALLS = (3.5, 7.0, 11.0)
"""Distances of walls, metres."""


def lora_day(
    seed: int = 0, every: float = 300.0, snr: float = -9.0, swing: float = 1.0, spreading_factor: int = 7
) -> pd.DataFrame:
    """Return a simulated day of a LoRa sensor, a row every so many seconds.

    The mean SNR (dB, in the signal's bandwidth) is best at four in the morning and worst at four in the afternoon, by
    `swing` dB each way; shadowing of 1 dB changes over half an hour. Bit errors are those of `lora_ber`.
    """
    random = np.random.default_rng(seed)
    seconds = np.arange(0.0, DAY, every)
    level = snr + swing * np.cos(2 * math.pi * (seconds / DAY - 4 / 24))
    level = level + _shadowing(random, len(seconds), every / 1800, 1.0)
    ber = [lora_ber(each, spreading_factor) for each in level]
    return pd.DataFrame({"seconds": seconds, "snr": level, "ber": ber})


def wifi_walk(seed: int = 0, every: float = 2.0, modulation: Modulation = "QPSK", near: float = 40.0) -> pd.DataFrame:
    """Return a simulated walk of ten minutes through a flat with an access point, a row every so many seconds.

    near: mean SNR two metres from the access point, dB. It falls with the third power of the distance and by 4 dB a
    wall; shadowing of 2 dB changes over five seconds, and each row fades after Rayleigh, no deeper than 12 dB (two
    antennas). Bit errors are those of `qam_ber`, without Wi-Fi's own code.
    """
    random = np.random.default_rng(seed)
    seconds = np.arange(0.0, WALK[-1][0], every)
    metres = np.interp(seconds, *zip(*WALK, strict=True))
    walls = (metres[:, None] > np.array(WALLS)).sum(1)
    level = near - 30 * np.log10(metres / 2) - 4 * walls + _shadowing(random, len(seconds), every / 5, 2.0)
    level = level + np.maximum(10 * np.log10(random.exponential(size=len(seconds))), -12)
    ber = [qam_ber(each, modulation) for each in level]
    return pd.DataFrame({"seconds": seconds, "metres": metres, "snr": level, "ber": ber})


def read_trace(path: str | Path) -> pd.DataFrame:
    """Read a trace from a CSV file with the columns seconds and ber; further ones are kept.

    Raises ValueError, naming column and row, for what is missing or out of range.
    """
    table = pd.read_csv(Path(path).expanduser())
    for name in COLUMNS:
        if name not in table:
            raise ValueError(f"{path} lacks the column {name!r}; a trace has {' and '.join(COLUMNS)}")
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = ~values.between(0, 0.5) if name == "ber" else ~(values >= 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            span = "in [0, 0.5]" if name == "ber" else "at least 0"
            raise ValueError(f"{path}, line {row + 2}: {name} must be {span}, got {table[name].iloc[row]}")
        table[name] = values
    if not len(table) or (table["seconds"].diff() < 0).any():
        raise ValueError(f"{path} must hold rows in the order of their seconds")
    return table


def _shadowing(random: np.random.Generator, count: int, step: float, deviation: float) -> np.ndarray:
    """Return normal numbers, each like the one before as far as `step` (in times of change) is short."""
    like, values = math.exp(-step), random.standard_normal(count)
    for number in range(1, count):
        values[number] = like * values[number - 1] + math.sqrt(1 - like**2) * values[number]
    return deviation * values
