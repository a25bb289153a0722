"""Figures of the benchmark: accuracy over error rates, and every system in its place."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from semanticnn_core.config import percent
from semanticnn_core.evaluation.ranking import EVEN, GRID, OURS, independent, ranking
from semanticnn_core.viz.style import COLORS, CYCLE, panes, plain

MARKS = "osD^vPX"
SHOWN = 15.0


def draw_rivals(table: pd.DataFrame, systems: Sequence[str]) -> Figure:
    """Draw the score over bit error rates of some systems, as far as the table has them; bars: std over trainings.

    What falls more than `SHOWN` points below the best leaves the picture, or nobody could tell the others apart.
    """
    table, (figure, axes) = independent(table), panes(size=(9.5, 4.2))
    axis = axes[0, 0]
    means = table.groupby(["system", "ber", "train_seed"], sort=False)["score"].mean()
    for number, name in enumerate(each for each in systems if each in set(table["system"])):
        stats = 100 * means[name].groupby("ber").agg(["mean", "std"]).fillna(0)
        look = {"marker": MARKS[number % len(MARKS)], "color": CYCLE[number % len(CYCLE)]}
        look |= {"lw": 3.0, "zorder": 3} if name == OURS else {"lw": 1.5}
        axis.errorbar(stats.index, stats["mean"], stats["std"], capsize=3, ms=5, label=plain(name), **look)
    chosen = means[means.index.isin(systems, level="system")].groupby(["system", "ber"]).mean()
    top = 100.0 if chosen.empty else 100 * chosen.max()
    rates = sorted(table["ber"].unique())
    axis.set(xscale="log", xlabel="bit error rate", ylabel=f"{_metric(table)}, %", ylim=(top - SHOWN, top + 1))
    axis.set_xticks(rates, [percent(rate) for rate in rates])
    axis.xaxis.set_minor_locator(NullLocator())
    if not chosen.empty:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_places(table: pd.DataFrame) -> Figure:
    """Draw every system's score in both means and at the worst rate, the best on top, with its bytes and work.

    Names of faithful rows stand in brackets. Work is the device's, in thousand multiply-accumulates of networks.
    """
    metric, places = _metric(table), ranking(table).iloc[::-1]
    worst = max(each for each in places.columns if isinstance(each, float))
    figure, axes = panes(size=(9.5, 0.33 * len(places) + 1.0))
    axis = axes[0, 0]
    for number, (name, mark) in enumerate({GRID: "o", EVEN: "D", worst: "x"}.items()):
        label = f"at {percent(name)}" if name == worst else name
        axis.plot(100 * places[name], range(len(places)), mark, color=CYCLE[number], ms=6, label=label)
    names = [plain(name if row["kind"] != "faithful" else f"[{name}]") for name, row in places.iterrows()]
    axis.set_yticks(range(len(places)), names, fontsize=9)
    for label in axis.get_yticklabels():
        if label.get_text() == OURS:
            label.set_color(COLORS["red"])
    right = axis.secondary_yaxis("right")
    costs = [f"{row['bytes']:,.0f} B, {row['device_macs'] / 1e3:,.0f} k" for _, row in places.iterrows()]
    right.set_yticks(range(len(places)), costs, fontsize=9)
    right.set_ylabel("bytes, device's multiply-accumulates")
    axis.set(xlabel=f"{metric}, %", xlim=(0, 101))
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    return figure


def _metric(table: pd.DataFrame) -> str:
    """Return what the score of a table is called."""
    return str(table["metric"].iloc[0]) if len(table) else "score"
