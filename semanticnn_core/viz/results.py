"""Figures of published measurements: schemes, limits, and systems beside what others report."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from semanticnn_core.config import percent
from semanticnn_core.evaluation.tables import (
    against_released,
    budget,
    grid_means,
    lever_curves,
    limit_line,
    per_training,
    uncompressed_accuracy,
    whole_codes,
)
from semanticnn_core.viz.figures import draw_curves
from semanticnn_core.viz.style import COLORS, CYCLE, panes, plain

MARKS = {"ours": "o", "ours, 4 centers": "^", "released": "s"}
"""Schemes, as `draw_schemes` marks them."""


def draw_schemes(table: pd.DataFrame) -> Figure:
    """Draw the schemes at the `budget`: accuracy with its spread over trainings, and pairs with the released one."""
    size = budget(table)
    figure, axes = panes(1, 2, (10, 3.8), gridspec_kw={"width_ratios": [1.4, 1]})
    means = per_training(table[table["bytes"] == size])
    draw_curves(means, "accuracy", "scheme", f"accuracy at {size} B, %", axis=axes[0, 0])
    axes[0, 0].set_title("mean ± std over trainings")
    axis, order = axes[0, 1], list(means["scheme"].unique())
    axis.axhline(0, color=COLORS["gray"], lw=1.2)
    for name, differences in against_released(table).items():
        places = np.arange(len(differences)) + 0.12 * order.index(name)
        axis.errorbar(
            places, 100 * differences["difference"], 100 * differences["standard_error"].fillna(0),
            fmt=MARKS[name], capsize=4, color=CYCLE[order.index(name)], label=name,
        )  # fmt: skip
    axis.set_xticks(range(len(differences)), [percent(ber) for ber in differences["ber"]])
    axis.set(xlabel="bit error rate", ylabel="points", title="ours − released, pair by pair (± s.e.)")
    return figure


def draw_kept(table: pd.DataFrame, metric: str) -> Figure:
    """Draw the score, and the error of the feature, over how many numbers of each square were kept, by what chose them.

    table: of `studies.components.kept_components`. metric: the task's, a column of it.
    """
    figure, axes = panes(1, 2, (9.5, 3.4))
    labels = {"varies": "those that vary most", "matters": "those that matter most"}
    for axis, column, scale in zip(axes[0], (metric, "feature_mse"), (100, 1), strict=True):
        for chosen, marker in zip(labels, "os", strict=True):
            rows = table[table["chosen"] == chosen]
            axis.plot(rows["kept"], scale * rows[column], marker=marker, ms=5, label=labels[chosen])
        axis.set(xscale="log", xlabel="numbers kept of each square")
        axis.set_xticks(sorted(set(table["kept"])), [str(each) for each in sorted(set(table["kept"]))])
        axis.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set(ylabel=f"{metric}, %")
    axes[0, 1].set(ylabel="MSE of the feature")
    axes[0, 0].legend()
    return figure


def draw_specialists(table: pd.DataFrame) -> Figure:
    """Draw ours, trained over all bit error rates, beside codecs that were trained at one (the paper's Figure 8)."""
    curves = lever_curves(table[table["variant"].str.match("ours$|trained at")])
    alone = curves["train_seed"].isin(curves.loc[curves["variant"] != "ours", "train_seed"])  # the same trainings
    order = sorted(curves["variant"].unique(), key=lambda name: -1 if name == "ours" else float(name.split()[-2]))
    named = curves[alone].assign(place=curves["variant"].map(order.index)).sort_values("place", kind="stable")
    return draw_curves(
        named.replace({"variant": {"ours": "trained at 0.1–10 %"}}), "accuracy", "variant", "accuracy, %"
    )


def draw_limit(table: pd.DataFrame, others: tuple[str, ...] = ("hard correction",)) -> Figure:
    """Draw ours and other variants over the bit error rate, and the line that no error-correcting code passes."""
    curves = lever_curves(table)
    figure = draw_curves(curves[curves["variant"].isin(("ours", *others))], "accuracy", "variant", "accuracy, %")
    line, axis = limit_line(table)["limit"], figure.axes[0]
    axis.plot(line.index, 100 * line, "--", color=COLORS["black"], lw=1.2, label="perfect correction: the limit")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_measured(table: pd.DataFrame, reported: pd.DataFrame, again: pd.DataFrame | None = None) -> Figure:
    """Draw accuracy over the bit error rate of systems that send their whole code, and what is lost in the mean.

    reported: what others report, drawn as hatched bars. again: rows of the same kind as `table`, its uncompressed
    network included, drawn as open marks.
    """
    figure, axes = panes(1, 2, (10.5, 4.0), gridspec_kw={"width_ratios": [1.5, 1]})
    axis, whole = axes[0, 0], whole_codes(table)
    colors = dict(zip(whole["system"].unique(), cycle(CYCLE)))
    for name, rows in whole.groupby("system", sort=False):
        _curve(axis, rows, f"{plain(name)}, {rows['bytes'].iloc[0]:.0f} B", color=colors[name], fmt="o-")
    _level(axis, table, "uncompressed", COLORS["gray"])
    if again is not None:
        for name, rows in whole_codes(again).groupby("system", sort=False):
            _curve(axis, rows, plain(name), color=COLORS["black"], fmt="D", mfc="none")
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
    bars = [
        (f"{plain(row.system)}\n{row.bytes:.0f} B", row.lost, {"color": colors[row.system]})
        for row in means.itertuples()
    ]
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
