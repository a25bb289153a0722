"""The pages of published results: `data/results/README.md`, checkpoint pages, and the block of results in README.md.

The text stands in `data/results/README.tmpl`; every `$name` in it is a table or a number made here from the tables.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from scipy.stats import t as student

from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT, percent
from semanticnn_core.evaluation import tables
from semanticnn_core.evaluation.publish import (
    RESULTS,
    accuracy_in_words,
    checkpoint_page,
    results_in_words,
    spread_in_words,
)
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.files import located

TEMPLATE = "README.tmpl"
MADE = "<!-- Made by `semanticnn results`"
"""How a page begins that may be written again."""
BLOCK = re.compile(r"(<!-- semanticnn results -->\n).*?(<!-- end of results -->)", re.DOTALL)
"""What of README.md is written: that between these marks."""
PAPER_DATA = "cifar100"
CODEC = "semanticnn"
"""The system of the default checkpoint that is shown."""
COLUMNS = {
    "noise": "network noise grain accuracy images command",
    "firmware-bytes": "model witness bytes differ command",
    "firmware-costs": "model payload_bytes compiler ram_kb flash_kb instructions_millions instructions_per_mac command",
    "firmware-symbols": "symbols equal one_step further command",
    "firmware-accuracy": "ber seeds floats integers difference std command",
    "speed": "network what of_limit of_folded_limit command",
    "packing": "mb_per_second command",
    "latency": "after picture p95 command",
    "notes": "name value spread what command",
}
"""Tables that benchmarks write, and the columns that a page needs; they may have more. Accuracies are shares (0–1),
differences are points. noise: standard deviation in grey levels; grain: side of the squares in pixels, 0 without noise.
notes: what was measured once, in the unit that `what` says."""
NETWORKS = {"mobilenet_v2": "MobileNetV2", "resnet50": "ResNet-50"}
METHODS = {
    "integrated_gradients": "Integrated Gradients",
    "gradient_shap": "GradientSHAP",
    "deep_lift": "DeepLIFT",
    "occlusion": "occlusion",
    "saliency": "saliency",
    "input_x_gradient": "input × gradient",
    "random": "noise",
}


def pages(root: str | Path = "data") -> dict[Path, str]:
    """Return what is to stand in each page that the tables below `root` give, by path.

    Raises FileNotFoundError where a table or the template is missing, ValueError where a table lacks a column or a page
    was written by somebody else.
    """
    root = located(root)
    found = {path.parent / "README.md": checkpoint_page(path.parent) for path in _checkpoints(root)}
    page, front = root / "results" / "README.md", root.parent / "README.md"
    if page.exists() and not page.read_text(encoding="utf-8").startswith(MADE):
        raise ValueError(f"{page} does not begin with {MADE!r}, so it is not replaced; move it elsewhere")
    found[page] = results_page(root)
    if front.exists() and BLOCK.search(text := front.read_text(encoding="utf-8")):
        found[front] = BLOCK.sub(lambda marks: marks[1] + front_block(root) + marks[2], text)
    return found


def results_page(root: Path) -> str:
    """Return the page of all published measurements: the template, filled from the tables."""
    template = root / "results" / TEMPLATE
    if not template.is_file():
        raise FileNotFoundError(f"{template} is missing: the text around the tables")
    return Template(template.read_text(encoding="utf-8")).substitute(values(root))


def values(root: Path) -> dict[str, str]:
    """Return the tables and numbers of the page by the names that the template gives them."""
    parts = (_published, _windows, _schemes, _levers, _cifar, _noise, _truth, _xai, _firmware, _speed, _notes)
    return {name: text for part in parts for name, text in part(root).items()}


def front_block(root: Path) -> str:
    """Return the results in the project's README: the default checkpoint's table, and a line on each comparison."""
    table, about = _default(root)
    clean, sizes = about["results"]["clean_accuracy"], about["systems"][CODEC]["results"]
    rows = {
        _short(row.ber): [accuracy_in_words(row), f"{100 * (clean - row.accuracy):.1f}"]
        for row in summarize(table[table["slice_ratio"] == 1]).itertuples()
    }
    shown = pd.DataFrame.from_dict(rows, "index", columns=[f"accuracy (uncompressed: {clean:.2%})", "points lost"])
    cifar = _table(root, PAPER_DATA)
    means = [f"{row.system} {accuracy_in_words(row)}" for row in tables.grid_means(cifar)[:2].itertuples()]
    ours = tables.against_released(_table(root, "scene_digits", "schemes"))["ours"]
    gains = [
        f"{_points(row.difference, row.standard_error)} at {_short(row.ber)}"
        for row in ours[ours["ber"].isin(BER_GRID[::2])].itertuples()
    ]
    lines = [
        f"{NETWORKS[about['base']['model']]} at {about['base']['image_size']} px on SceneDigits, test split, "
        f"{spread_in_words(table)} over {table['seed'].nunique()} channel seeds.",
        f"Every image leaves as {sizes['payload_bytes']} bytes, {sizes['image_times']:.0f} times less than its pixels.",
        "",
        markdown(shown.rename_axis("bit error rate")),
        "",
        f"- CIFAR-100, mean over 0.01–5% errors: {', '.join(means)}; "
        f"uncompressed {tables.uncompressed_accuracy(cifar):.2%}.",
        "- Ours less the released code's scheme, SceneDigits, short trainings, points ± standard error: "
        f"{', '.join(gains)}.",
        "",
    ]
    return "\n".join(lines)


def markdown(table: pd.DataFrame) -> str:
    """Write a table of words in Markdown, its index as the first column."""
    rows = [[table.index.name or "", *table.columns], ["---"] * (1 + len(table.columns)), *table.itertuples(name=None)]
    head, line, *rest = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([head, line.replace(" ", ""), *rest])


def commands_of(*found: pd.DataFrame) -> str:
    """Return the commands that made tables, each once, as a block of code."""
    lines = [line for table in found for row in table["command"].unique() for line in str(row).split(" && ")]
    return "\n".join(["```", *dict.fromkeys(lines), "```"])


def _published(root: Path) -> dict[str, str]:
    """Fill in the published checkpoints: tables, and the commands in each config.json."""
    lines = []
    for path in _checkpoints(root):
        folder, about = path.parent, _about(path.parent)
        systems, base = about.get("systems", {}), about["base"]
        clean = about.get("results", {}).get("clean_accuracy")
        lines += [
            f"### [{folder.name}](../checkpoints/{folder.name})",
            "",
            f"{base['model']} at {base['image_size']} px on {about.get('dataset', 'unknown data')}"
            + (f"; uncompressed: **{clean:.2%}**." if clean is not None else "."),
            "",
            *results_in_words(folder, systems, "####"),
        ]
        commands = [*about.get("commands", []), *(each for one in systems.values() for each in one.get("commands", []))]
        lines += ["```", *commands, "```", ""]
    grid = ", ".join(map(percent, BER_GRID))
    return {"checkpoints": "\n".join(lines).strip(), "grid": grid, "grid_mean": percent(np.mean(BER_GRID))}


def _windows(root: Path) -> dict[str, str]:
    """Fill in the slices of the default checkpoint: the window of importance beside the central one."""
    table, about = _default(root)
    names = {"importance": "window of most importance", "center": "central window"}
    some = summarize(table[(table["slice_ratio"] < 1) & (table["ber"] == 0.01)]).sort_values("slice_ratio")
    cells = {f"{ratio:g}": {} for ratio in some["slice_ratio"].unique()[::-1]}
    for row in some.itertuples():
        cells[f"{row.slice_ratio:g}"][names[row.window]] = f"{row.bytes:.0f} B: {accuracy_in_words(row, 1)}"
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


def _schemes(root: Path) -> dict[str, str]:
    """Fill in the released scheme against ours, over training seeds."""
    table = _table(root, "scene_digits", "schemes")
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
                percent(row.ber): _points(row.difference, row.standard_error) for row in each.itertuples()
            }
            sure[title], pairs[title] = _sure(each), str(each["pairs"].max())
    shown = pd.DataFrame(sure, index=["better", "open", "worse"]).T.assign(pairs=pairs).rename_axis("difference")
    spread = trainings[(trainings["bytes"] == size) & trainings["ber"].isin(BER_GRID)]
    spread = 100 * spread[spread["scheme"] != "ours, 4 centers"].groupby(["scheme", "ber"])["accuracy"].std()
    return {
        "schemes": markdown(pd.DataFrame(columns).rename_axis("bit error rate")),
        "schemes_bytes": str(size),
        "schemes_sure": markdown(shown),
        "schemes_sure_at": _sure_at(map(int, pairs.values())),
        "schemes_commands": commands_of(table),
        "training_spread": f"{spread.min():.1f} to {spread.max():.1f}",
    }


def _levers(root: Path) -> dict[str, str]:
    """Fill in trainings that differ from ours in one thing, the limit line, and what knowing the rate is worth."""
    table = _table(root, "scene_digits", "levers")
    curves = tables.lever_curves(table)
    at_worst = curves[(curves["variant"] == "ours") & (curves["ber"] == BER_GRID[-1])]
    line = tables.limit_line(table)
    shown = line.assign(distance=line["limit"] - line["ours"]).map(lambda share: f"{100 * share:.2f}")
    known = [
        f"{_points(row.difference, row.standard_error)} at {percent(row.ber)}"
        for row in tables.known_and_wrong(table).itertuples()
    ]
    wrong = table.loc[table["estimated_ber"] != table["ber"], "estimated_ber"]
    return {
        "levers": markdown(tables.levers_table(table)),
        "levers_limit": markdown(
            shown.rename(index=percent, columns={"limit": "limit line"}).rename_axis("bit error rate")
        ),
        "levers_known": _listed(known),
        "levers_wrong": _listed(map(percent, wrong.unique())),
        "levers_spread": f"{100 * at_worst['accuracy'].std():.2f}",
        "levers_commands": commands_of(table),
    }


def _cifar(root: Path) -> dict[str, str]:
    """Fill in CIFAR-100: systems measured here, what others report, and the numbers between the two."""
    table, reported = _table(root, PAPER_DATA), _table(root, PAPER_DATA, "reported")
    codes, clean = tables.whole_codes(table), tables.uncompressed_accuracy(table)
    ours, other = codes["system"].unique()[:2]
    sure = _sure(tables.paired(codes, ours, other, "seed"))
    curve = codes[codes["system"] == ours].groupby("ber")["accuracy"].mean()
    lost = clean - np.trapezoid(curve, curve.index) / (curve.index[-1] - curve.index[0])
    cells = reported.assign(lost=reported["clean_accuracy"] - reported["accuracy"])
    shares = {"uncompressed": "clean_accuracy", "with bit errors": "accuracy", "points lost": "lost"}
    others = reported[["system", "network"]].set_index("system")
    others["bytes (32-bit floats)"] = [f"{each:,.0f}" if pd.notna(each) else "" for each in reported["float_bytes"]]
    for title, name in shares.items():
        others[title] = [f"{100 * each:.2f}" if pd.notna(each) else "" for each in cells[name]]
    others["source"] = list(reported["source"])
    notes = _result(root, "notes").set_index("name")
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


def _noise(root: Path) -> dict[str, str]:
    """Fill in what noise networks of CIFAR-100 bear."""
    table = _result(root, "noise")
    names = {grain: f"squares of {grain:g}" for grain in table["grain"].unique()} | {0: "no noise", 1: "single pixels"}
    shown = table.assign(grain=table["grain"].map(names)).pivot(index="network", columns="grain", values="accuracy")
    shown = shown.loc[table["network"].unique(), [names[grain] for grain in sorted(names)]]
    levels = sorted(table.loc[table["noise"] > 0, "noise"].unique())
    return {
        "noise": markdown(shown.map(lambda share: f"{100 * share:.1f}")),
        "noise_levels": " and ".join(f"{each:g}" for each in levels),
        "noise_commands": commands_of(table),
    }


def _truth(root: Path) -> dict[str, str]:
    """Fill in attribution maps against the truth, and by deletion and insertion where there is none."""
    truth, cifar = (_table(root, dataset, "truth") for dataset in ("scene_digits", PAPER_DATA))
    gap = truth[(truth["metric"] == "gap") & (truth["feature"] == "clean") & (truth["level"] == "pixel")]
    gap = gap.set_index("method")["median"]
    shown = _maps(truth, {"inside": ("ratio", 1, 1), "pointing": ("pointing", 100, 0)})
    shown["completeness gap, median, %"] = [f"{100 * gap[each]:.2g}" if each in gap else "–" for each in METHODS]
    curves = {"deletion": ("deletion", 1, 3), "insertion": ("insertion", 1, 3)}
    return {
        "truth": markdown(shown.rename(index=METHODS)),
        "truth_commands": commands_of(truth),
        "cifar_truth": markdown(_maps(cifar, curves).rename(index=METHODS)),
        "cifar_truth_commands": commands_of(cifar),
        "truth_images": str(truth.loc[truth["metric"] == "deletion", "images"].max()),
        "cifar_truth_images": str(cifar.loc[cifar["metric"] == "deletion", "images"].max()),
    }


def _maps(table: pd.DataFrame, metrics: dict[str, tuple[str, float, int]]) -> pd.DataFrame:
    """Return a row a method: each metric (its name, factor and decimals) at the feature sent and received."""
    rows = table[table["level"] == "pixel"]
    shown = pd.DataFrame(index=pd.Index(METHODS, name="method"))
    for title, (metric, times, decimals) in metrics.items():
        for feature, name in {"clean": "sent", "received": "received"}.items():
            cells = rows[(rows["feature"] == feature) & (rows["metric"] == metric)].set_index("method").reindex(METHODS)
            shown[f"{title}, {name}"] = [
                f"{times * row.mean:.{decimals}f} ± {times * row.standard_error:.{decimals}f}"
                for row in cells[["mean", "standard_error"]].itertuples(index=False, name="Row")
            ]
    return shown


def _xai(root: Path) -> dict[str, str]:
    """Fill in trainings with and without L_XAI: accuracy, and what their maps are worth."""
    table, maps = _table(root, "scene_digits", "xai"), _table(root, "scene_digits", "explanations")
    gamma = table["gamma"].max()
    keys = ["slice_ratio", "window", "bytes"]
    grid = (
        table[table["ber"].isin(BER_GRID)].groupby([*keys, "train_seed", "gamma"])["accuracy"].mean().unstack("gamma")
    )
    difference = (grid[gamma] - grid[0]).groupby(keys).agg(["mean", "sem", "size"])
    rows = [
        dict(zip(("slice ratio", "window", "bytes", "points"), words, strict=True))
        for words in (
            (f"{ratio:g}", window, f"{size:.0f}", _points(row["mean"], row["sem"]))
            for (ratio, window, size), row in difference[::-1].iterrows()
        )
    ]
    values = maps[(maps["metric"].isin(("ratio", "pointing"))) & (maps["feature"] != "clean")]
    shown = {}
    for row in values.itertuples():
        times, decimals, title = (1, 1, "inside") if row.metric == "ratio" else (100, 0, "pointing, %")
        cell = f"{times * row.mean:.{decimals}f} ± {times * row.standard_error:.{decimals}f}"
        name = f"{title}, {row.feature.removeprefix('received, ')}"
        shown.setdefault(name, {})[METHODS[row.method]] = cell
    return {
        "xai": markdown(pd.DataFrame(rows).set_index("slice ratio")),
        "xai_maps": markdown(pd.DataFrame(shown)[sorted(shown)].rename_axis("method")),
        "xai_gamma": f"{gamma:g}",
        "xai_seeds": str(table["train_seed"].nunique()),
        "xai_sure_at": _sure_at([int(difference["size"].max())]),
        "xai_commands": commands_of(table),
    }


def _firmware(root: Path) -> dict[str, str]:
    """Fill in the device's costs, and how it was compared with the encoder in PyTorch."""
    found = {name: _result(root, f"firmware-{name}") for name in ("costs", "bytes", "symbols", "accuracy")}
    rows, costs = {}, found["costs"]
    compilers = " / ".join(costs["compiler"].unique())
    for name, each in costs.groupby("model", sort=False):
        kind, _, rest = name.partition(", ")
        both = {
            "RAM with stack, KB": each["ram_kb"].map("{:.1f}".format),
            "flash, KB": each["flash_kb"].map("{:.1f}".format),
            "instructions, millions": each["instructions_millions"].map("{:.3g}".format),
            "for each multiplication": each["instructions_per_mac"].map("{:.2f}".format),
        }
        title = f"{NETWORKS.get(kind, kind)}, {rest}, {each['payload_bytes'].iloc[0]:,.0f} B"
        rows[title] = {column: " / ".join(dict.fromkeys(cells)) for column, cells in both.items()}
    sums, symbols, accuracy = found["bytes"][["bytes", "differ"]].sum(), found["symbols"].iloc[0], found["accuracy"]
    shown = {
        percent(row.ber): {
            "float encoder": _share(row.floats),
            "integer encoder": _share(row.integers),
            "integers − floats, points": f"{row.difference:+.2f} ± {row.std:.2f}",
        }
        for row in accuracy.itertuples()
    }
    return {
        "firmware": markdown(pd.DataFrame.from_dict(rows, "index").rename_axis(f"device side ({compilers})")),
        "firmware_commands": commands_of(costs),
        "firmware_bytes": f"{sums['bytes'] / 1e6:.1f} million",
        "firmware_differ": f"{sums['differ']:,}" if sums["differ"] else "none",
        "firmware_equal": f"{symbols['equal']:.1%}",
        "firmware_one_step": f"{symbols['one_step']:.1%}",
        "firmware_further": f"{symbols['further']:.1%}" if symbols["further"] else "none",
        "firmware_seeds": str(accuracy["seeds"].max()),
        "firmware_accuracy": markdown(pd.DataFrame.from_dict(shown, "index").rename_axis("bit error rate")),
        "firmware_check_commands": commands_of(found["bytes"], found["symbols"], accuracy),
    }


