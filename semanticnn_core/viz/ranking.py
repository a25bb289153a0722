"""Figures of the benchmark: accuracy over error rates, over bytes and over the device's work."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from semanticnn_core.config import percent
from semanticnn_core.evaluation.ranking import GRID, OURS, ranking
from semanticnn_core.evaluation.tables import limit_line
from semanticnn_core.viz.style import COLORS, CYCLE, panes, plain

MARKS = "osD^vPX"


def draw_rivals(table: pd.DataFrame, systems: Sequence[str], levers: pd.DataFrame | None = None) -> Figure:
    """Draw accuracy over bit error rates of some systems, as far as the table has them; bars: std over trainings.

    levers: the table of levers, for the limit line that perfect error correction would draw.
    """
    figure, axes = panes(size=(9.5, 4.2))
    axis = axes[0, 0]
    means = table.groupby(["system", "ber", "train_seed"], sort=False)["accuracy"].mean()
    for number, name in enumerate(each for each in systems if each in set(table["system"])):
        stats = 100 * means[name].groupby("ber").agg(["mean", "std"]).fillna(0)
        look = {"marker": MARKS[number % len(MARKS)], "color": CYCLE[number % len(CYCLE)]}
        look |= {"lw": 3.0, "zorder": 3} if name == OURS else {"lw": 1.5}
        axis.errorbar(stats.index, stats["mean"], stats["std"], capsize=3, ms=5, label=plain(name), **look)
    if levers is not None:
        limit = 100 * limit_line(levers)["limit"]
        axis.plot(limit.index, limit, ls=":", color=COLORS["black"], label="limit: perfect correction")
    rates = sorted(table["ber"].unique())
    axis.set(xscale="log", xlabel="bit error rate", ylabel="accuracy, %")
    axis.set_xticks(rates, [percent(rate) for rate in rates])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_sizes(table: pd.DataFrame, label: Sequence[str] = ()) -> Figure:
    """Draw the mean accuracy over the grid against bytes, and against the device's multiply-accumulates.

    Filled: fair rows, open: faithful ones. label: systems whose names stand beside their marks; all when left out.
    """
    figure, axes = panes(1, 2, (10.5, 4.6), sharey=True)
    places = ranking(table)
    for axis, column, title in zip(axes[0], ("bytes", "device_macs"), ("bytes", "device, MACs"), strict=True):
        for number, (name, row) in enumerate(places.iterrows()):
            color = COLORS["red"] if name == OURS else COLORS["blue"]
            look = {"color": color} if row["kind"] == "fair" else {"color": color, "mfc": "none"}
            axis.plot(max(row[column], 1), 100 * row[GRID], "o", ms=7, **look)
            if not label or name in label:
                at = (6, 3 if number % 2 else -9)
                axis.annotate(
                    plain(name), (max(row[column], 1), 100 * row[GRID]), at, textcoords="offset points", fontsize=8
                )
        axis.set(xscale="log", xlabel=title)
    axes[0, 0].set_ylabel(f"accuracy, {GRID}, %")
    axes[0, 1].set_xlabel("device, multiply-accumulates (1: no network)")
    return figure
