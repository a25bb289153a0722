"""What the page of results says of codecs: accuracy, bytes, schemes, levers, CIFAR-100; one function a section."""

from pathlib import Path

import numpy as np
import pandas as pd

from semanticnn_core.config import BER_GRID, percent
from semanticnn_core.evaluation import ranking, tables
from semanticnn_core.evaluation.benchmark import read_benchmark
from semanticnn_core.evaluation.publish import score_in_words, spread_in_words
from semanticnn_core.evaluation.report.words import (
    CODEC,
    PAPER_DATA,
    commands_of,
    default_checkpoint,
    in_percent,
    in_points,
    listed,
    markdown,
    published_table,
    result_table,
    sure_at,
    verdicts,
)
from semanticnn_core.evaluation.sweep import summarize

ROWS = {
    "ours": "SemanticNN, ours", "paper": "SemanticNN, paper", "bottleneck": "bottleneck + error correction",
    "AgileNN": "AgileNN*", "BottleNet": "BottleNet++", "DeepCOD": "DeepCOD*", "EdgeDeepSC": "DeepSC*, edge alone",
    "LearnedThumbnail": "thumbnail, learned decoder", "LimitNet": "LimitNet*", "UniformADJSCC": "A-ADJSCC, 3 bits",
}  # fmt: skip
"""Rows of the benchmark by what the table of learning rates calls them."""


def windows_section(root: Path) -> dict[str, str]:
    """Fill in the slices of the default checkpoint: the window of importance beside the central one."""
    table, about = default_checkpoint(root)
    names = {"importance": "window of most importance", "center": "central window"}
    some = summarize(table[(table["slice_ratio"] < 1) & (table["ber"] == 0.01)]).sort_values("slice_ratio")
    cells = {f"{ratio:g}": {} for ratio in some["slice_ratio"].unique()[::-1]}
    for row in some.itertuples():
        cells[f"{row.slice_ratio:g}"][names[row.window]] = f"{row.bytes:.0f} B: {score_in_words(row, 1)}"
    grid = table[table["ber"].isin(BER_GRID)]
    most = grid[(grid["slice_ratio"] == some["slice_ratio"].max()) & (grid["window"] == "importance")]
    lost = grid[grid["slice_ratio"] == 1]["accuracy"].mean() - most["accuracy"].mean()
    return {
        "windows": markdown(pd.DataFrame.from_dict(cells, "index")[list(names.values())].rename_axis("slice ratio")),
        "windows_seeds": str(table["seed"].nunique()),
        "windows_spread": spread_in_words(table),
        "windows_ratio": f"{most['slice_ratio'].iloc[0]:g}",
        "windows_share": f"{most['share_sent'].iloc[0]:.0%}",
        "windows_lost": f"{100 * lost:.1f}",
        "windows_commands": "\n".join(["```", *about["systems"][CODEC]["commands"][-1:], "```"]),
    }


def schemes_section(root: Path) -> dict[str, str]:
    """Fill in the released scheme against ours, over training seeds."""
    table = published_table(root, "scene_digits", "schemes")
    size, trainings = tables.budget(table), tables.per_training(table)
    columns, sure, pairs = {}, {}, {}
    for scheme in ("released", "ours"):
        rows = trainings[(trainings["scheme"] == scheme) & (trainings["bytes"] == size)]
        cells = rows.groupby("ber")["accuracy"].agg(["mean", "std"])
        columns[f"{scheme}, {size} B"] = {
            percent(ber): f"{row['mean']:.1%} ± {row['std']:.1%}" for ber, row in cells.iterrows()
        }
    for share in (1.0, 0.5):
        for scheme, each in tables.against_released(table, share).items():
            if each["pairs"].max() < 3:  # too few to say anything
                continue
            title = f"{scheme}, {share * size:.0f} B"
            columns[f"{title}: difference"] = {
                percent(row.ber): in_points(row.difference, row.standard_error) for row in each.itertuples()
            }
            sure[title], pairs[title] = verdicts(each), str(each["pairs"].max())
    shown = pd.DataFrame(sure, index=["better", "open", "worse"]).T.assign(pairs=pairs).rename_axis("difference")
    spread = trainings[(trainings["bytes"] == size) & trainings["ber"].isin(BER_GRID)]
    spread = 100 * spread[spread["scheme"] != "ours, 4 centers"].groupby(["scheme", "ber"])["accuracy"].std()
    return {
        "schemes": markdown(pd.DataFrame(columns).rename_axis("bit error rate")),
        "schemes_bytes": str(size),
        "schemes_sure": markdown(shown),
        "schemes_sure_at": sure_at(map(int, pairs.values())),
        "schemes_commands": commands_of(table),
        "training_spread": f"{spread.min():.1f} to {spread.max():.1f}",
    }


