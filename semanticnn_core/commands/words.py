"""The words of a command line, as a command with all checks made."""

from collections.abc import Sequence
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
from semanticnn_core.commands.live import ImpairLink, Send, Serve
from semanticnn_core.commands.quickstart import Quickstart
from semanticnn_core.commands.report import Report
from semanticnn_core.commands.results import Results
from semanticnn_core.commands.run import Run
from semanticnn_core.commands.sweep import Sweep
from semanticnn_core.commands.train import Train
from semanticnn_core.commands.train_base import TrainBase
from semanticnn_core.files import expanded
from semanticnn_core.settings import unchecked

COMMANDS = {
    "run": Run,
    "quickstart": Quickstart,
    "train-base": TrainBase,
    "train": Train,
    "evaluate": Evaluate,
    "benchmark": Benchmark,
    "sweep": Sweep,
    "doctor": Doctor,
    "report": Report,
    "encode": Encode,
    "decode": Decode,
    "export": Export,
    "serve": Serve,
    "send": Send,
    "impair": ImpairLink,
    "results": Results,
}


def parsed(words: Sequence[str]) -> Any:
    """Return the command that words give, ready to be called; its errors name options as they are typed.

    Raises ValueError for values out of range, and ends the process, with its own message, for what is no option.
    """
    with unchecked():
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="semanticnn",
            description="SemanticNN Lab: features as a few hundred bytes, over a link that flips bits.",
            args=list(words),
            config=(tyro.conf.FlagCreatePairsOff,),
        )


def checked(settings: Any, prefix: str = "--") -> Any:
    """Return the settings with all checks made and `~` in paths expanded; errors name options as they are typed."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    for name, value in values.items():
        if is_dataclass(value):
            values[name] = checked(value, f"{prefix}{_typed(name)}.")
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
