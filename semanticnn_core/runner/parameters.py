"""Notebook parameters: found in a notebook, read from text, and checked before anything runs."""

import ast
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nbformat import NotebookNode

from semanticnn_core.files import expanded, located
from semanticnn_core.settings import Settings, setting

EMBEDDED = ("scene_digits", "cifar100")
"""Data sets that are no files of the user."""


@dataclass(frozen=True)
class Ranges(Settings):
    """What the parameters of the notebooks may be; of other names only the type is checked."""

    profile: Literal["fast", "full"] = "fast"
    seed: int = setting(0, 0, 2**31 - 1)
    ber: float = setting(0.05, 0, 0.5)
    slice_ratio: float = 1.0
    window: Literal["center", "importance"] = "center"
    method: str = ""
    image_index: int = setting(0, 0, 63)  # of the images that every profile loads
    n_centers: Literal[2, 4, 8, 16, 32, 64] = 8
    sigma: float = setting(4.0, 1e-3, 1e3)
    alpha: float = setting(0.1, 0, 1e6)

    def check_together(self) -> None:
        if not 0 < self.slice_ratio <= 1:
            raise ValueError(f"slice_ratio must be in (0, 1], got {self.slice_ratio:g}")
        if self.method:
            from semanticnn_core.explain.attribution import METHODS

            if self.method not in METHODS:
                raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")


RANGED = frozenset(each.name for each in fields(Ranges))


def default_parameters(notebook: NotebookNode) -> dict[str, Any]:
    """Return names and defaults from the cell tagged `parameters`; a default that is no literal counts as None."""
    found: dict[str, Any] = {}
    cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for statement in ast.parse("\n".join(cells)).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found |= {each.id: _literal(ast.unparse(statement.value)) for each in targets if isinstance(each, ast.Name)}
    return found


def chosen_parameters(
    name: str, defaults: dict[str, Any], own: dict[str, Any], given: dict[str, Any], data: Path
) -> dict[str, Any]:
    """Return the values to set in a notebook: the runner's own where it has them, and those given by the user.

    data: the folder of data sets and checkpoints that the notebook uses.
    Raises ValueError for a name that the notebook does not have, a value of another type or out of its range, and a
    checkpoint or data set that is not there.
    """
    for each in given:
        if each not in defaults:
            known = ", ".join(defaults) or "none"
            raise ValueError(f"notebook {name} has no parameter {each!r}; it has {known}")
    typed = {each: _typed(each, value, defaults[each]) for each, value in given.items()}
    Ranges(**{each: value for each, value in typed.items() if each in RANGED})
    placed = {each: _placed(each, value, data) if isinstance(value, str) else value for each, value in typed.items()}
    return {each: value for each, value in own.items() if each in defaults} | placed


def _typed(name: str, value: Any, default: Any) -> Any:
    """Return `value` as the type of `default`: text is read as Python, sequences become lists for papermill."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and not isinstance(default, str):
        read = _literal(value.capitalize() if value in ("true", "false", "none") else value)
        value = value if read is None and default is not None else read
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        return list(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise ValueError(f"{name} must be of type {type(default).__name__}, got {value!r}")
    return value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _placed(name: str, value: str, data: Path) -> str:
    """Return text as the notebook, which runs in another folder, must have it: names stay, paths become absolute."""
    if name == "checkpoint" and value:
        return _checkpoint(str(expanded(value)), data)
    if name == "dataset":
        return _dataset(str(expanded(value)), data)
    if name == "out_dir" or (name not in RANGED and value and os.path.exists(expanded(value))):
        return os.path.abspath(expanded(value))
    return value


def _checkpoint(value: str, data: Path) -> str:
    """Return a checkpoint that is found as in the other commands, else in `data`."""
    from semanticnn_core.systems.checkpoints import CheckpointError, find_checkpoint

    try:
        folder = find_checkpoint(value)
    except CheckpointError:
        folder = find_checkpoint(value, data)
    return value if _same(folder, data / "checkpoints" / value) else os.path.abspath(folder)


def _dataset(value: str, data: Path) -> str:
    """Return a data set that is found as in the other commands, else in `data`; what is in it is not looked at."""
    if value in EMBEDDED:
        return value
    for folder in (located("data"), data):
        for place in (folder / f"{value}.npz", folder / value):
            if os.path.exists(place):
                return value if _same(folder, data) else os.path.abspath(place)
    if not os.path.exists(value):
        from semanticnn_core.datasets import load_dataset

        load_dataset(value, data)  # raises, and says where it was looked for
    return os.path.abspath(value)


def _same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)