def levers_section(root: Path) -> dict[str, str]:
    """Fill in trainings that differ from ours in one thing, the limit line, and what knowing the rate is worth."""
    table = published_table(root, "scene_digits", "levers")
    curves = tables.lever_curves(table)
    at_worst = curves[(curves["variant"] == "ours") & (curves["ber"] == BER_GRID[-1])]
    line = tables.limit_line(table)
    shown = line.assign(distance=line["limit"] - line["ours"]).map(lambda share: f"{100 * share:.2f}")
    known = [
        f"{in_points(row.difference, row.standard_error)} at {percent(row.ber)}"
        for row in tables.known_and_wrong(table).itertuples()
    ]
    wrong = table.loc[table["estimated_ber"] != table["ber"], "estimated_ber"]
    return {
        "levers": markdown(tables.levers_table(table)),
        "levers_limit": markdown(
            shown.rename(index=percent, columns={"limit": "limit line"}).rename_axis("bit error rate")
        ),
        "levers_known": listed(known),
        "levers_wrong": listed(map(percent, wrong.unique())),
        "levers_spread": f"{100 * at_worst['accuracy'].std():.2f}",
        "levers_commands": commands_of(table),
    }


def benchmark_section(root: Path) -> dict[str, str]:
    """Fill in the benchmark: every compared system, in order, and what they cost."""
    table, cifar = (read_benchmark(tables.table_path(name, "benchmark", root)) for name in ("scene_digits", PAPER_DATA))
    codes = result_table(root, "codes")
    lost = codes.assign(rate=codes["ber"].map(percent), lost=codes["lost"].map("{:.1%}".format))
    lost = lost.pivot(index=["ber", "rate", "data_bytes"], columns="code", values="lost")
    lost.index = [f"{rate}, {size} B" for _, rate, size in lost.index]
    rates = result_table(root, "scene_digits-rates")
    tried = rates.assign(system=rates["system"].replace(ROWS)).pivot(index="system", columns="rate", values="accuracy")
    tried = tried.map(in_percent)
    return {
        "benchmark": markdown(ranking.ranking_table(table)),
        "benchmark_links": markdown(ranking.link_table(table).astype(str)),
        "benchmark_cifar": markdown(ranking.ranking_table(cifar)),
        "benchmark_cifar_budget": _budget(cifar),
        "benchmark_cifar_commands": commands_of(cifar),
        "benchmark_costs": markdown(ranking.cost_table(table)),
        "benchmark_budget": _budget(table),
        "benchmark_codes": markdown(lost.rename_axis("bit error rate, bytes of data")),
        "benchmark_messages": str(codes["messages"].iloc[0]),
        "benchmark_codes_commands": commands_of(codes),
        "benchmark_rates": markdown(tried.rename(columns="{:g}".format).rename_axis("system")),
        "benchmark_commands": commands_of(table),
        "benchmark_rates_commands": commands_of(rates),
    }


def _budget(table: pd.DataFrame) -> str:
    budgets = table[["images", "epochs"]].drop_duplicates()
    return listed(f"{row.images:,} images, {row.epochs.replace('+', ' + ')} epochs" for row in budgets.itertuples())


