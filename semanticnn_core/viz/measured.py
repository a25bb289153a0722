"""Systems measured on one data set, beside the numbers that others report: tables and a figure.

A measured table is what `semanticnn evaluate --out` writes, see `evaluation.publish`. A reported one has the columns
system, network, bytes (8 bits a value), float_bytes (the paper's convention), clean_accuracy, accuracy (with bit errors
of 0.01–5 %, drawn at random) and source.
"""

from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation.publish import read_results
from semanticnn_core.files import located
from semanticnn_core.viz.figures import panes
from semanticnn_core.viz.style import COLORS, CYCLE, percent


def load_measured(dataset: str, root: str | Path = "data") -> pd.DataFrame:
    """Return the published table of a data set; a missing one is a FileNotFoundError, another file a ValueError."""
    return read_results(located(root) / "results" / f"{dataset}.csv")


def load_reported(dataset: str, root: str | Path = "data") -> pd.DataFrame:
    """Return what others report on a data set; a FileNotFoundError where nothing was collected."""
    return pd.read_csv(located(root) / "results" / f"{dataset}-reported.csv")


def uncompressed_accuracy(table: pd.DataFrame) -> float:
    """Return the accuracy of the uncompressed network in a measured table."""
    return float(table.loc[table["system"] == UNCOMPRESSED, "accuracy"].iloc[0])


def whole_codes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of systems that send their whole code, not those of the uncompressed network."""
    return table[(table["system"] != UNCOMPRESSED) & (table["slice_ratio"] == 1)]


def grid_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each system bytes, the mean accuracy over 0.01–5 % errors with its std over the seeds, and the loss.

    lost: what that mean lies below the uncompressed network. Systems that lack a rate of the grid are left out.
    """
    grid = whole_codes(table)[lambda rows: rows["ber"].isin(BER_GRID)]
    grid = grid[grid.groupby("system")["ber"].transform("nunique") == len(BER_GRID)]
    seeds = grid.groupby(["system", "bytes", "seed"], sort=False)["accuracy"].mean()
    means = seeds.groupby(["system", "bytes"], sort=False).agg(accuracy="mean", accuracy_std="std").reset_index()
    return means.assign(lost=uncompressed_accuracy(table) - means["accuracy"])


def paired(table: pd.DataFrame, ours: str, other: str) -> pd.DataFrame:
    """Return per bit error rate mean and std over the channel seeds of the accuracy of one system less another's."""
    cells = whole_codes(table).pivot_table(index=["ber", "seed"], columns="system", values="accuracy")
    difference = (cells[ours] - cells[other]).dropna()
    return difference.groupby("ber").agg(difference="mean", std="std").reset_index()


def measured_table(table: pd.DataFrame) -> pd.DataFrame:
    """Write a measured table for reading: a row a bit error rate, a column a system, accuracies in per cent.

    Where there are two systems a last column has the first less the second in points, see `paired`.
    """
    columns, means = {}, grid_means(table).set_index("system")
    for name, rows in whole_codes(table).groupby("system", sort=False):
        cells = {
            percent(ber): _points(each["accuracy"].mean(), each["accuracy"].std()) for ber, each in rows.groupby("ber")
        }
        if name in means.index:
            mean = means.loc[name]
            cells["mean over 0.01–5 %"] = _points(mean["accuracy"], mean["accuracy_std"])
            cells["points lost"] = f"{100 * mean['lost']:.2f}"
        columns[f"{name}, {rows['bytes'].iloc[0]:.0f} B"] = cells
    if len(names := whole_codes(table)["system"].unique()) == 2:
        differences = paired(table, *names).itertuples()
        columns["difference"] = {percent(row.ber): _points(row.difference, row.std, "+") for row in differences}
    shown = pd.DataFrame(columns).fillna("")
    shown.index.name = f"bit error rate (uncompressed: {100 * uncompressed_accuracy(table):.2f} %)"
    return shown


def _points(mean: float, std: float, sign: str = "") -> str:
    return f"{100 * mean:{sign}.2f}" + (f" ± {100 * std:.2f}" if pd.notna(std) else "")


