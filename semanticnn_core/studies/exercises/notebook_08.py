"""Exercises of notebook 08: a spreading factor for a day, its bad moments, a sturdier modulation."""

from typing import Any

import pandas as pd

from semanticnn_core.channels.lorawan import REGIONS, lorawan_time_on_air
from semanticnn_core.channels.traces import DAY, lora_day, wifi_walk
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation.along import along
from semanticnn_core.studies.exercises.answers import check_choice, check_percent
from semanticnn_core.systems.base import OffloadSystem

FACTORS = {7: 5, 8: 4, 9: 3, 10: 2, 11: 1, 12: 0}
"""Spreading factors, and LoRaWAN's number of the data rate that has each."""
FACTORS_TRIED = (7, 8, 9)
"""Larger ones send too few messages a day to be ahead, were all of them right."""


def messages_a_day(size: int, factor: int) -> float:
    """Return how many messages of `size` bytes a day the duty cycle allows at a spreading factor (EU868)."""
    return REGIONS["EU868"].duty_cycle * DAY / lorawan_time_on_air(size, FACTORS[factor])


def right_a_day(system: OffloadSystem, split: Split, seed: int, snr: float, factor: int) -> float:
    """Return how many images of a simulated day are answered right: those the duty cycle allows, times the share."""
    table = along([system], split, lora_day(seed, snr=snr, spreading_factor=factor), seed)
    return messages_a_day(round(table["bytes"].mean()), factor) * table["right"].mean()


def best_factor(answer: Any, system: OffloadSystem, split: Split, seed: int, snr: float = -14.0) -> None:
    """Check exercise 1: the spreading factor with most right answers a day at a mean signal-to-noise ratio in dB."""

    def right() -> int:
        return max(FACTORS_TRIED, key=lambda factor: right_a_day(system, split, seed, snr, factor))

    hint = "Multiply the images a day by the share that is right, for three factors or four."
    check_choice(answer, right, tuple(FACTORS), hint)


def bad_moments(answer: Any, trace: pd.DataFrame, ber: float = 0.05) -> None:
    """Check exercise 2: the share of a trace's moments with more than a bit error rate, in %."""
    check_percent(answer, lambda: (trace["ber"] > ber).mean(), 0.6, "Compare the column `ber` with 0.05, a share.")


def right_with_bpsk(answer: Any, system: OffloadSystem, split: Split, seed: int) -> None:
    """Check exercise 3: the share of images answered right on the walk when each symbol carries one bit, in %."""

    def right() -> float:
        return along([system], split, wifi_walk(seed, modulation="BPSK"), seed)["right"].mean()

    check_percent(answer, right, 0.6, 'Give `along` the trace `wifi_walk(seed, modulation="BPSK")`.')
