"""What is published: tables of measurements, and the README beside weights that tells how they were made."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.evaluation.tables import COLUMNS, read_table
from semanticnn_core.files import replacing

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
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    base, systems = about["base"], about.get("systems", {})
    clean = about.get("results", {}).get("clean_accuracy")
    measured = "not measured" if clean is None else f"**{clean:.2%}** (weights in half precision)"
    lines = [
        f"# {folder.name}",
        "",
        f"{base['model']} for {base['classes']} classes at {base['image_size']} px, cut after the {base['cut']}, "
        f"trained on {about.get('dataset', 'unknown data')}.",
        f"Uncompressed accuracy on the test split: {measured}.",
        "",
    ]
    table = pd.read_csv(folder / RESULTS) if (folder / RESULTS).exists() else None
    commands = list(about.get("commands", []))
    for name, system in systems.items():
        rows = None if table is None else table[table["system"] == name]
        if rows is not None and len(rows):
            lines += [*([f"## {name}", ""] if len(systems) > 1 else []), *_table(rows, system.get("results", {}))]
        commands += system.get("commands", [])
    lines += ["Made by:", "", "```", *commands, "```", ""]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _table(table: pd.DataFrame, results: dict) -> list[str]:
    whole, seeds = table["slice_ratio"] == 1, table["seed"].nunique()
    lines = [
        "| bit error rate | accuracy | agreement with uncompressed | bytes sent |",
        "|---|---|---|---|",
    ]
    for row in summarize(table[whole]).itertuples():
        accuracy = f"{row.accuracy:.2%} ± {row.accuracy_std:.2%}"
        lines.append(f"| {row.ber:.2%} | {accuracy} | {row.agreement:.2%} | {row.bytes:.0f} |")
    lines += [
        "",
        f"Test split, mean ± standard deviation over {seeds} channel seeds.",
        *([sizes_in_words(results)] if results else []),
        "",
    ]
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