def cifar_section(root: Path) -> dict[str, str]:
    """Fill in CIFAR-100: systems measured here, what others report, and the numbers between the two."""
    table, reported = published_table(root, PAPER_DATA), published_table(root, PAPER_DATA, "reported")
    codes, clean = tables.whole_codes(table), tables.uncompressed_accuracy(table)
    ours, other = codes["system"].unique()[:2]
    sure = verdicts(tables.paired(codes, ours, other, "seed"))
    curve = codes[codes["system"] == ours].groupby("ber")["accuracy"].mean()
    lost = clean - np.trapezoid(curve, curve.index) / (curve.index[-1] - curve.index[0])
    cells = reported.assign(lost=reported["clean_accuracy"] - reported["accuracy"])
    shares = {"uncompressed": "clean_accuracy", "with bit errors": "accuracy", "points lost": "lost"}
    others = reported[["system", "network"]].set_index("system")
    others["bytes (32-bit floats)"] = [f"{each:,.0f}" if pd.notna(each) else "" for each in reported["float_bytes"]]
    for title, name in shares.items():
        others[title] = [f"{100 * each:.2f}" if pd.notna(each) else "" for each in cells[name]]
    others["source"] = list(reported["source"])
    notes = result_table(root, "notes").set_index("name")
    sizes = [float(table["bytes"].iloc[0]) * 4, float(table["bytes"].iloc[0]), 3 * 32 * 32]
    kept = float(codes["bytes"].iloc[0])
    return {
        "cifar": markdown(tables.measured_table(table)),
        "cifar_images": f"{table['images'].iloc[0]:,}",
        "cifar_seeds": str(codes["seed"].nunique()),
        "cifar_better": sure["better"],
        "cifar_open": sure["open"],
        "cifar_even": f"{100 * lost:.1f}",
        "cifar_robust": f"{notes.loc['cifar_second', 'value'] - 100 * clean:.1f}",
        "cifar_bytes": f"{kept:.0f}",
        "cifar_times": "{:.0f}, {:.0f} or {:.0f}".format(*(size / kept for size in sizes)),
        "cifar_commands": commands_of(codes),
        "reported": markdown(others),
        "image_float_kb": f"{sizes[0] / 1024:.0f}",
        "image_kb": f"{sizes[1] / 1024:.0f}",
        "cifar_kb": f"{sizes[2] / 1024:.0f}",
    }


def noise_section(root: Path) -> dict[str, str]:
    """Fill in what noise networks of CIFAR-100 bear."""
    table = result_table(root, "noise")
    names = {grain: f"squares of {grain:g}" for grain in table["grain"].unique()} | {0: "no noise", 1: "single pixels"}
    shown = table.assign(grain=table["grain"].map(names)).pivot(index="network", columns="grain", values="accuracy")
    shown = shown.loc[table["network"].unique(), [names[grain] for grain in sorted(names)]]
    levels = sorted(table.loc[table["noise"] > 0, "noise"].unique())
    return {
        "noise": markdown(shown.map(lambda share: f"{100 * share:.1f}")),
        "noise_levels": " and ".join(f"{each:g}" for each in levels),
        "noise_commands": commands_of(table),
    }


def notes_section(root: Path) -> dict[str, str]:
    """Fill in what was measured once."""
    notes = result_table(root, "notes").set_index("name")
    words = {
        name: f"{row.value:g}" if pd.isna(row.spread) else f"{row.value:+g} ± {row.spread:g}"
        for name, row in zip(notes.index, notes.itertuples(), strict=True)
    }
    shown = notes.assign(value=words, command=notes["command"].map("`{}`".format, na_action="ignore").fillna(""))
    return {
        "notes": markdown(shown[["what", "value", "command"]].set_index("what")),
        **{f"note_{name}": word for name, word in words.items()},
    }
