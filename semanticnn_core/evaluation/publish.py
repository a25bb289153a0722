"""What is published: tables of measurements, and the README beside weights that tells how they were made."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.files import replacing

RESULTS = "results.csv"
COLUMNS = tuple("system ber slice_ratio window seed accuracy agreement bytes images command".split())
"""Columns of a table that compares systems on one data set: one row a point and channel seed."""


def write_results(folder: Path, table: pd.DataFrame) -> None:
    """Write a sweep's rows, one a point, to results.csv in a checkpoint folder."""
    with replacing(folder / RESULTS) as temporary:
        table.to_csv(temporary, index=False)


def check_results(path: Path, clean: float, images: int) -> None:
    """Refuse a file to which `add_results` could not add: a ValueError says why."""
    if path.suffix != ".csv":
        raise ValueError(f"the table must be a .csv file, got {path}")
    if not path.exists():
        return
    first = read_results(path).iloc[0]
    if abs(first["accuracy"] - clean) > 5e-4 or first["images"] != images:
        raise ValueError(
            f"{path} compares codecs of a network with {first['accuracy']:.2%} accuracy on {first['images']} images, "
            f"this one has {clean:.2%} on {images}; give another file"
        )


def add_results(
    path: Path, table: pd.DataFrame, clean: float, images: int, image_bytes: int, commands: Sequence[str]
) -> None:
    """Write a system's sweep into a table of several, in place of what that holds under the same name.

    table: as `sweep` returns it. clean, images, image_bytes: accuracy of the uncompressed network on how many images of
    how many bytes, the table's first row. commands: what made the numbers, from the first training on.
    Raises ValueError as `check_results` does.
    """
    check_results(path, clean, images)
    whole = {"ber": 0.0, "slice_ratio": 1.0, "window": "center", "seed": 0, "agreement": 1.0}
    first = {"system": UNCOMPRESSED, **whole, "accuracy": clean, "bytes": image_bytes}
    new = pd.concat([pd.DataFrame([first]), table]).assign(images=images, command=" && ".join(commands))
    new = new.reindex(columns=list(COLUMNS))
    if path.exists():
        old = read_results(path)
        order = list(dict.fromkeys([*old["system"], *table["system"]]))
        new = pd.concat([old[~old["system"].isin(table["system"])], new.iloc[1:]])
        new = new.sort_values("system", key=lambda names: names.map(order.index), kind="stable")
    with replacing(path) as temporary:
        new.to_csv(temporary, index=False)


def read_results(path: Path) -> pd.DataFrame:
    """Read a table that `add_results` wrote; another file is a ValueError."""
    table = pd.read_csv(path, keep_default_na=False)  # a system may be called NA
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; it has {', '.join(table.columns)}")
    if not len(table) or table["system"].iloc[0] != UNCOMPRESSED:
        raise ValueError(f"{path} does not begin with the {UNCOMPRESSED} network")
    return table


def write_readme(folder: Path) -> None:
    """Write a checkpoint folder's README.md from its config.json and results.csv."""
    about = json.loads((folder / "config.json").read_text())
    base, results = about["base"], about["results"]
    lines = [
        f"# {folder.name}",
        "",
        f"{base['model']} for {base['classes']} classes at {base['image_size']} px, cut after the {base['cut']}, "
        f"trained on {about['dataset']}.",
        f"Uncompressed accuracy on the test split: **{results['clean_accuracy']:.2%}** (weights in half precision).",
        "",
    ]
    if (folder / RESULTS).exists():
        lines += _table(pd.read_csv(folder / RESULTS), results)
    lines += ["Made by:", "", "```", *about["commands"], "```", ""]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(lines))


def _table(table: pd.DataFrame, results: dict) -> list[str]:
    whole, seeds = table["slice_ratio"] == 1, table["seed"].nunique()
    lines = [
        "| bit error rate | accuracy | agreement with uncompressed | bytes sent |",
        "|---|---|---|---|",
    ]
    for row in summarize(table[whole]).itertuples():
        accuracy = f"{row.accuracy:.2%} ± {row.accuracy_std:.2%}"
        lines.append(f"| {row.ber:.2%} | {accuracy} | {row.agreement:.2%} | {row.bytes:.0f} |")
    lines += ["", f"Test split, mean ± standard deviation over {seeds} channel seeds.", sizes_in_words(results), ""]
    return lines if whole.all() else lines + _slices(table)


def _slices(table: pd.DataFrame) -> list[str]:
    grid = table[table["ber"].isin(BER_GRID)]
    keys = ["slice_ratio", "window", "share_sent", "bytes"]
    means = grid.groupby([*keys, "seed"])["accuracy"].mean().groupby(keys, sort=False).agg(["mean", "std"])
    rows = [
        f"| {ratio:g} | {window} | {share:.0%} | {size:.0f} | {row['mean']:.2%} ± {row['std']:.2%} |"
        for (ratio, window, share, size), row in means.sort_index(ascending=False).iterrows()
    ]
    return [
        "| slice ratio | window | share sent | bytes sent | accuracy, mean over 0.01–5 % |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def sizes_in_words(sizes: dict[str, float]) -> str:
    """Say in both conventions how much smaller the payload is; `sizes` as `byte_counts` returns them."""
    return (
        "{payload_bytes} B sent: image {image_times:.0f}× and feature {feature_times:.0f}× larger at 8 bits a value, "
        "{image_float_times:.0f}× and {feature_float_times:.0f}× as 32-bit floats, the paper's convention."
    ).format(**sizes)
