"""The `semanticnn` command. Only the standard library and tyro load before a command runs."""

import codecs
import io
import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import tyro

from semanticnn_core.commands.benchmark import Benchmark
from semanticnn_core.commands.decode import Decode
from semanticnn_core.commands.doctor import Doctor
from semanticnn_core.commands.encode import Encode
from semanticnn_core.commands.evaluate import Evaluate
from semanticnn_core.commands.export import Export
from semanticnn_core.commands.results import Results
from semanticnn_core.commands.run import Run
from semanticnn_core.commands.shared import record
from semanticnn_core.commands.train import Train
from semanticnn_core.commands.train_base import TrainBase
from semanticnn_core.config import unchecked
from semanticnn_core.files import expanded

COMMANDS = {
    "run": Run,
    "train-base": TrainBase,
    "train": Train,
    "evaluate": Evaluate,
    "benchmark": Benchmark,
    "doctor": Doctor,
    "encode": Encode,
    "decode": Decode,
    "export": Export,
    "results": Results,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit status 2, not in a traceback."""
    _replace_what_streams_lack()
    words = sys.argv[1:] if arguments is None else arguments
    command = None
    try:
        _check_text(words)
        record(words)
        with unchecked():
            command = tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                prog="semanticnn",
                description="SemanticNN Lab: features as a few hundred bytes, over a link that flips bits.",
                args=words,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
        _checked(command)()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, OSError, RuntimeError) as error:
        print(_explained(error), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        hint = "; the training goes on from its last finished epoch with --resume" if hasattr(command, "resume") else ""
        sys.exit(f"interrupted{hint}")


def _replace_what_streams_lack() -> None:
    """Print ? for characters such as × that the encoding of standard output or error lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="replace")


def _check_text(words: list[str]) -> None:
    """Refuse words that no table or settings file in UTF-8 could hold, before any work."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:  # Python's stand-ins for bytes that the locale does not know
            raise ValueError(f"{word!r} is no text in this locale; set PYTHONUTF8=1, or give another name") from None


def _checked(settings: Any, prefix: str = "--") -> Any:
    """Return the settings with all checks made and `~` in paths expanded; errors name options as they are typed."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    for name, value in values.items():
        if is_dataclass(value):
            values[name] = _checked(value, f"{prefix}{_typed(name)}.")
        elif isinstance(value, Path):
            values[name] = expanded(value)
        elif isinstance(value, tuple):
            values[name] = tuple(expanded(each) if isinstance(each, Path) else each for each in value)
    try:
        return type(settings)(**values)
    except ValueError as error:
        words = str(error).split(" ")  # "seeds must be …", "start and pretrained exclude …"
        for place in (0, 2) if words[1:2] == ["and"] else (0,):
            if words[place] in values:
                words[place] = prefix + _typed(words[place])
        raise ValueError(" ".join(words)) from error


def _typed(name: str) -> str:
    return name.replace("_", "-")


def _explained(error: Exception) -> str:
    """Return a user's mistake in one line; raise again what is a defect of ours, to show where it is."""
    if not str(error) or type(error) is RuntimeError or isinstance(error, NotImplementedError | RecursionError):
        raise error
    return "error: " + " ".join(str(error).split())


if __name__ == "__main__":
    main()
