"""What lies beside published weights: the measured table and a README that tells how they were made."""

import json
from pathlib import Path

import pandas as pd

from semanticnn_core.config import BER_GRID
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.files import replacing

RESULTS = "results.csv"


def write_results(folder: Path, table: pd.DataFrame) -> None:
    """Write a sweep's rows, one a point, to results.csv in a checkpoint folder."""
    with replacing(folder / RESULTS) as temporary:
        table.to_csv(temporary, index=False)


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
