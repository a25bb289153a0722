"""Figures of published measurements: schemes, byte budgets, and systems beside what others report."""

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

STYLES = {
    "ours": ("o", "-", "circles"),
    "ours, 4 centers": ("^", "--", "triangles"),
    "released": ("s", "none", "squares"),
}
"""Schemes, as `draw_budgets` marks and joins them, and what its title calls the marks."""


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
            fmt=STYLES[name][0], capsize=4, color=CYCLE[order.index(name)], label=name,
        )  # fmt: skip
    axis.set_xticks(range(len(differences)), [percent(ber) for ber in differences["ber"]])
    axis.set(xlabel="bit error rate", ylabel="points", title="ours − released, pair by pair (± s.e.)")
    return figure


def draw_budgets(table: pd.DataFrame, least_ber: float = 0.01) -> Figure:
    """Draw accuracy against the bytes sent, a colour a bit error rate and a mark a scheme; faint: a single training."""
    figure, axes = panes(size=(8, 3.8))
    axis = axes[0, 0]
    means = per_training(table[table["ber"] >= least_ber * (1 - 1e-9)])
    sizes = sorted(means["bytes"].unique())
    rates = sorted(means["ber"].unique())
    for number, (ber, color) in enumerate(zip(rates, ("blue", "orange", "green", "red", "purple"), strict=False)):
        shift = 1.015 ** (number - (len(rates) - 1) / 2)  # bars of different rates stand beside each other
        axis.plot([], [], "o-", color=COLORS[color], label=percent(ber))
        for scheme, (mark, line, _) in STYLES.items():
            rows = means[(means["scheme"] == scheme) & (means["ber"] == ber)].groupby("bytes")["accuracy"]
            look = {"color": COLORS[color]} | ({} if scheme == "ours" else {"mfc": "white", "ms": 7})
            places = {size: size * shift * (1.07 if scheme == "released" else 1) for size in rows.groups}
            axis.plot(list(places.values()), 100 * rows.mean(), ls=line, color=COLORS[color], lw=1.2, alpha=0.6)
            for size, group in rows:  # one training has no spread, and less weight
                alone = {"alpha": 0.35} if len(group) == 1 else {"yerr": 100 * group.std(), "capsize": 3}
                axis.errorbar(places[size], 100 * group.mean(), fmt=mark, **look, **alone)
    axis.set(xscale="log", xlabel="bytes sent per image", ylabel="accuracy, %")
    axis.set_xticks(sizes, [str(each) for each in sizes])
    axis.minorticks_off()
    axis.legend(title="bit error rate")
    marks = [f"{mark}: {name}" for name, (*_, mark) in STYLES.items() if name in set(means["scheme"])]
    axis.set_title(f"{', '.join(marks)}\nmean ± std over trainings; faint: a single one", fontsize=11)
    return figure


def draw_levels(table: pd.DataFrame) -> Figure:
    """Draw accuracy over the bit error rate for two, four and eight centres in the same bytes."""
    names = {"two centers": "2 centres × 48", "ours": "4 centres × 24", "eight centers": "8 centres × 16"}
    curves = lever_curves(table[table["variant"].isin(names)])
    curves = curves.assign(codec=pd.Categorical(curves["variant"].map(names), names.values())).sort_values("codec")
    return draw_curves(curves.astype({"codec": str}), "accuracy", "codec", "accuracy, %")


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


def draw_ladder(table: pd.DataFrame) -> Figure:
    """Draw accuracy over the bytes of codecs trained alike, a line a bit error rate."""
    curves = lever_curves(table[table["variant"].str.fullmatch(r"ours|\d+ B")])
    figure, axes = panes(size=(8, 3.8))
    axis = axes[0, 0]
    for ber, rows in curves.groupby("ber"):
        stats = 100 * rows.groupby("bytes")["accuracy"].agg(["mean", "std"]).fillna(0)
        axis.errorbar(stats.index, stats["mean"], stats["std"], marker="o", ms=5, capsize=3, label=percent(ber))
    sizes = sorted(curves["bytes"].unique())
    axis.set(xscale="log", xlabel="bytes sent per image", ylabel="accuracy, %")
    axis.set_xticks(sizes, [f"{each:.0f}" for each in sizes])
    axis.minorticks_off()
    axis.legend(title="bit error rate")
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
