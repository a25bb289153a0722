"""Writing files so that nothing half-written is ever seen."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder that holds this package: the repository, unless it was installed from a wheel."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def located(path: str | Path) -> Path:
    """Return a path that exists as it is; else, if relative, the same path in the checkout holding this package.

    Notebooks opened in JupyterLab run in their own folder and still find `data`.
    """
    path = Path(path).expanduser()
    beside = CHECKOUT / path
    return beside if not path.exists() and beside.exists() else path


def in_checkout(path: str | Path) -> Path:
    """Return a relative path under the checkout that holds this package, wherever the notebook's kernel runs."""
    return CHECKOUT / path if (CHECKOUT / "notebooks").is_dir() else Path(path)