def _speed(root: Path) -> dict[str, str]:
    """Fill in training speed, packing speed and the playground's latency."""
    speed, packing, latency = (_result(root, name) for name in ("speed", "packing", "latency"))
    columns = {}
    for title, name in {"": "of_limit", " (folded)": "of_folded_limit"}.items():
        for network, rows in speed.groupby("network", sort=False):
            cells = rows.set_index("what")[name]
            columns[f"{NETWORKS.get(network, network)}{title}"] = {
                what: f"{each:.2f}" if pd.notna(each) else "" for what, each in cells.items()
            }
    shown = latency.pivot(index="picture", columns="after", values="p95").loc[latency["picture"].unique()]
    shown = shown.map(lambda time: f"{time:.0f}").rename(columns={"key": "a key", "drag": "a fast drag"})
    return {
        "speed": markdown(pd.DataFrame(columns).rename_axis("step")),
        "packing": f"{packing['mb_per_second'].iloc[0]:.0f}",
        "speed_commands": commands_of(speed, packing),
        "latency": markdown(shown[sorted(shown)[::-1]].rename_axis("what is shown")),
        "latency_commands": commands_of(latency),
    }


def _notes(root: Path) -> dict[str, str]:
    """Fill in what was measured once."""
    notes = _result(root, "notes").set_index("name")
    words = {
        name: f"{row.value:g}" if pd.isna(row.spread) else f"{row.value:+g} ± {row.spread:g}"
        for name, row in zip(notes.index, notes.itertuples(), strict=True)
    }
    shown = notes.assign(value=words, command=notes["command"].map("`{}`".format, na_action="ignore").fillna(""))
    return {
        "notes": markdown(shown[["what", "value", "command"]].set_index("what")),
        **{f"note_{name}": word for name, word in words.items()},
    }


