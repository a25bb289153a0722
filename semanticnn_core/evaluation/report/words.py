"""Reading the tables of results, and saying numbers in words."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from scipy.special import stdtrit

from semanticnn_core.config import DEFAULT_CHECKPOINT, percent
from semanticnn_core.evaluation import tables
from semanticnn_core.evaluation.publish import RESULTS

COLUMNS = {
    "noise": "network noise grain accuracy images command",
    "firmware-bytes": "model witness bytes differ command",
    "firmware-costs": "model payload_bytes compiler ram_kb flash_kb instructions_millions instructions_per_mac command",
    "firmware-symbols": "symbols equal one_step further command",
    "firmware-accuracy": "ber seeds floats integers difference std command",
    "speed": "network what of_limit of_folded_limit command",
    "packing": "mb_per_second command",
    "latency": "after picture p95 command",
    "codes": "code ber data_bytes bytes lost messages command",
    "scene_digits-rates": "system rate accuracy command",
    "notes": "name value spread what command",
}
"""Tables that benchmarks write, and the columns that a page needs; they may have more. Accuracies are shares (0–1),
differences are points. noise: standard deviation in grey levels; grain: side of the squares in pixels, 0 without noise.
notes: what was measured once, in the unit that `what` says."""
NETWORKS = {"mobilenet_v2": "MobileNetV2", "resnet50": "ResNet-50"}
PAPER_DATA = "cifar100"
CODEC = "semanticnn"
"""The system of the default checkpoint that is shown."""


def markdown(table: pd.DataFrame) -> str:
    """Write a table of words in Markdown, its index as the first column."""
    rows = [[table.index.name or "", *table.columns], ["---"] * (1 + len(table.columns)), *table.itertuples(name=None)]
    head, line, *rest = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([head, line.replace(" ", ""), *rest])


def commands_of(*found: pd.DataFrame) -> str:
    """Return the commands that made tables, each once, as a block of code."""
    lines = [line for table in found for row in table["command"].unique() for line in str(row).split(" && ")]
    return "\n".join(["```", *dict.fromkeys(lines), "```"])


def verdicts(differences: pd.DataFrame) -> dict[str, str]:
    """Return the error rates at which a difference is better, open or worse at 95 %, as lists in words."""
    verdicts = tables.difference_table(differences)["verdict"]
    return {name: listed(verdicts.index[verdicts == name]) or "–" for name in ("better", "open", "worse")}


def sure_at(pairs: Iterable[int]) -> str:
    counts = sorted(set(pairs), reverse=True)
    return listed(f"{stdtrit(each - 1, 0.975):.1f} standard errors from zero with {each} pairs" for each in counts)


def listed(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def in_points(mean: float, error: float) -> str:
    return f"{100 * mean:+.1f} ± {100 * error:.1f}"


def short_percent(ber: float) -> str:
    return percent(ber).replace(" ", "")


def in_percent(value: float) -> str:
    return f"{value:.2%}" if pd.notna(value) else ""


def checkpoint_files(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("checkpoints/*/config.json")) if not path.parent.name.startswith(".")]


def description_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def default_checkpoint(root: Path) -> tuple[pd.DataFrame, dict]:
    """Return what was measured of the default checkpoint's codec, and its config.json."""
    folder = root / "checkpoints" / DEFAULT_CHECKPOINT
    return read_columns(folder / RESULTS)[lambda rows: rows["system"] == CODEC], description_of(folder)


def published_table(root: Path, dataset: str, kind: str = "") -> pd.DataFrame:
    path = tables.table_path(dataset, kind, root)
    return tables.read_table(path, kind) if path.is_file() and kind in tables.COLUMNS else read_columns(path)


def result_table(root: Path, name: str) -> pd.DataFrame:
    return read_columns(root / "results" / f"{name}.csv", COLUMNS[name])


def read_columns(path: Path, columns: str = "") -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a table that the page of results shows")
    table = pd.read_csv(path)
    for name in columns.split():
        if name not in table:
            raise ValueError(f"{path} lacks the column {name!r}; it has {', '.join(table.columns)}")
    return table
