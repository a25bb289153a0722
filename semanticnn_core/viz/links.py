"""Figures of real links: what a signal makes of bits, a day or a walk, and messages that lose parts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from semanticnn_core.channels.radio import BITS_PER_SYMBOL, SPREADING_FACTORS, lora_ber, qam_ber
from semanticnn_core.viz.style import COLORS, CYCLE, panes, plain

USABLE = (1e-4, 0.1)
"""Bit error rates between which codecs bend: below nothing happens, above hardly anything is left."""


def draw_radio() -> Figure:
    """Draw bit error rates over the signal-to-noise ratio, LoRa's spreading factors and QAM; grey: what codecs bear."""
    figure, (axes,) = panes(1, 2, (9.5, 3.8), sharey=True)
    lora, qam = np.linspace(-26, -4, 200), np.linspace(-4, 26, 200)
    for factor, color in zip(SPREADING_FACTORS, CYCLE, strict=False):
        axes[0].plot(lora, [lora_ber(each, factor) for each in lora], color=color, label=f"SF{factor}")
    for name, color in zip(BITS_PER_SYMBOL, CYCLE, strict=False):
        axes[1].plot(qam, [qam_ber(each, name) for each in qam], color=color, label=name)
    for axis, title in zip(axes, ("LoRa, no code", "Wi-Fi's modulations, no code"), strict=True):
        axis.axhspan(*USABLE, color=COLORS["light"], alpha=0.5, zorder=0)
        axis.set(yscale="log", ylim=(1e-6, 0.6), title=title, xlabel="signal-to-noise ratio, dB")
        axis.legend(loc="lower left")
    axes[0].set_ylabel("bit error rate")
    return figure


def draw_along(table: pd.DataFrame, unit: float, xlabel: str, window: int = 24) -> Figure:
    """Draw a trace's bit error rate, and below it how many images of each system are answered right.

    table: as `along` returns it. unit: seconds of one of the axis. window: images a moving mean is taken over.
    """
    figure, axes = panes(2, 1, (9.5, 5.2), sharex=True, height_ratios=(1, 1.4))
    (above,), (below,) = axes
    first = table[table["system"] == table["system"].iloc[0]]
    above.plot(first["seconds"] / unit, first["ber"].clip(lower=1e-5), color=COLORS["gray"], lw=1)
    above.set(yscale="log", ylabel="bit error rate", ylim=(8e-6, 0.6))
    above.axhspan(*USABLE, color=COLORS["light"], alpha=0.5, zorder=0)
    for (name, rows), color in zip(table.groupby("system", sort=False), CYCLE, strict=False):
        mean = rows["right"].rolling(window, center=True, min_periods=window // 3).mean()
        label = f"{plain(name)}: {rows['right'].mean():.0%} of all"
        below.plot(rows["seconds"] / unit, mean, color=color, label=label)
    below.set(xlabel=xlabel, ylabel=f"right, mean of {window}", ylim=(0, 1.03))
    below.set_xlim(0, first["seconds"].max() / unit)
    below.yaxis.set_major_formatter(PercentFormatter(1.0))
    below.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize=9)
    return figure


def draw_orders(table: pd.DataFrame, systems: Sequence[str]) -> Figure:
    """Draw accuracy over the mean length of bursts and over lost packets, with and without an interleaver.

    table: of kind "links". A colour a system, dashed without an interleaver.
    """
    figure, (axes,) = panes(1, 2, (9.5, 3.8), sharey=True)
    parts = {"length": table[table["loss"].isna()], "loss": table[table["loss"].notna()]}
    for axis, (name, rows) in zip(axes, parts.items(), strict=True):
        for system, color in zip(systems, CYCLE, strict=False):
            for spread in (True, False):
                own = rows[(rows["system"] == system) & (rows["interleaved"] == spread)]
                stats = own.groupby(name)["accuracy"].agg(["mean", "std"])
                look = {"color": color, "ls": "-" if spread else "--", "marker": "o" if spread else "s", "ms": 5}
                label = f"{plain(system)}{', interleaved' if spread else ''}"
                axis.errorbar(stats.index, 100 * stats["mean"], 100 * stats["std"], capsize=3, label=label, **look)
    axes[0].set(xscale="log", xlabel="mean length of bursts, bits", ylabel="accuracy, %")
    axes[0].set_title(f"bursts, {parts['length']['ber'].max():.0%} of the bits wrong")
    axes[0].set_xticks(sorted(parts["length"]["length"].unique()))
    axes[0].xaxis.set_major_formatter("{x:g}")
    axes[0].minorticks_off()
    axes[1].set(xlabel="share of 48-byte packets lost", title="lost packets")
    axes[1].xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    return figure
