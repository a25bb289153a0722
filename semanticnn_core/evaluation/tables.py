"""Published measurements: loading them, comparing them in pairs, and writing them for reading.

Tables lie under `data/results`. Kinds of table, and their columns, stand in `COLUMNS`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from semanticnn_core.config import BER_GRID, UNCOMPRESSED, percent
from semanticnn_core.files import located

COLUMNS = {
    "": tuple("system ber slice_ratio window seed accuracy agreement bytes images command".split()),
    "reported": tuple("system network bytes float_bytes clean_accuracy accuracy source".split()),
    "detectors": tuple("system data bytes mAP source".split()),
    "links": tuple("system bytes interleaved ber length loss seed accuracy agreement command".split()),
    "estimates": tuple("system receiver bytes ber seed accuracy command".split()),
    "schemes": tuple("scheme bytes train_seed ber seed accuracy".split()),
    "explanations": tuple("feature method metric mean standard_error".split()),
    "xai": tuple("gamma train_seed slice_ratio window bytes ber seed accuracy".split()),
    "levers": tuple("variant train_seed bytes ber estimated_ber seed accuracy".split()),
}
"""Kinds of table: systems on one data set, a row a point and channel seed, the uncompressed network first (""); what
others report, bytes at 8 bits a value and as 32-bit floats, of detectors apart; systems over bursts and lost packets,
and by what the receiver knows of the bit error rate; schemes and byte budgets over training seeds, scheme being
"released", "ours" or a variant such as "ours, 4 centers"; what maps are worth; trainings with and without L_XAI;
trainings that differ from ours in one thing, decoded with the rate that the receiver estimated."""
VARIANTS = ("ours", "ours, 4 centers")
"""Schemes that are compared with the released one."""


def table_path(dataset: str, kind: str = "", root: str | Path = "data") -> Path:
    """Return where a kind of table of a data set is published."""
    return located(root) / "results" / f"{dataset}{'-' if kind else ''}{kind}.csv"


def load_table(dataset: str, kind: str = "", root: str | Path = "data") -> pd.DataFrame | None:
    """Return a published table, None where there is none; a ValueError where it is another."""
    path = table_path(dataset, kind, root)
    return read_table(path, kind) if path.is_file() else None


def read_table(path: Path, kind: str = "") -> pd.DataFrame:
    """Read a table of a kind; a missing column, or systems without the uncompressed network, are a ValueError."""
    table = pd.read_csv(path, keep_default_na=kind != "")  # a system may be called NA
    missing = [name for name in COLUMNS[kind] if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; it has {', '.join(table.columns)}")
    if kind == "" and (not len(table) or table["system"].iloc[0] != UNCOMPRESSED):
        raise ValueError(f"{path} does not begin with the {UNCOMPRESSED} network")
    return table


def paired(
    table: pd.DataFrame, first: str, second: str, unit: str | list[str], column: str = "system", value: str = "accuracy"
) -> pd.DataFrame:
    """Compare two values of a column unit by unit: training by training, image by image, or seed by seed.

    Returns per ber: difference (the mean of first − second), std, standard_error (std / √pairs, NaN for one), pairs.
    Raises ValueError where the table holds nothing for one of them.
    """
    units = [unit] if isinstance(unit, str) else unit
    cells = table.pivot_table(index=["ber", *units], columns=column, values=value, aggfunc="mean")
    for name in (first, second):
        if name not in cells:
            raise ValueError(f"the table holds nothing for {name!r}; it has {', '.join(map(str, cells.columns))}")
    difference = (cells[first] - cells[second]).dropna().groupby("ber")
    summary = difference.agg(difference="mean", std="std", pairs="size").reset_index()
    return summary.assign(standard_error=summary["std"] / np.sqrt(summary["pairs"]))


def difference_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Write `paired` for reading: percentage points with their standard error, and what is sure at 95 %."""
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
    sure = abs(row.difference) > stdtrit(row.pairs - 1, 0.975) * row.standard_error
    return "open" if not sure else "better" if row.difference > 0 else "worse"


def schemes_paired(table: pd.DataFrame, ours: tuple[str, int], other: tuple[str, int]) -> pd.DataFrame:
    """Return `paired` of two (scheme, bytes), training seed by training seed."""
    points = table["scheme"] + " at " + table["bytes"].astype(int).astype(str) + " bytes"
    names = (f"{name} at {size} bytes" for name, size in (ours, other))
    return paired(table.assign(point=points), *names, "train_seed", "point")


