"""Reading the benchmark's tables: means over two distributions of the error rate, and who is ahead of whom."""

import numpy as np
import pandas as pd

from semanticnn_core.channels.base import INDEPENDENT
from semanticnn_core.config import BER_GRID, percent

OURS = "SemanticNN, ours"
GRID, EVEN = "mean over the grid", "mean, rates even"
"""Two answers to how often a link is how bad: the five rates of `BER_GRID` alike, of which three are at most 1 %, or
every rate from 0.01 to 5 % alike."""


def independent(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of links whose errors are independent and whose rate is known."""
    return table[table["link"] == INDEPENDENT]


def trainings(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a system and training seed: the score by ber and in both means, all over the channel seeds.

    The even mean is the integral over straight lines between the measured rates.
    """
    keys = ["system", "kind", "trained", "train_seed"]
    wide = independent(table).pivot_table(index=keys, columns="ber", values="score", sort=False)
    rates, grid = np.array(BER_GRID), wide[list(BER_GRID)].to_numpy()
    even = np.trapezoid(grid, rates, axis=1) / (rates[-1] - rates[0])
    return wide.assign(**{GRID: grid.mean(1), EVEN: even}).reset_index()


def ranking(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a system, the best in the mean over the grid first.

    Columns: kind, trainings, bytes, each ber, the two means with their std over trainings, and the costs that were
    counted, device_macs, device_weights, edge_macs, edge_weights: the largest where a system has several sizes.
    """
    each = trainings(table)
    numbers = [name for name in each if name not in ("system", "kind", "trained", "train_seed")]
    by = each.groupby("system", sort=False)
    costs = [name for name in table if str(name).endswith(("_macs", "_weights"))]
    known = (
        independent(table)
        .groupby("system", sort=False)
        .agg(kind=("kind", "first"), bytes=("bytes", "mean"), **{name: (name, "max") for name in costs})
    )
    spread = by[[GRID, EVEN]].std().add_suffix(", std")
    result = known.join(by.agg(trainings=("train_seed", "nunique"))).join(by[numbers].mean()).join(spread)
    return result.sort_values(GRID, ascending=False)


def less(table: pd.DataFrame, like: str = OURS, column: object = GRID) -> pd.DataFrame:
    """Return for each system what it lies below `like`: difference and standard_error over trainings, pairs.

    Trainings are paired by their seed; a system without training is compared with each training of `like`.
    Raises ValueError where the table lacks `like`.
    """
    each = trainings(table)
    if like not in set(each["system"]):
        raise ValueError(f"the table holds nothing for {like!r}; it has {', '.join(each['system'].unique())}")
    reference = each[each["system"] == like].set_index("train_seed")[column]
    rows = {}
    for name, rest in each.groupby("system", sort=False):
        own = rest.set_index("train_seed")[column]
        own = own.reindex(reference.index) if rest["trained"].all() else own.iloc[0]
        pairs = (reference - own).dropna()
        rows[name] = {"difference": pairs.mean(), "standard_error": pairs.sem(), "pairs": len(pairs)}
    return pd.DataFrame.from_dict(rows, "index").rename_axis("system")


def ranking_table(table: pd.DataFrame, like: str = OURS) -> pd.DataFrame:
    """Write `ranking` for reading: per cent, with what a system lies below `like`, if that is there, in points."""
    places, shown = ranking(table), {}
    differences = less(table, like) if like in places.index else None
    for name, row in places.iterrows():
        cells = {"row": row["kind"], "bytes": f"{row['bytes']:,.0f}", "trainings": f"{row['trainings']:.0f}"}
        cells |= {percent(ber): f"{100 * row[ber]:.1f}" for ber in places.columns if isinstance(ber, float)}
        for mean in (GRID, EVEN):
            spread = row[f"{mean}, std"]
            cells[mean] = f"{100 * row[mean]:.1f}" + (f" ± {100 * spread:.1f}" if pd.notna(spread) else "")
        if differences is not None:
            gap = differences.loc[name]
            error = f" ± {100 * gap['standard_error']:.1f}" if pd.notna(gap["standard_error"]) else ""
            cells["ours lies above it by"] = "" if name == like else f"{100 * gap['difference']:+.1f}{error}"
        shown[name] = cells
    return pd.DataFrame.from_dict(shown, "index").rename_axis("system")


def link_table(table: pd.DataFrame) -> pd.DataFrame:
    """Write what harder links do to systems, in per cent: a row a system, the best first; by rate and kind of link."""
    rates = table.loc[table["link"] != INDEPENDENT, "ber"].unique()
    means = table[table["ber"].isin(rates)].groupby(["system", "ber", "link"])["score"].mean().unstack([1, 2])
    kinds = [INDEPENDENT, *(each for each in table["link"].unique() if each != INDEPENDENT)]
    means = means.reindex(ranking(table).index)[[(rate, kind) for rate in sorted(rates) for kind in kinds]]
    means.columns = [f"{percent(rate)}, {kind}" for rate, kind in means.columns]
    return (100 * means).round(1)


def cost_table(table: pd.DataFrame) -> pd.DataFrame:
    """Write what systems cost for reading: thousands of multiply-accumulates and of weights on both sides."""
    titles = {
        "device_macs": "device, thousand MACs", "device_weights": "device, thousand weights",
        "edge_macs": "edge, million MACs", "edge_weights": "edge, million weights",
    }  # fmt: skip
    places = ranking(table)
    columns = {
        title: [f"{value / (1e6 if name.startswith('edge') else 1e3):,.1f}" for value in places[name]]
        for name, title in titles.items()
    }
    score = {GRID: [f"{100 * value:.1f}" for value in places[GRID]]}
    return pd.DataFrame(columns | score, index=places.index)
