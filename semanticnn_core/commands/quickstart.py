"""`semanticnn quickstart`: a folder of photographs as a trained network, its codec and a page, in minutes."""

import math
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from semanticnn_core.commands.shared import record
from semanticnn_core.settings import Settings, setting

START = "mobilenet_v2-cifar100"
"""The published checkpoint that is gone on with. Its network has seen photographs of a hundred kinds: of 1,020 aerial
ones it answers 86 % right, after learning from 47 of each of 3 classes, where the one of digits has 75 %."""
SEEN = 2_500, 2_000
"""Images that the network and the codec learn from, counted each time they come: a minute and a half on one core."""
BATCH = 16
RATE = 5e-4
"""Peak learning rate of the network; four times as much forgets more of what it has seen (83 %)."""


@dataclass(frozen=True)
class Quickstart(Settings):
    """Train a small network and its codec on a folder of class folders with photographs, and write a page about both.

    It runs train-base, train and report with settings for few images, and names each command before it runs.
    """

    folder: tyro.conf.Positional[Path]
    """Folder with one folder of images a class; 60 photographs of each of 3 classes take 3 minutes on two cores."""
    out: Path | None = None
    """Checkpoint folder to write, the page in it; runs/quickstart/FOLDER when left out."""
    seed: int = setting(0, 0, 2**31 - 1)
    """Fixes new weights, order of images, noise."""
    data_root: Path = Path("data")
    """Where checkpoints lie."""

    def __call__(self) -> None:
        from semanticnn_core.commands.report import PAGE
        from semanticnn_core.commands.words import checked, parsed
        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation.classes import certainty
        from semanticnn_core.files import claim
        from semanticnn_core.runner.pages import is_ours
        from semanticnn_core.systems import load_checkpoint

        self._check_folder()
        data = load_dataset(self.folder, self.data_root, load_checkpoint(START, self.data_root).model.image_size)
        out = self.out or Path("runs/quickstart") / data.name
        claim(out, is_ours, "semanticnn quickstart", (PAGE,))
        for words in self._commands(out, len(data.train)):
            print(f"$ {shlex.join(['semanticnn', *words])}", file=sys.stderr, flush=True)
            record(words)
            checked(parsed([*words, "--data-root", str(self.data_root)]))()
        accuracy = load_checkpoint(str(out.resolve())).about["results"]["clean_accuracy"]
        print(f"\n{certainty(accuracy, data)}")
        print(f"checkpoint: {out}\nreport: {out / PAGE}")

    def _check_folder(self) -> None:
        """Refuse what is no folder, and one that a data set of the same name would be taken for."""
        from semanticnn_core.files import located

        if not self.folder.is_dir():
            raise ValueError(f"{self.folder} is no folder; give one that holds a folder of photographs for each class")
        root = located(self.data_root)
        for other in (root / f"{self.folder}.npz", root / self.folder):
            if other.exists() and not other.samefile(self.folder):
                raise ValueError(f"{self.folder} would be taken for {other}; give it as {self.folder.resolve()}")

    def _commands(self, out: Path, count: int) -> list[list[str]]:
        """Return the commands, as words, for so many training images: the more there are, the fewer epochs."""
        network, codec = (str(max(1, math.ceil(seen / count))) for seen in SEEN)
        batch, seed = str(min(BATCH, count)), str(self.seed)
        base = ["train-base", "--dataset", str(self.folder), "--start", START, "--out", str(out)]
        base += ["--training.epochs", network, "--training.batch-size", batch, "--training.learning-rate", str(RATE)]
        base += ["--training.flip", "--training.seed", seed]
        second = ["train", "--checkpoint", str(out), "--start", START, "--out", str(out), "--slices", "0.5"]
        second += ["--stage2.epochs", codec, "--stage2.batch-size", batch, "--stage2.flip", "--stage2.seed", seed]
        return [base, second, ["report", str(out), "--out", str(out)]]
