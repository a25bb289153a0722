"""What several commands need."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.stm32.quantize import Ranges
    from semanticnn_core.systems.checkpoints import Checkpoint
    from semanticnn_core.tasks.split import SplitModel

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


def checkpoint_folder(out: Path, what: str, *systems: str) -> Path:
    """Return a folder to publish a checkpoint in; refuse one with such files that are not a checkpoint's."""
    from semanticnn_core.files import claim

    names = (
        "base.safetensors",
        "config.json",
        "README.md",
        "results.csv",
        *(f"{each}.safetensors" for each in systems),
    )
    return claim(out, lambda path: _is_checkpoint(path.parent), what, names)


def surveyed(data: "ImageDataset") -> str:
    """Say what a data set holds before anything is trained on it, refuse damaged images; returns its fingerprint."""
    from semanticnn_core.datasets import survey
    from semanticnn_core.training.loop import is_main_process

    summary = survey(data)
    if is_main_process():
        print(summary.describe(), file=sys.stderr, flush=True)
    summary.refuse_damaged()
    return summary.fingerprint


def calibration_of(checkpoint: "Checkpoint", system: str, dataset: str | None, root: Path) -> "Ranges":
    """Return the ranges that fix a checkpoint's integer encoder: those it keeps, or a data set's where one is named.

    Raises DataError where they have to be measured and the data are missing.
    """
    from semanticnn_core.datasets import load_dataset
    from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, Ranges, measure_ranges

    kept = checkpoint.about.get("systems", {}).get(system, {}).get("ranges")
    if kept and not dataset:
        return Ranges(**kept)
    model = checkpoint.model
    data = load_dataset(checkpoint.dataset(dataset or ""), root, model.image_size, download=False)
    return measure_ranges(model, checkpoint.system(system), data.train.first(CALIBRATION_IMAGES)["image"])


def check_classifier(model: "SplitModel", checkpoint: str) -> None:
    """Refuse a network whose answer is not a class an image."""
    if len(model.output_shape) != 1:
        raise ValueError(f"{checkpoint} is no classifier; answers are a class an image")


def _is_checkpoint(folder: Path) -> bool:
    try:
        return "base" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def state_folder(out: Path, stage: str) -> Path:
    """Return where a training keeps what it needs to resume: under runs/, one folder for each folder to publish."""
    out = out.resolve()
    return Path("runs/training") / f"{out.name}-{crc32(str(out).encode()):08x}" / stage
