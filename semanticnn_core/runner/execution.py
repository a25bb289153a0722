"""The execution of one notebook in the running interpreter."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode

from semanticnn_core.panels.kernel import environment
from semanticnn_core.runner.pages import first_picture
from semanticnn_core.runner.sources import committed_path

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class ThisPython(AsyncKernelManager):
    """A kernel in the running interpreter, whatever kernels are installed, without progress bars and log lines.

    Not even errors: an idle kernel that is stopped reports the interrupt as one. A cell's errors come as messages.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(["--log-level=CRITICAL"]), env={**environment(), "TQDM_DISABLE": "1"})


def execute(
    label: str, source: Path, notebook: NotebookNode, values: dict[str, Any], bar: bool = True
) -> tuple[NotebookNode, str | None]:
    """Execute a notebook; return it, partial where it failed, and None or what failed in which cell.

    bar: whether a terminal shows how far it is; where several run at the same time, lines say when each begins.
    """
    error = None
    if not (bar and sys.stderr.isatty()):
        tell(f"{label} …")
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
                progress_bar={"desc": label, "leave": False, "disable": None if bar else True},
            )
        except Exception as reason:  # a cell's error, or a kernel that died: reported, so that the others run
            error = _where(nbformat.read(output, as_version=4), reason)
        executed = _without_views(nbformat.read(output, as_version=4))
    if not error and not first_picture(executed) and committed_path(source).is_file():
        if first_picture(nbformat.read(committed_path(source), as_version=4)):
            error = f"without a single picture, although {committed_path(source).name} holds some"
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


def tell(line: str) -> None:
    """Print a line of progress on standard error."""
    print(line, file=sys.stderr, flush=True)
