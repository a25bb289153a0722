"""The `semanticnn` command. Only the standard library and tyro load before a command runs."""

import sys

import tyro

from semanticnn_core.commands.evaluate import Evaluate
from semanticnn_core.commands.export import Export
from semanticnn_core.commands.results import Results
from semanticnn_core.commands.run import Run
from semanticnn_core.commands.shared import record
from semanticnn_core.commands.train import Train
from semanticnn_core.commands.train_base import TrainBase

COMMANDS = {
    "run": Run,
    "train-base": TrainBase,
    "train": Train,
    "evaluate": Evaluate,
    "export": Export,
    "results": Results,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit status 2, not in a traceback."""
    record(sys.argv[1:] if arguments is None else arguments)
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="semanticnn",
        description="SemanticNN Lab: features as a few hundred bytes, over a link that flips bits.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        command()
    except (ValueError, OSError, RuntimeError) as error:
        print(_explained(error), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        hint = "; the training goes on from its last finished epoch with --resume" if hasattr(command, "resume") else ""
        sys.exit(f"interrupted{hint}")


def _explained(error: Exception) -> str:
    if not str(error) or type(error) in (RuntimeError, KeyError):
        raise error  # a defect of ours: show where
    return f"error: {error}"


if __name__ == "__main__":
    main()
