"""Published measurements of schemes and byte budgets: statistics over training seeds, and their figures.

A table of schemes has the columns scheme ("released", "ours", and variants of it such as "ours, 4 centers"), bytes,
train_seed, ber, seed (of the channel), accuracy.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from semanticnn_core.files import located
from semanticnn_core.viz.figures import draw_curves, panes
from semanticnn_core.viz.style import COLORS, CYCLE, percent

STYLES = {
    "ours": ("o", "-", "circles"),
    "ours, 4 centers": ("^", "--", "triangles"),
    "released": ("s", "none", "squares"),
}
"""Schemes, as `draw_budgets` marks and joins them, and what its title calls the marks."""
COLUMNS = ("scheme", "bytes", "train_seed", "ber", "seed", "accuracy")


def schemes_path(dataset: str, root: str | Path = "data") -> Path:
    """Return where the table of schemes of a data set is published."""
    return located(root) / "results" / f"{dataset}-schemes.csv"


def load_schemes(dataset: str, root: str | Path = "data") -> pd.DataFrame | None:
    """Return the published table of schemes, None where there is none; a missing column is a ValueError."""
    path = schemes_path(dataset, root)
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; it has {', '.join(table.columns)}")
    return table


def per_training(table: pd.DataFrame) -> pd.DataFrame:
    """Average over the channel seeds: one row a scheme, bytes, train_seed and ber. Trainings are the samples."""
    return table.groupby(["scheme", "bytes", "train_seed", "ber"], as_index=False, sort=False)["accuracy"].mean()


def budget(table: pd.DataFrame) -> int:
    """Return the bytes at which the schemes are compared: the released one's, the most where there are several."""
    return int(table.loc[table["scheme"] == "released", "bytes"].max())


def paired_differences(
    table: pd.DataFrame, ours: tuple[str, int] | None = None, other: tuple[str, int] | None = None
) -> pd.DataFrame:
    """Compare two (scheme, bytes) training seed by training seed; accuracies' differences as fractions.

    ours, other: "ours" and "released" at the `budget` when left out.
    Returns per ber: difference (the mean, ours − other), standard_error (sd / √pairs, NaN for one pair), pairs.
    """
    ours, other = ours or ("ours", budget(table)), other or ("released", budget(table))
    means = per_training(table).set_index(["scheme", "bytes", "ber", "train_seed"])["accuracy"].sort_index()
    for name, size in (ours, other):
        if (name, size) not in means.index.droplevel(["ber", "train_seed"]):
            raise ValueError(f"the table holds nothing for {name!r} at {size} bytes")
    difference = (means.loc[ours] - means.loc[other]).dropna().groupby("ber")
    summary = difference.agg(difference="mean", deviation="std", pairs="size").reset_index()
    summary["standard_error"] = summary["deviation"] / np.sqrt(summary["pairs"])
    return summary[["ber", "difference", "standard_error", "pairs"]]


def difference_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Write `paired_differences` for reading: percentage points with their standard error, and what is sure at 95 %."""
    points = [
        f"{100 * row.difference:+.2f} ± {100 * row.standard_error:.2f}" for row in differences.itertuples(index=False)
    ]
    return pd.DataFrame(
        {
            "bit error rate": [percent(ber) for ber in differences["ber"]],
            "difference ± standard error, points": points,
            "pairs": differences["pairs"],
            "verdict": [_verdict(row) for row in differences.itertuples(index=False)],
        }
    ).set_index("bit error rate")


def _verdict(row) -> str:
    if row.pairs < 2:
        return "one pair"
    sure = abs(row.difference) > student.ppf(0.975, row.pairs - 1) * row.standard_error
    return "open" if not sure else "better" if row.difference > 0 else "worse"


def against_released(table: pd.DataFrame, share: float = 1.0) -> dict[str, pd.DataFrame]:
    """Return `paired_differences` of each scheme measured at a share of the budget to the released one at all of it."""
    size = budget(table)
    some = int(share * size)
    names = [
        name for name in STYLES if name != "released" and ((table["scheme"] == name) & (table["bytes"] == some)).any()
    ]
    return {name: paired_differences(table, (name, some), ("released", size)) for name in names}


def released_table(table: pd.DataFrame, share: float = 1.0) -> pd.DataFrame:
    """Return `difference_table` of all that `against_released` compares, a block a scheme."""
    tables = {name: difference_table(each) for name, each in against_released(table, share).items()}
    return pd.concat(tables, names=["scheme"]) if tables else pd.DataFrame()


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
