"""Files: found where a user means them, written so that none is seen half-written, and no foreign one is replaced."""

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder that holds this package: the repository, unless it was installed from a wheel."""
UNFINISHED = ".unfinished-"
"""How the names of folders begin in which files are being written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, for a file or a folder; move it to `path` on success, delete it on any failure.

    It lies in a new hidden folder beside `path`, whose random name no other process has, on other machines neither.
    A file gets the permissions that the user's other new files have. An OSError while writing names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=UNFINISHED, dir=path.parent, ignore_cleanup_errors=True) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            if temporary.is_file():  # safetensors and tempfile make files that only their owner can read
                plain = Path(folder) / f"{path.name[:20]}.mode"
                plain.touch()
                temporary.chmod(plain.stat().st_mode)
            os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or (error.filename is not None and UNFINISHED not in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Within it no other process of this machine is between reading and writing a file of this folder, if all ask."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def claim(folder: str | Path, ours: Callable[[Path], bool], what: str, files: Collection[str] | None = None) -> Path:
    """Return `folder` as a path if a command may write there, and leave it as it is; call this before any work.

    ours: says of an existing path in the folder whether `what` wrote it, so that it may be replaced.
    what: the command, for messages.
    files: names of all that will be written, relative to the folder; None when the folder is replaced as a whole.
    Raises ValueError where a file stands in place of the folder, where writing is not possible, and where something
    that is not ours would be replaced. Other files in the folder do not matter.
    """
    folder = expanded(folder)
    try:
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
        if not there.is_dir():
            raise ValueError(f"{there} is no folder, so {what} cannot write to {folder}; name another folder")
        TemporaryFile(dir=there).close()
        names = (each.name for each in folder.iterdir()) if files is None and folder.is_dir() else files or ()
        taken = [folder / name for name in sorted(names) if os.path.lexists(folder / name)]
        foreign = [each for each in taken if not ours(each)]
    except OSError as error:
        raise ValueError(f"{what} cannot write to {folder}: {error.strerror}; name another folder") from error
    if foreign:
        raise ValueError(f"{foreign[0]} was not written by {what} and is not replaced; move it, or name another folder")
    return folder


def visible(folder: str | Path, pattern: str) -> list[Path]:
    """Return what matches a pattern in a folder, sorted, without hidden names (macOS adds a `._NAME` to a NAME)."""
    return sorted(each for each in Path(folder).glob(pattern) if not each.name.startswith("."))


def expanded(path: str | Path) -> Path:
    """Return a path with a leading `~` expanded where that user is known; never raises."""
    return Path(os.path.expanduser(path))


def located(path: str | Path) -> Path:
    """Return a path that exists as it is; else, if relative, the same path in the checkout holding this package.

    Notebooks opened in JupyterLab run in their own folder and still find `data`.
    """
    path = expanded(path)
    beside = CHECKOUT / path
    return beside if not path.exists() and beside.exists() else path


def in_checkout(path: str | Path) -> Path:
    """Return a relative path under the checkout that holds this package, wherever the notebook's kernel runs."""
    path = expanded(path)
    return CHECKOUT / path if (CHECKOUT / "notebooks").is_dir() else path
