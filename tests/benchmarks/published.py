"""How benchmarks write what they measured: a published table, with the command that made it."""

import shlex
import sys
from pathlib import Path

import pandas as pd

from semanticnn_core.evaluation.report.words import COLUMNS
from semanticnn_core.files import replacing


def this_command() -> str:
    """Return the running benchmark's command, as it is given in the checkout."""
    return shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def publish(path: Path, table: pd.DataFrame) -> None:
    """Write a table with a column `command`, where it has none, in place of the table that was there.

    Raises ValueError when it lacks a column that the page of results needs.
    """
    table = table if "command" in table else table.assign(command=this_command())
    missing = [name for name in COLUMNS.get(path.stem, "").split() if name not in table]
    if missing:
        raise ValueError(f"{path} needs the column {missing[0]!r}; the table has {', '.join(table.columns)}")
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", encoding="utf-8")
