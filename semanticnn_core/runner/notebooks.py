"""The notebook runner: sources in, executed notebooks and offline pages out.

The source of truth is `notebooks/source/NN_name.py` (jupytext, py:percent). `run_notebooks` executes sources with
parameters into a folder; `regenerate` writes the `notebooks/NN_name.ipynb` that are committed; `check_pairs` says
where the two differ. Everything runs in the interpreter that runs this module, from the root of the repository.
"""

import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode

from semanticnn_core.files import CHECKOUT, claim, expanded, replacing, visible
from semanticnn_core.panels.kernel import environment
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

NOTEBOOKS = CHECKOUT / "notebooks"
PROFILES = ("fast", "full")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
LARGEST_NOTEBOOK = 1_000_000
"""Bytes a committed notebook may have."""
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": platform.python_version(),
    },
}
"""What JupyterLab sets when it opens a notebook with this Python: where it differs, the notebook counts as changed."""
HIDDEN = {"collapsed": True, "jupyter": {"outputs_hidden": True, "source_hidden": True}}
"""Metadata of a cell whose source and outputs JupyterLab folds."""


class ThisPython(AsyncKernelManager):
    """A kernel in the running interpreter, whatever kernels are installed, without progress bars and log lines."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(["--log-level=ERROR"]), env={**environment(), "TQDM_DISABLE": "1"})


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
        _write(out_dir / COURSE, render_course(plan))
    runs: list[NotebookRun] = []
    for number, (source, notebook, values) in enumerate(planned, 1):
        runs.append(_run(f"[{number}/{len(planned)}] {source.stem}", source, notebook, values, out_dir))
        _write(out_dir / "index.html", render_index(runs, plan.is_file()))
    _tell(f"{out_dir / 'index.html'}")
    return runs


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
        executed, error = _execute(label, source, notebook, values)
        if error:
            raise RuntimeError(f"{source.stem} {error}")
        written.append(_committed(source))
        _write(written[-1], nbformat.writes(_with_outputs(notebook, executed)) + "\n")
        _tell(f"{label}  wrote {written[-1].name}, {written[-1].stat().st_size / 1000:.0f} kB")
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


def find_sources(names: Sequence[str] = (), notebooks_dir: str | Path = NOTEBOOKS) -> list[Path]:
    """Return the sources of the named notebooks, of all without names; an unknown name is a ValueError."""
    folder = Path(notebooks_dir).resolve() / "source"
    known = {path.stem: path for path in visible(folder, "*.py")}
    chosen = {}
    for name in names or known:
        matches = [each for each in known if Path(name).stem in (each, each.split("_")[0])]
        if not matches:
            raise ValueError(f"unknown notebook {name!r}; there are {', '.join(known) or 'none'}")
        chosen |= {each: known[each] for each in matches}
    return list(chosen.values())


def read_source(path: Path) -> NotebookNode:
    """Read a py:percent file as a notebook whose cell ids and metadata depend on its text alone.

    Cells tagged `solution` are folded. A file that is no such text is a ValueError that names it.
    """
    try:
        notebook = jupytext.read(path, fmt="py:percent")
        default_parameters(notebook)
    except (ValueError, SyntaxError) as error:  # not UTF-8, or no Python where the parameters are
        raise ValueError(f"{path} cannot be read: {error}; it must be Python in UTF-8, in cells") from error
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata.pop("lines_to_next_cell", None)
        if "solution" in cell.metadata.get("tags", []) and cell.cell_type == "code":
            cell.metadata.update(nbformat.from_dict(HIDDEN))
    return notebook


def _committed(source: Path) -> Path:
    return source.parents[1] / f"{source.stem}.ipynb"


def _data_folder(source: Path) -> Path:
    """Return what `data` means to a notebook, whose kernel runs beside the folder of the notebooks."""
    beside = source.parents[2] / "data"
    return beside if beside.is_dir() else CHECKOUT / "data"


def _run(label: str, source: Path, notebook: NotebookNode, values: dict[str, Any], out_dir: Path) -> NotebookRun:
    start = time.perf_counter()
    executed, error = _execute(label, source, notebook, values)
    executed.metadata["generator"] = GENERATOR
    seconds = time.perf_counter() - start
    title, about = headline(notebook, source.stem)
    paths = out_dir / f"{source.stem}.ipynb", out_dir / f"{source.stem}.html"
    _write(paths[0], nbformat.writes(executed))
    _write(paths[1], render_page(executed, title, source.parents[1]))
    _tell(f"{label}  {seconds:.1f} s" + (f"  FAILED {error}" if error else ""))
    return NotebookRun(source.stem, title, about, values, seconds, error, *paths, first_picture(executed))


def _execute(
    label: str, source: Path, notebook: NotebookNode, values: dict[str, Any]
) -> tuple[NotebookNode, str | None]:
    """Execute a notebook; return it, partial where it failed, and None or what failed in which cell."""
    error = None
    if not sys.stderr.isatty():  # a terminal gets a bar
        _tell(f"{label} …")
    with TemporaryDirectory() as folder:
        output = Path(folder) / "executed.ipynb"
        try:
            papermill.execute_notebook(
                notebook,
                output,
                values,
                kernel_name="python3",
                language="python",
                cwd=source.parents[2],
                kernel_manager_class=ThisPython,
                extra_arguments=[f"--ipython-dir={folder}"],  # without the user's settings and startup files
                store_widget_state=False,
                coalesce_streams=True,
                progress_bar={"desc": label, "leave": False, "disable": None},
            )
        except Exception as reason:  # a cell's error, or a kernel that died: reported, so that the others run
            error = _where(nbformat.read(output, as_version=4), reason)
        executed = _without_views(nbformat.read(output, as_version=4))
    if not error and not first_picture(executed) and _committed(source).is_file():
        if first_picture(nbformat.read(_committed(source), as_version=4)):
            error = f"without a single picture, although {_committed(source).name} holds some"
    return executed, error


def _without_views(executed: NotebookNode) -> NotebookNode:
    """Drop what only a live widget can show: tqdm's notebook bars ignore TQDM_DISABLE."""
    for cell in executed.cells:
        if "outputs" in cell:
            cell.outputs = [each for each in cell.outputs if WIDGET_VIEW not in each.get("data", {})]
    return executed


def _where(executed: NotebookNode, reason: Exception) -> str:
    """Say in one line in which cell the run ended, and why."""
    begun = [cell for cell in executed.cells if cell.metadata.get("papermill", {}).get("start_time")]
    code = [cell for cell in begun if cell.cell_type == "code"]
    cell = next((cell for cell in code if cell.metadata.papermill.exception), code[-1] if code else None)
    why = f"{type(reason).__name__}: {reason}"
    if isinstance(reason, papermill.PapermillExecutionError):
        why = f"{reason.ename}: {reason.evalue}"
    why = " ".join(why.split())[:300]
    if cell is None:
        return f"before its first cell: {why}"
    number = code.index(cell) + 1
    return f"in cell [{number}] `{cell.source.strip().splitlines()[0]}`: {why}"


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


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        regenerate(sys.argv[1:])
    except (RuntimeError, ValueError) as failure:
        sys.exit(f"error: {failure}")