def _sure(differences: pd.DataFrame) -> dict[str, str]:
    """Return the error rates at which a difference is better, open or worse at 95 %, as lists in words."""
    verdicts = tables.difference_table(differences)["verdict"]
    return {name: _listed(verdicts.index[verdicts == name]) or "–" for name in ("better", "open", "worse")}


def _sure_at(pairs: Iterable[int]) -> str:
    counts = sorted(set(pairs), reverse=True)
    return _listed(f"{student.ppf(0.975, each - 1):.1f} standard errors from zero with {each} pairs" for each in counts)


def _listed(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _points(mean: float, error: float) -> str:
    return f"{100 * mean:+.1f} ± {100 * error:.1f}"


def _short(ber: float) -> str:
    return percent(ber).replace(" ", "")


def _share(value: float) -> str:
    return f"{value:.2%}" if pd.notna(value) else ""


def _checkpoints(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("checkpoints/*/config.json")) if not path.parent.name.startswith(".")]


def _about(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _default(root: Path) -> tuple[pd.DataFrame, dict]:
    """Return what was measured of the default checkpoint's codec, and its config.json."""
    folder = root / "checkpoints" / DEFAULT_CHECKPOINT
    return _read(folder / RESULTS)[lambda rows: rows["system"] == CODEC], _about(folder)


def _table(root: Path, dataset: str, kind: str = "") -> pd.DataFrame:
    path = tables.table_path(dataset, kind, root)
    return tables.read_table(path, kind) if path.is_file() and kind in tables.COLUMNS else _read(path)


def _result(root: Path, name: str) -> pd.DataFrame:
    return _read(root / "results" / f"{name}.csv", COLUMNS[name])


def _read(path: Path, columns: str = "") -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a table that the page of results shows")
    table = pd.read_csv(path)
    for name in columns.split():
        if name not in table:
            raise ValueError(f"{path} lacks the column {name!r}; it has {', '.join(table.columns)}")
    return table
