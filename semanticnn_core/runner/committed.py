"""The notebooks that are committed: written from the sources, and checked against them."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from semanticnn_core.files import visible, write_text
from semanticnn_core.runner.execution import execute, tell
from semanticnn_core.runner.pages import first_picture
from semanticnn_core.runner.parameters import default_parameters
from semanticnn_core.runner.sources import NOTEBOOKS, committed_path, find_sources, read_source

LARGEST_NOTEBOOK = 1_000_000
"""Bytes a committed notebook may have."""
RANDOM = re.compile(r"\bT_[0-9a-f]{5}|(?<= at )0x[0-9a-f]+(?=>)")
"""What differs in every run: the name that pandas gives a styled table, and where an object lies in memory."""


def regenerate(names: Sequence[str] = (), notebooks_dir: str | Path = NOTEBOOKS) -> list[Path]:
    """Execute sources in the fast profile and write the notebooks to commit; a failing one is a RuntimeError.

    Stored are the source's own inputs (`interactive = True`) with the outputs of a run without widgets, and nothing
    that changes from run to run: no times, paths, widget states or random cell ids.
    """
    sources, written = find_sources(names, notebooks_dir), []
    for number, source in enumerate(sources, 1):
        label, notebook = f"[{number}/{len(sources)}] {source.stem}", read_source(source)
        known, own = default_parameters(notebook), {"interactive": False, "profile": "fast"}
        values = {name: value for name, value in own.items() if name in known}
        executed, error = execute(label, source, notebook, values)
        if error:
            raise RuntimeError(f"{source.stem} {error}")
        written.append(committed_path(source))
        write_text(written[-1], nbformat.writes(_with_outputs(notebook, executed)) + "\n")
        tell(f"{label}  wrote {written[-1].name}, {written[-1].stat().st_size / 1000:.0f} kB")
    return written


def check_pairs(notebooks_dir: str | Path = NOTEBOOKS) -> list[str]:
    """Return what is wrong with the committed notebooks, one sentence each; nothing when all is well."""
    notebooks_dir = Path(notebooks_dir)
    sources = {source.stem: source for source in find_sources((), notebooks_dir)}
    committed = {path.stem: path for path in visible(notebooks_dir, "*.ipynb")}
    problems = [f"{name}.ipynb has no source" for name in committed.keys() - sources.keys()]
    for name, source in sources.items():
        if name not in committed:
            problems.append(f"{name}.ipynb is missing")
        else:
            problems += [f"{name}.ipynb {problem}" for problem in _problems(read_source(source), committed[name])]
    return problems


def _with_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return the source's notebook with the outputs of its executed twin."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kept = (cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", []))
    ran = [cell for cell in kept if cell.cell_type == "code"]
    for number, (cell, twin) in enumerate(zip(code, ran, strict=True), 1):
        cell.outputs, cell.execution_count = twin.outputs, number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
            for kind, text in output.get("data", {}).items():
                if kind in ("text/html", "text/plain"):
                    output.data[kind] = RANDOM.sub(f"T_{number:05}", text)
    return notebook


def _problems(source: NotebookNode, path: Path) -> list[str]:
    committed = nbformat.read(path, as_version=4)
    outputs = [output for cell in committed.cells for output in cell.get("outputs", [])]
    found = {
        "differs from its source": _inputs(committed) != _inputs(source),
        f"is larger than {LARGEST_NOTEBOOK // 1000} kB": path.stat().st_size > LARGEST_NOTEBOOK,
        "holds an error": any(output.output_type == "error" for output in outputs),
        "holds messages on standard error": any(output.get("name") == "stderr" for output in outputs),
        "holds widget states": "widgets" in committed.metadata,
        "holds paths of this machine": str(path.resolve().parents[1]) in path.read_text(encoding="utf-8"),
        "has no picture": first_picture(committed) is None,
    }
    return [problem for problem, present in found.items() if present]


def _inputs(notebook: NotebookNode) -> list[tuple[str, str, list[str]]]:
    return [(cell.cell_type, cell.source.strip(), cell.metadata.get("tags", [])) for cell in notebook.cells]


if __name__ == "__main__":
    try:
        regenerate(sys.argv[1:])
    except (RuntimeError, ValueError) as failure:
        sys.exit(f"error: {failure}")
