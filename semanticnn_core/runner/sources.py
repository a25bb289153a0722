"""The sources of the notebooks: `notebooks/source/NN_name.py`, jupytext's py:percent."""

import platform
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from semanticnn_core.files import CHECKOUT, visible
from semanticnn_core.runner.parameters import default_parameters

NOTEBOOKS = CHECKOUT / "notebooks"
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


def committed_path(source: Path) -> Path:
    """Return the notebook that a source is the source of."""
    return source.parents[1] / f"{source.stem}.ipynb"
