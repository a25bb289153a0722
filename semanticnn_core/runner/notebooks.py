"""The notebook runner: sources in, executed notebooks and offline pages out.

`sources` reads the sources, `execution` runs one, `committed` keeps the notebooks of the repository. Everything runs in
the interpreter that runs this module, from the root of the repository.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from semanticnn_core.files import CHECKOUT, claim, expanded, write_text
from semanticnn_core.runner.execution import execute, tell
from semanticnn_core.runner.pages import (
    COURSE,
    GENERATOR,
    NotebookRun,
    first_picture,
    headline,
    is_ours,
    render_course,
    render_index,
    render_page,
)
from semanticnn_core.runner.parameters import chosen_parameters, default_parameters
from semanticnn_core.runner.sources import NOTEBOOKS, find_sources, read_source

PROFILES = ("fast", "full")


def run_notebooks(
    names: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    profile: str = "fast",
    out_dir: str | Path = Path("runs/notebooks"),
    notebooks_dir: str | Path = NOTEBOOKS,
) -> list[NotebookRun]:
    """Execute notebooks, all by default, and leave each with its page, index.html and course.html, under `out_dir`.

    `names` are full or just numbers ("01"). `parameters` must be known to every named notebook; text is read as a
    value of the default's type, and a path counts from the working directory. The runner itself sets `profile`,
    `interactive=False` and `out_dir` where a notebook has them. Before anything runs, a ValueError says what is unknown
    or out of range, and when `out_dir` cannot be used or holds files of these names that the runner did not write.
    A notebook that fails is reported in its `NotebookRun.error`, and the others still run. Progress goes to standard
    error.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    sources = find_sources(names, notebooks_dir)
    if not sources:
        raise ValueError(f"no notebooks in {Path(notebooks_dir) / 'source'}")
    plan = Path(notebooks_dir) / "README.md"
    written = ["index.html", COURSE, *(f"{source.stem}{end}" for source in sources for end in (".html", ".ipynb"))]
    out_dir = expanded(out_dir).absolute()
    planned = []
    for source in sources:
        notebook = read_source(source)
        own = {"interactive": False, "profile": profile, "out_dir": str(out_dir / source.stem)}
        values = chosen_parameters(
            source.stem, default_parameters(notebook), own, parameters or {}, _data_folder(source)
        )
        planned.append((source, notebook, values))
    claim(out_dir, is_ours, "semanticnn run", written)
    if plan.is_file():
        write_text(out_dir / COURSE, render_course(plan))
    runs: list[NotebookRun] = []
    for number, (source, notebook, values) in enumerate(planned, 1):
        runs.append(_run(f"[{number}/{len(planned)}] {source.stem}", source, notebook, values, out_dir))
        write_text(out_dir / "index.html", render_index(runs, plan.is_file()))
    tell(f"{out_dir / 'index.html'}")
    return runs


def _data_folder(source: Path) -> Path:
    """Return what `data` means to a notebook, whose kernel runs beside the folder of the notebooks."""
    beside = source.parents[2] / "data"
    return beside if beside.is_dir() else CHECKOUT / "data"


def _run(label: str, source: Path, notebook: NotebookNode, values: dict[str, Any], out_dir: Path) -> NotebookRun:
    start = time.perf_counter()
    executed, error = execute(label, source, notebook, values)
    executed.metadata["generator"] = GENERATOR
    seconds = time.perf_counter() - start
    title, about = headline(notebook, source.stem)
    paths = out_dir / f"{source.stem}.ipynb", out_dir / f"{source.stem}.html"
    write_text(paths[0], nbformat.writes(executed))
    write_text(paths[1], render_page(executed, title, source.parents[1]))
    tell(f"{label}  {seconds:.1f} s" + (f"  FAILED {error}" if error else ""))
    return NotebookRun(source.stem, title, about, values, seconds, error, *paths, first_picture(executed))
