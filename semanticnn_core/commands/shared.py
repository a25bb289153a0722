"""What several commands need."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

_arguments: list[str] = []


def record(arguments: Sequence[str]) -> None:
    """Remember the words that the command was given, for `this_command`."""
    _arguments[:] = arguments


def this_command() -> str:
    """Return the running command as anybody would give it: without where the data lie here, or that it was resumed."""
    words, kept = iter(_arguments), []
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if option == "--data-root" and "=" not in word:
            next(words, None)
        elif option not in ("--data-root", "--resume"):
            kept.append(word)
    return shlex.join(["semanticnn", *kept])


def state_folder(out: Path, stage: str) -> Path:
    """Return where a training keeps what it needs to resume: under runs/, one folder for each folder to publish."""
    out = out.resolve()
    return Path("runs/training") / f"{out.name}-{crc32(str(out).encode()):08x}" / stage