def compared_table(table: pd.DataFrame, reported: pd.DataFrame) -> pd.DataFrame:
    """Put systems of MobileNetV2 measured here beside what others report: bytes in both conventions, and losses."""
    here = grid_means(table).assign(
        network="MobileNetV2", source="measured here", clean_accuracy=uncompressed_accuracy(table)
    )
    both = pd.concat([here.assign(float_bytes=here["bytes"]), reported], ignore_index=True)
    shown = both[["system", "network"]].copy()
    for title, name in {"bytes, 8 bits a value": "bytes", "bytes, 32-bit floats": "float_bytes"}.items():
        shown[title] = [f"{value:,.0f}" if pd.notna(value) else "" for value in both[name]]
    shares = {"uncompressed, %": both["clean_accuracy"], "with bit errors, %": both["accuracy"]}
    for title, values in (shares | {"points lost": both["clean_accuracy"] - both["accuracy"]}).items():
        shown[title] = [f"{100 * value:.2f}" if pd.notna(value) else "" for value in values]
    return shown.assign(source=both["source"]).set_index("system")


def draw_measured(table: pd.DataFrame, reported: pd.DataFrame, again: pd.DataFrame | None = None) -> Figure:
    """Draw accuracy over the bit error rate of systems that send their whole code, and what is lost in the mean.

    reported: what others report, drawn as hatched bars. again: rows of the same kind as `table`, its uncompressed
    network included, drawn as open marks.
    """
    figure, axes = panes(1, 2, (10.5, 4.0), gridspec_kw={"width_ratios": [1.5, 1]})
    axis, whole = axes[0, 0], whole_codes(table)
    colors = dict(zip(whole["system"].unique(), cycle(CYCLE)))
    for name, rows in whole.groupby("system", sort=False):
        _curve(axis, rows, f"{name}, {rows['bytes'].iloc[0]:.0f} B", color=colors[name], fmt="o-")
    _level(axis, table, "uncompressed", COLORS["gray"])
    if again is not None:
        for name, rows in whole_codes(again).groupby("system", sort=False):
            _curve(axis, rows, name, color=COLORS["black"], fmt="D", mfc="none")
        _level(axis, again, "uncompressed, now", COLORS["black"])
    rates = sorted(set(whole["ber"]) - {0.0})
    axis.set(xscale="log", xlabel="bit error rate", ylabel="accuracy, %")
    axis.set_title(f"mean ± std over {whole['seed'].nunique()} channel seeds")
    axis.set_xticks(rates, [percent(rate) for rate in rates])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="lower left")
    _losses(axes[0, 1], grid_means(table), reported, colors)
    return figure


def _curve(axis: Axes, rows: pd.DataFrame, label: str, **look) -> None:
    stats = 100 * rows[rows["ber"] > 0].groupby("ber")["accuracy"].agg(["mean", "std"]).fillna(0)
    axis.errorbar(stats.index, stats["mean"], stats["std"], label=label, capsize=3, ms=5, **look)


def _level(axis: Axes, table: pd.DataFrame, label: str, color: str) -> None:
    height = 100 * uncompressed_accuracy(table)
    axis.axhline(height, ls="--", lw=1.2, color=color, label=f"{label}: {height:.1f} %")


def _losses(axis: Axes, means: pd.DataFrame, reported: pd.DataFrame, colors: dict[str, str]) -> None:
    """Draw the points lost as bars, the measured above the reported."""
    bars = [(f"{row.system}\n{row.bytes:.0f} B", row.lost, {"color": colors[row.system]}) for row in means.itertuples()]
    for row in reported.dropna(subset="accuracy").itertuples():
        look = {"color": COLORS["light"], "hatch": "//", "edgecolor": COLORS["gray"]}
        label = f"paper: {row.system},\n{row.network}, {row.float_bytes:,.0f} B"  # as the paper counts
        bars.append((label, row.clean_accuracy - row.accuracy, look))
    for place, (_, lost, look) in enumerate(bars):
        axis.barh(place, 100 * lost, 0.65, **look)
        axis.text(100 * lost + 0.5, place, f"{100 * lost:.1f}", va="center", fontsize=10)
    axis.set_yticks(np.arange(len(bars)), [label for label, *_ in bars])
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="points", title="lost in the mean over 0.01–5 % errors")
