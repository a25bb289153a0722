"""Checkpoints to play with: which there are, and one opened, with its images and its measured accuracy."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import Windows
from semanticnn_core.config import WHOLE, Slice, Window
from semanticnn_core.datasets import DataError, load_dataset
from semanticnn_core.evaluation.publish import RESULTS
from semanticnn_core.files import located, visible
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.checkpoints import SEMANTICNN, load_checkpoint, matching
from semanticnn_core.tasks.detection import Detection
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class Played:
    """An opened checkpoint."""

    name: str
    model: SplitModel
    """With the edge's batch norms folded: same answers, less time."""
    codec: SemanticCodec
    images: Tensor
    """Test images, uint8 (N, 3, H, W); none where the data set is not there."""
    labels: Tensor | list[Tensor]
    """Their classes, (N,); of detectors a list of those of all objects."""
    classes: tuple[str, ...]
    curves: dict[tuple[float, Window], pd.DataFrame]
    """Accuracy measured at a share of the code and a window, as `read_curves` gives it."""
    clean_accuracy: float | None
    """Share of the test split that the uncompressed network gets right, where known."""
    missing: str = ""
    """Why there are no test images, and what to get."""

    def system(self, slice: Slice = WHOLE) -> SemanticNN:
        """Return the system that sends a slice."""
        return SemanticNN(self.model, self.codec, slice)

    @property
    def finds_boxes(self) -> bool:
        """Whether the network is a detector."""
        return isinstance(self.model.task, Detection)

    def windows(self, slice: Slice = WHOLE) -> Windows:
        """Return the windows that a slice may send."""
        return self.codec.windows(self.model.feature_shape, slice)


def list_checkpoints(root: str | Path = "data", runs: str | Path = "runs") -> dict[str, tuple[Path, str]]:
    """Return names of the codecs there are, each with its checkpoint's folder and what it is called there.

    The published ones come first, then your own in `runs`. A checkpoint's usual codec bears the checkpoint's name,
    others CHECKPOINT/CODEC.
    """
    found = {}
    for place, mark in ((root, ""), (runs, " (runs)")):
        for path in visible(located(place) / "checkpoints", "*/config.json"):
            if path.parent.name.startswith("."):
                continue
            systems = {each.stem for each in visible(path.parent, "*.safetensors")} - {"base"}
            for system in sorted(systems, key=lambda each: (each != SEMANTICNN, each)):
                name = path.parent.name if system == SEMANTICNN else f"{path.parent.name}/{system}"
                found[name + mark] = path.parent.resolve(), system
    return found


def open_played(
    name: str,
    folder: Path,
    count: int | None = 200,
    root: str | Path = "data",
    without_data: bool = False,
    system: str = SEMANTICNN,
) -> Played:
    """Load a checkpoint and up to `count` test images of its data set, which is not downloaded behind a slider's back.

    without_data: whether to open a checkpoint without images where its data set is missing or damaged.
    system: what the codec is called in the checkpoint.
    Raises CheckpointError or DataError, which say what is missing or damaged.
    """
    checkpoint, missing = load_checkpoint(str(folder), root), ""
    size, about = checkpoint.model.image_size, checkpoint.about
    try:
        data = matching(load_dataset(about.get("dataset", ""), root, size, download=False), checkpoint)
        few, classes = data.test.first(count), data.classes
    except DataError as error:
        if not without_data:
            raise
        few = {"image": torch.empty(0, 3, size, size, dtype=torch.uint8), "label": torch.empty(0, dtype=torch.long)}
        classes, missing = about.get("classes") or map(str, range(about["base"]["classes"])), str(error)
    clean = about.get("results", {}).get(f"clean_{about.get('metric', 'accuracy')}")
    parts = checkpoint.model.folded(), checkpoint.system(system), few["image"], few["label"], tuple(classes)
    return Played(name, *parts, read_curves(folder / RESULTS, system), clean, missing)


def read_curves(path: Path, system: str = SEMANTICNN) -> dict[tuple[float, Window], pd.DataFrame]:
    """Return a codec's accuracies in a results.csv by share sent and window: ascending ber, mean and std over seeds.

    The share, not the slice ratio: whole rows and columns are sent, so that many ratios are one. A table without a
    column `window` was measured with the central one. Empty when the file is missing or damaged.
    """
    try:
        table = pd.read_csv(path)
        table = table[table["system"] == system] if "system" in table else table
        table = table.assign(window=table.get("window", "center"), share_sent=table["share_sent"].round(6))
        stats = table.groupby(["share_sent", "window", "ber"])["accuracy"].agg(["mean", "std"]).fillna(0).reset_index()
    except (OSError, ValueError, KeyError, TypeError):  # missing, empty, no CSV, no text, other columns, no numbers
        return {}
    groups = stats.groupby(["share_sent", "window"])
    return {key: rows[["ber", "mean", "std"]].reset_index(drop=True) for key, rows in groups}


@dataclass(frozen=True)
class Reading:
    """An accuracy read off a curve."""

    mean: float
    std: float
    between: tuple[float, float] | None
    """The measured rates it lies between; None when it was itself measured."""


@dataclass(frozen=True)
class Accuracy:
    """What is known of the accuracy at one position of the controls."""

    curve: pd.DataFrame | None
    """ber, mean, std at this share and window, else for the whole code; None where nothing was measured."""
    here: bool
    """Whether the curve was measured at this very share and window."""
    reading: Reading | None
    """None outside of the measured rates."""


def accuracy_at(played: Played, share: float, window: Window, ber: float) -> Accuracy:
    """Look up what was measured where a share of the code is sent; nothing is measured now, nothing extrapolated."""
    window = "center" if share == 1 else window  # the whole code is the same for all
    curve = played.curves.get((round(share, 6), window))
    if curve is None:
        return Accuracy(played.curves.get((1.0, "center")), False, None)
    return Accuracy(curve, True, read_off(curve, ber))


def read_off(curve: pd.DataFrame, ber: float) -> Reading | None:
    """Return the accuracy at a rate: as measured, or between two measured rates interpolated linearly in log(ber).

    Outside of the measured rates nothing is known: None.
    """
    exact = curve[(curve["ber"] - ber).abs() <= 1e-9]
    if len(exact):
        return Reading(float(exact["mean"].iloc[0]), float(exact["std"].iloc[0]), None)
    below, above = curve[(curve["ber"] < ber) & (curve["ber"] > 0)], curve[curve["ber"] > ber]
    if not len(below) or not len(above):
        return None
    low, high = below.iloc[-1], above.iloc[0]
    share = math.log(ber / low["ber"]) / math.log(high["ber"] / low["ber"])
    mean, std = (float(low[name] + share * (high[name] - low[name])) for name in ("mean", "std"))
    return Reading(mean, std, (float(low["ber"]), float(high["ber"])))
