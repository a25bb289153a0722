"""What the page of results says of bursts, lost packets, unknown rates and detection."""

from pathlib import Path

import pandas as pd

from semanticnn_core.config import percent
from semanticnn_core.evaluation import ranking, tables
from semanticnn_core.evaluation.benchmark import read_benchmark
from semanticnn_core.evaluation.report.words import commands_of, markdown, published_table


def links_section(root: Path) -> dict[str, str]:
    """Fill in what an interleaver is worth under bursts and lost packets."""
    table = published_table(root, "scene_digits", "links")
    named = table.assign(
        trouble=[
            f"bursts of {row.length:g} bits" if pd.notna(row.length) else f"{row.loss:.1%} of the packets lost"
            for row in table.itertuples()
        ],
        order=table["interleaved"].map({False: "row by row", True: "interleaved"}),
    )
    stats = 100 * named.groupby(["trouble", "system", "order"], sort=False)["accuracy"].agg(["mean", "std"])
    cells = (stats["mean"].map("{:.1f}".format) + " ± " + stats["std"].map("{:.1f}".format)).unstack([1, 2])
    cells.columns = [f"{system}, {order}" for system, order in cells.columns]
    return {"links": markdown(cells.reindex(named["trouble"].unique())), "links_commands": commands_of(table)}


def estimates_section(root: Path) -> dict[str, str]:
    """Fill in what it is worth to know the bit error rate, and to estimate it."""
    table = published_table(root, "scene_digits", "estimates")
    stats = 100 * table.groupby(["system", "receiver", "bytes", "ber"], sort=False)["accuracy"].agg(["mean", "std"])
    cells = (stats["mean"].map("{:.1f}".format) + " ± " + stats["std"].map("{:.1f}".format)).unstack("ber")
    cells.columns = map(percent, cells.columns)
    cells.insert(0, "bytes", [f"{size:g}" for _, _, size in cells.index])
    cells.insert(0, "receiver knows", [receiver for _, receiver, _ in cells.index])
    cells.index = pd.Index([system for system, _, _ in cells.index], name="system")
    return {"estimates": markdown(cells), "estimates_commands": commands_of(table)}


def detection_section(root: Path) -> dict[str, str]:
    """Fill in the benchmark of detection."""
    table = read_benchmark(tables.table_path("scene_detection", "benchmark", root))
    row = table.iloc[0]
    return {
        "detection": markdown(ranking.ranking_table(table)),
        "detection_budget": f"{row['images']:,} images, {row['epochs'].replace('+', ' + ')} epochs",
        "detection_commands": commands_of(table),
    }
