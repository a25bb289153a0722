"""What instructions and bytes may come to on a board: estimates, as no board was measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Assumptions:
    """What the estimates rest on; put in the numbers of your own board and link."""

    clock: float = 480e6
    """Hz; the STM32H750's highest."""
    cycles: tuple[float, float] = (1.0, 1.5)
    """Cycles an instruction: all operands at hand, and with waits for flash and cache."""
    watts: float = 0.5
    """Of the busy microcontroller; a round figure for 150 mA at 3.3 V."""
    link: float = 250e3
    """Bits a second over the air; that of IEEE 802.15.4."""
    link_watts: float = 0.1
    """Of the radio while it sends; a round figure for 30 mA at 3.3 V."""


def estimate(schemes: Mapping[str, tuple[int, int]], given: Assumptions = Assumptions()) -> pd.DataFrame:
    """Return milliseconds and millijoules, lowest and highest, of schemes that get an image out.

    schemes: instructions and bytes of each. Computing and sending come one after the other; headers, acknowledgements
    and sleep are left out.
    """
    rows = {}
    for name, (instructions, count) in schemes.items():
        computing = [1e3 * instructions * each / given.clock for each in given.cycles]
        sending = 1e3 * 8 * count / given.link
        energy = [each * given.watts + sending * given.link_watts for each in computing]
        rows[name] = {
            "bytes": count,
            "computing, ms": _span(computing),
            "sending, ms": f"{sending:.1f}",
            "energy, mJ": _span(energy),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _span(values: list[float]) -> str:
    low, high = (f"{each:.2g}" if each < 10 else f"{each:.0f}" for each in values)
    return low if low == high else f"{low}–{high}"