def per_training(table: pd.DataFrame) -> pd.DataFrame:
    """Average over the channel seeds: one row a scheme, bytes, train_seed and ber. Trainings are the samples."""
    return table.groupby(["scheme", "bytes", "train_seed", "ber"], as_index=False, sort=False)["accuracy"].mean()


def budget(table: pd.DataFrame) -> int:
    """Return the bytes at which the schemes are compared: the released one's, the most where there are several."""
    return int(table.loc[table["scheme"] == "released", "bytes"].max())


def against_released(table: pd.DataFrame, share: float = 1.0) -> dict[str, pd.DataFrame]:
    """Return the pairs of each scheme measured at a share of the budget with the released one at all of it."""
    size = budget(table)
    some = int(share * size)
    names = [name for name in VARIANTS if ((table["scheme"] == name) & (table["bytes"] == some)).any()]
    return {name: schemes_paired(table, (name, some), ("released", size)) for name in names}


def gamma_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return `difference_table` of each weight γ of L_XAI against training without it, the whole code sent."""
    whole = table[table["slice_ratio"] == 1]
    whole = whole.assign(scheme=whole["gamma"].map("γ = {:g}".format))
    names = [name for name in whole["scheme"].unique() if name != "γ = 0"]
    pairs = {name: paired(whole, name, "γ = 0", "train_seed", "scheme") for name in names}
    return pd.concat({name: difference_table(each) for name, each in pairs.items()}, names=["weight"])


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


def measured_table(table: pd.DataFrame) -> pd.DataFrame:
    """Write a measured table for reading: a row a bit error rate, a column a system, accuracies in per cent.

    Where there are two systems a last column has the first less the second in points, seed by seed.
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
        differences = paired(whole_codes(table), *names, "seed").itertuples()
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


def lever_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Average over the channel seeds where the receiver knew the rate: one row a variant, bytes, train_seed and ber."""
    known = table[table["estimated_ber"] == table["ber"]]
    return known.groupby(["variant", "bytes", "train_seed", "ber"], as_index=False, sort=False)["accuracy"].mean()


def known_and_wrong(table: pd.DataFrame, variant: str = "ours") -> pd.DataFrame:
    """Return `paired` of a receiver that knows the rate with one that estimates it wrongly, training by training.

    Only of the rates that were measured with both.
    """
    rows = table[table["variant"] == variant]
    rows = rows.assign(rate=np.where(rows["estimated_ber"] == rows["ber"], "known", "wrong"))
    both = rows.groupby("ber")["rate"].transform("nunique") == 2
    return paired(rows[both], "known", "wrong", "train_seed", "rate")


def limit_line(table: pd.DataFrame) -> pd.DataFrame:
    """Return by ber the accuracy of `ours`, and the `limit`: that of the family behind perfect error correction.

    Of n bytes a binary symmetric channel lets n·(1 − H(ber)) through (Shannon's capacity, H the entropy of a bit that
    flips). The accuracy of as many bytes without errors lies on straight lines between those of the variants
    "error-free, …"; NaN where that is fewer bytes than the smallest of them has. Both columns are means over the
    training seeds that the error-free variants have.
    """
    curves = lever_curves(table)
    free = curves[curves["variant"].str.startswith("error-free")]
    ours = curves[(curves["variant"] == "ours") & curves["train_seed"].isin(free["train_seed"])]
    size, accuracy = ours["bytes"].iloc[0], ours.groupby("ber")["accuracy"].mean()
    free = free[free["ber"] == free["ber"].min()].groupby("bytes")["accuracy"].mean()
    rates = accuracy.index.to_numpy()
    through = size * (1 + rates * np.log2(rates) + (1 - rates) * np.log2(1 - rates))
    return pd.DataFrame({"ours": accuracy, "limit": np.interp(through, free.index, free, left=np.nan)})


def levers_table(table: pd.DataFrame, like: str = "ours") -> pd.DataFrame:
    """Write a row a variant for reading: bytes, trainings, accuracy by ber, and at 5 % what it lies above `like`."""
    curves, shown = lever_curves(table), {}
    for name, rows in curves.groupby("variant", sort=False):
        cells = {"bytes": f"{rows['bytes'].iloc[0]:.0f}", "trainings": str(rows["train_seed"].nunique())}
        for ber, each in rows.groupby("ber"):
            cells[percent(ber)] = _points(each["accuracy"].mean(), each["accuracy"].std())
        if name != like:
            row = paired(curves, name, like, "train_seed", "variant").set_index("ber").loc[0.05]
            cells["at 5 %, less ours"] = _points(row["difference"], row["standard_error"], "+")
        shown[name] = cells
    return pd.DataFrame.from_dict(shown, "index").fillna("").rename_axis("variant")
