"""What is published: tables of measurements, and the README beside weights that says how they were made."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.evaluation.tables import COLUMNS, read_table
from semanticnn_core.files import replacing, write_text

RESULTS = "results.csv"


def write_results(folder: Path, table: pd.DataFrame, keep: Collection[str] = ()) -> None:
    """Write a sweep's rows, one a point, to results.csv in a checkpoint folder, in place of all but those to keep."""
    if keep and (folder / RESULTS).exists():
        old = pd.read_csv(folder / RESULTS)
        table = pd.concat([old[old["system"].isin(keep)], table])
    with replacing(folder / RESULTS) as temporary:
        table.to_csv(temporary, index=False)


def check_results(path: Path, clean: float, images: int) -> None:
    """Refuse a file to which `add_results` could not add: a ValueError says why."""
    if path.suffix != ".csv":
        raise ValueError(f"the table must be a .csv file, got {path}")
    if not path.exists():
        return
    first = read_table(path).iloc[0]
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
    new = new.reindex(columns=list(COLUMNS[""]))
    if path.exists():
        old = read_table(path)
        order = list(dict.fromkeys([*old["system"], *table["system"]]))
        new = pd.concat([old[~old["system"].isin(table["system"])], new.iloc[1:]])
        new = new.sort_values("system", key=lambda names: names.map(order.index), kind="stable")
    with replacing(path) as temporary:
        new.to_csv(temporary, index=False)


def write_readme(folder: Path) -> None:
    """Write a checkpoint folder's README.md from its config.json and results.csv."""
    page = checkpoint_page(folder)
    write_text(folder / "README.md", page)


def checkpoint_page(folder: Path) -> str:
    """Return the page of a checkpoint folder: what it is, what was measured, and the commands that made it."""
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    base, systems = about["base"], about.get("systems", {})
    metric = about.get("metric", "accuracy")
    clean = about.get("results", {}).get(f"clean_{metric}")
    score = "not measured" if clean is None else f"**{clean:.2%}** (weights in half precision)"
    commands = [*about.get("commands", []), *(each for one in systems.values() for each in one.get("commands", []))]
    lines = [
        f"# {folder.name}",
        "",
        f"{base['model']} for {base['classes']} classes at {base['image_size']} px, cut after the {base['cut']}, "
        f"trained on {about.get('dataset', 'unknown data')}.",
        f"Uncompressed {metric} on the test split: {score}.",
        "",
        *_weights_in_words(about.get("weights")),
        *results_in_words(folder, systems, metric=metric),
        *("Made by:", "", "```", *dict.fromkeys(commands), "```", ""),
    ]
    return "\n".join(lines)


def _weights_in_words(weights: Mapping[str, Any] | None) -> list[str]:
    """Return the lines that say which file of weights a checkpoint needs."""
    if not weights:
        return []
    return [
        f"Most of the network is not in this folder. Put the file `{weights['file']}` into `data/weights/` (BLAKE2b, "
        f"16 bytes: `{weights['hash']}`).{' ' + weights['source'] if weights['source'] else ''}",
        "",
    ]


def results_in_words(
    folder: Path, systems: Mapping[str, dict], heading: str = "##", metric: str = "accuracy"
) -> list[str]:
    """Return the lines that show a checkpoint's results.csv: tables of each of its systems, by name."""
    path = folder / RESULTS
    return table_in_words(pd.read_csv(path), systems, heading, metric) if path.exists() else []


def table_in_words(
    table: pd.DataFrame, systems: Mapping[str, dict], heading: str = "##", metric: str = "accuracy"
) -> list[str]:
    """Return the lines that show a sweep's rows: tables of each of its systems, by name."""
    lines = []
    for name, system in systems.items():
        if len(rows := table[table["system"] == name]):
            lines += [f"{heading} {name}", ""] * (len(systems) > 1) + _table(rows, system.get("results", {}), metric)
    return lines


def score_in_words(row: Any, decimals: int = 2, metric: str = "accuracy") -> str:
    """Say the score of a row of `summarize`: with its interval, or else with its standard deviation."""
    score, low, high = (getattr(row, f"{metric}{end}", math.nan) for end in ("", "_low", "_high"))
    if math.isfinite(low) and math.isfinite(high):
        return f"{score:.{decimals}%} ({100 * low:.{decimals}f}–{100 * high:.{decimals}f})"
    return f"{score:.{decimals}%} ± {getattr(row, f'{metric}_std'):.{decimals}%}"


def spread_in_words(table: pd.DataFrame, metric: str = "accuracy") -> str:
    """Say what `score_in_words` says of a sweep."""
    known = f"{metric}_low" in table and table[f"{metric}_low"].notna().any()
    return "mean (95 % interval over images and seeds)" if known else "mean ± standard deviation"


def _table(table: pd.DataFrame, results: dict, metric: str) -> list[str]:
    whole, seeds = table["slice_ratio"] == 1, table["seed"].nunique()
    lines = [
        f"| bit error rate | {metric} | agreement with uncompressed | bytes sent |",
        "|---|---|---|---|",
    ]
    for row in summarize(table[whole], metric=metric).itertuples():
        lines.append(
            f"| {row.ber:.2%} | {score_in_words(row, metric=metric)} | {row.agreement:.2%} | {row.bytes:.0f} |"
        )
    lines += [
        "",
        f"Test split, {spread_in_words(table, metric)} over {seeds} channel seeds.",
        *([sizes_in_words(results)] if results else []),
        "",
    ]
    return lines if whole.all() else lines + _slices(table, metric)


def _slices(table: pd.DataFrame, metric: str) -> list[str]:
    grid = table[table["ber"].isin(BER_GRID)]
    keys = ["slice_ratio", "window", "share_sent", "bytes"]
    means = grid.groupby([*keys, "seed"])[metric].mean().groupby(keys, sort=False).agg(["mean", "std"])
    rows = [
        f"| {ratio:g} | {window} | {share:.0%} | {size:.0f} | {row['mean']:.2%} ± {row['std']:.2%} |"
        for (ratio, window, share, size), row in means.sort_index(ascending=False).iterrows()
    ]
    return [
        f"| slice ratio | window | share sent | bytes sent | {metric}, mean over 0.01–5 % |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def sizes_in_words(sizes: dict[str, float]) -> str:
    """Say in both conventions how much smaller the payload is; `sizes` as `byte_counts` returns them, or nothing."""
    if not sizes:
        return ""
    return (
        "{payload_bytes} B sent: image {image_times:.0f}× and feature {feature_times:.0f}× larger at 8 bits a value, "
        "{image_float_times:.0f}× and {feature_float_times:.0f}× as 32-bit floats, the paper's convention."
    ).format(**sizes)


def epochs_in_words(training: Mapping[str, dict | list[dict]]) -> str:
    """Say how many epochs each stage of a codec's training had; a stage gone through several times is a list."""
    stages = {name: each if isinstance(each, list) else [each] for name, each in training.items()}
    return ", ".join(f"{name} {' + '.join(str(each['epochs']) for each in runs)}" for name, runs in stages.items())
