"""What a message costs on LoRaWAN: time on air, energy, and how many fit a day's duty cycle."""

from collections.abc import Mapping

import pandas as pd

from semanticnn_core.channels.lorawan import REGIONS, energy, lorawan_rate, lorawan_time_on_air
from semanticnn_core.channels.traces import DAY

CURRENT = 0.044
"""Amperes of a transmitter at 14 dBm, such as the SX1276's."""


def airtime_table(
    sizes: Mapping[str, float], data_rates: tuple[int, ...] = (5, 3, 0), region: str = "EU868"
) -> pd.DataFrame:
    """Write for reading what messages of so many bytes cost: a row a message, three columns a data rate.

    Time on air in seconds, energy in joules (44 mA at 3.3 V), and messages a day at the region's duty cycle.
    Raises ValueError for a region or data rate that does not exist.
    """
    columns: dict[str, dict[str, str]] = {}
    for name, size in sizes.items():
        cells = {"bytes": f"{size:,.0f}"}
        for rate in data_rates:
            seconds = lorawan_time_on_air(round(size), rate, region)
            factor = f"SF{lorawan_rate(rate, region).spreading_factor}"
            cells[f"{factor}: seconds"] = f"{seconds:,.1f}"
            cells[f"{factor}: joules"] = f"{energy(seconds, CURRENT):,.2f}"
            cells[f"{factor}: images a day"] = f"{REGIONS[region].duty_cycle * DAY / seconds:,.0f}"
        columns[name] = cells
    return pd.DataFrame.from_dict(columns, "index").rename_axis("system")
