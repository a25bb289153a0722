"""`semanticnn train-base`: a task network, trained and published."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from semanticnn_core.commands.shared import checkpoint_folder, state_folder, surveyed, this_command
from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.settings import Settings, setting


@dataclass(frozen=True)
class TrainBase(Settings):
    """Train a task network, a classifier or a detector, on a data set."""

    dataset: str = "scene_digits"
    """scene_digits, scene_detection, cifar100, a MedMNIST-style .npz, or a folder (see the data page)."""
    model: Literal["mobilenet_v2", "resnet50", "yolov3", "yolov3_tiny", "yolov3_small"] = "mobilenet_v2"
    """Which network: torchvision's classifiers, or a detector."""
    cut: Literal["stem", "pool"] | None = None
    """Where device and edge part: after the stem, or (resnet50, its default) after the max-pool."""
    image_size: int = setting(64, 32, 4096)
    """Height and width the images are brought to, pixels; for detectors a multiple of 32."""
    width: float | None = setting(None, 0.0625, 4)
    """Channels of a detector, in shares of the original's; its own when left out."""
    pretrained: bool = False
    """Start from torchvision's ImageNet weights (fetched once)."""
    weights: Path | None = None
    """Start a yolov3 or yolov3_tiny from Darknet's .weights file; one that stops early leaves the rest as it is."""
    start: str | None = None
    """Start from the network of this checkpoint; the model options are then the checkpoint's."""
    training: BaseTrainConfig = field(default_factory=BaseTrainConfig)
    """Settings of the training."""
    out: Path | None = None
    """Checkpoint folder to write; runs/checkpoints/MODEL-DATASET when left out."""
    resume: bool = False
    """Go on from the last finished epoch of the same training."""
    tracker: str | None = None
    """Where learning curves go too, for instance tensorboard (installed apart)."""
    limit: int | None = setting(None, 1)
    """Use only that many images of each split, for a quick trial."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def check_together(self) -> None:
        starts = [name for name in ("start", "pretrained", "weights") if getattr(self, name)]
        if len(starts) > 1:
            raise ValueError(f"{' and '.join(starts[:2])} exclude each other: a training starts from one network")

    def __call__(self) -> None:
        from accelerate.utils import set_seed

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation.publish import RESULTS, write_readme
        from semanticnn_core.systems import load_checkpoint
        from semanticnn_core.systems.checkpoints import check_truth, save_checkpoint
        from semanticnn_core.tasks import SplitModel
        from semanticnn_core.tasks.darknet import read_weights
        from semanticnn_core.training.loop import Run, is_main_process
        from semanticnn_core.training.task_network import train_task_network

        earlier = load_checkpoint(self.start, self.data_root) if self.start else None
        size = earlier.model.image_size if earlier else self.image_size
        data = load_dataset(self.dataset, self.data_root, size).take(self.limit)
        set_seed(self.training.seed)
        if earlier:
            model = earlier.model.requires_grad_().with_classes(len(data.classes))
        else:
            model = SplitModel.of(self.model, len(data.classes), size, self.cut, self.pretrained, self.width)
            if self.weights:
                print(f"{self.weights}: {read_weights(model, self.weights)}", file=sys.stderr)
        check_truth(model, data)
        out = self.out or Path("runs/checkpoints") / f"{model.description['model']}-{data.name}"
        out = checkpoint_folder(out, "train-base")
        facts = {"data": surveyed(data)}
        run = Run("task network", state_folder(out, "base"), self.resume, facts, tracker=self.tracker)
        if self.training.epochs:
            train_task_network(model, data, self.training, run)
        if not is_main_process():
            return
        before, metric = earlier.about if earlier else {}, model.task.metric
        validated = model.half_rounded().score(data.validation)
        clean = model.score(data.test)
        about = {
            "dataset": self.dataset,
            "classes": list(data.classes),
            "training": [*before.get("training", []), self.training.to_dict()],
            "metric": metric,
            "results": {f"validation_{metric}": validated, f"clean_{metric}": clean},
            "commands": [*before.get("commands", []), this_command()],
        }
        save_checkpoint(out, model, None, about)
        (out / RESULTS).unlink(missing_ok=True)  # of systems for the network that was here before
        write_readme(out)
        print(f"{out}: test {metric} {clean:.2%}")
