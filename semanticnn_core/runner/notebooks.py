"""The notebook runner: sources in, executed notebooks and offline pages out.

`sources` reads the sources, `execution` runs one, `committed` keeps the notebooks of the repository. Everything runs in
the interpreter that runs this module, from the root of the repository.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
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
Planned = tuple[Path, NotebookNode, dict[str, Any]]
"""A notebook's source, its cells, and the values of its parameters."""


def run_notebooks(
    names: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    profile: str = "fast",
    out_dir: str | Path = Path("runs/notebooks"),
    notebooks_dir: str | Path = NOTEBOOKS,
    jobs: int = 1,
) -> list[NotebookRun]:
    """Execute notebooks, all by default, and leave each with its page, index.html and course.html, under `out_dir`.

    `names` are full or just numbers ("01"). `parameters` must be known to every named notebook; text is read as a
    value of the default's type, and a path counts from the working directory. The runner itself sets `profile`,
    `interactive=False` and `out_dir` where a notebook has them. Before anything runs, a ValueError says what is unknown
    or out of range, and when `out_dir` cannot be used or holds files of these names that the runner did not write.
    `jobs` notebooks run at the same time, in processes of their own that share the cores; a single one has them all.
    A notebook that fails is reported in its `NotebookRun.error`, and the others still run. Progress goes to standard
    error.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    plan, out_dir = Path(notebooks_dir) / "README.md", expanded(out_dir).absolute()
    planned = plan_notebooks(names, parameters, profile, out_dir, notebooks_dir)
    written = ["index.html", COURSE, *(f"{source.stem}{end}" for source, *_ in planned for end in (".html", ".ipynb"))]
    claim(out_dir, is_ours, "semanticnn run", written)
    if plan.is_file():
        write_text(out_dir / COURSE, render_course(plan))
    runs: dict[int, NotebookRun] = {}
    for number, run in _finished(planned, out_dir, min(jobs, len(planned))):
        runs[number] = run
        write_text(out_dir / "index.html", render_index([runs[each] for each in sorted(runs)], plan.is_file()))
    tell(f"{out_dir / 'index.html'}")
    return [runs[each] for each in sorted(runs)]


def plan_notebooks(
    names: Sequence[str],
    parameters: dict[str, Any] | None = None,
    profile: str = "fast",
    out_dir: Path = Path("runs"),
    notebooks_dir: str | Path = NOTEBOOKS,
) -> list[Planned]:
    """Return what `run_notebooks` would execute; a ValueError says which notebook, parameter or value there is not."""
    planned = []
    for source in find_sources(names, notebooks_dir):
        notebook = read_source(source)
        own = {"interactive": False, "profile": profile, "out_dir": str(out_dir / source.stem)}
        values = chosen_parameters(
            source.stem, default_parameters(notebook), own, parameters or {}, _data_folder(source)
        )
        planned.append((source, notebook, values))
    if not planned:
        raise ValueError(f"no notebooks in {Path(notebooks_dir) / 'source'}")
    return planned


def _finished(planned: Sequence[Planned], out_dir: Path, jobs: int) -> Iterator[tuple[int, NotebookRun]]:
    """Run notebooks, `jobs` at the same time; yield the number and the run of each as it ends."""
    labels = [f"[{number}/{len(planned)}] {source.stem}" for number, (source, *_) in enumerate(planned, 1)]
    if jobs == 1:
        for number, each in enumerate(planned):
            yield number, _run(labels[number], *each, out_dir)
        return
    rest = iter(range(len(planned)))
    with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (jobs,)) as pool:

        def begun(count: int) -> dict[Future, int]:  # no more than can run: what waits in the pool outlives Ctrl-C
            return {pool.submit(_run, labels[i], *planned[i], out_dir, bar=False): i for i in islice(rest, count)}

        running = begun(jobs)
        while running:
            for run in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(run)
                running |= begun(1)
                yield number, run.result()


def _share_cores(jobs: int) -> None:
    """Leave each of `jobs` processes its share of the cores: threads in excess only wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or jobs) // jobs, 1)))


def _data_folder(source: Path) -> Path:
    """Return what `data` means to a notebook, whose kernel runs beside the folder of the notebooks."""
    beside = source.parents[2] / "data"
    return beside if beside.is_dir() else CHECKOUT / "data"


def _run(
    label: str, source: Path, notebook: NotebookNode, values: dict[str, Any], out_dir: Path, bar: bool = True
) -> NotebookRun:
    start = time.perf_counter()
    executed, error = execute(label, source, notebook, values, bar)
    executed.metadata["generator"] = GENERATOR
    seconds = time.perf_counter() - start
    title, about = headline(notebook, source.stem)
    paths = out_dir / f"{source.stem}.ipynb", out_dir / f"{source.stem}.html"
    write_text(paths[0], nbformat.writes(executed))
    write_text(paths[1], render_page(executed, title, source.parents[1]))
    tell(f"{label}  {seconds:.1f} s" + (f"  FAILED {error}" if error else ""))
    return NotebookRun(source.stem, title, about, values, seconds, error, *paths, first_picture(executed))
