"""`semanticnn train-base`: a task network, trained and published."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semanticnn_core.commands.shared import checkpoint_folder, state_folder, surveyed, this_command
from semanticnn_core.config import BaseTrainConfig, WeightsInput
from semanticnn_core.settings import Settings, setting

if TYPE_CHECKING:
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.systems.checkpoints import Checkpoint
    from semanticnn_core.tasks import SplitModel
    from semanticnn_core.tasks.state_dicts import Weights


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
    """Start from a file: a state dict of torchvision's networks, .safetensors or .pth, or Darknet's .weights for yolov3
    and yolov3_tiny. It may hold less, or another head; what it does not hold starts anew."""
    weights_input: WeightsInput = "normalized"
    """What images the file's network was trained on: normalised as torchvision's, or pixels 0–255 less the mean, as
    Caffe's and Keras' ResNets."""
    weights_source: str = ""
    """Where others get that file, in words, for the checkpoint's README."""
    start: str | None = None
    """Start from the network of this checkpoint; the model options are then the checkpoint's."""
    freeze_first: int = setting(0, 0, 100_000)
    """Epochs in which only what starts anew is trained, as a new head; with --training.epochs 0 the rest stays as it
    is, and the checkpoint refers to the file of weights instead of holding them."""
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
        if self.freeze_first and (not starts or self._darknet):
            raise ValueError("freeze_first needs a classifier to start from: give weights, pretrained or start")

    @property
    def _darknet(self) -> bool:
        return self.weights is not None and self.model not in ("mobilenet_v2", "resnet50")

    def __call__(self) -> None:
        import torch
        from accelerate.utils import set_seed

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.systems import load_checkpoint
        from semanticnn_core.systems.checkpoints import check_truth
        from semanticnn_core.training.loop import Run, is_main_process
        from semanticnn_core.training.task_network import train_task_network

        earlier = load_checkpoint(self.start, self.data_root) if self.start else None
        size = earlier.model.image_size if earlier else self.image_size
        self._check_sizes(earlier.model.description["model"] if earlier else self.model, size)
        data = load_dataset(self.dataset, self.data_root, size).take(self.limit)
        set_seed(self.training.seed)
        model, given = self._begun(earlier, data, size)
        check_truth(model, data)
        if self.freeze_first and set(given) >= {name for name, _ in model.named_parameters()}:
            raise ValueError("freeze_first trains what starts anew, and nothing does here; leave it out")
        weights = self._reference(earlier)
        out = self.out or Path("runs/checkpoints") / f"{model.description['model']}-{data.name}"
        out = checkpoint_folder(out, "train-base")
        facts = {"data": surveyed(data)}
        before = {name: value.clone() for name, value in model.state_dict().items() if name in given}
        for title, stage, config, kept in (
            ("new layers", "base-new", replace(self.training, epochs=self.freeze_first, sizes=()), given),
            ("task network", "base", self.training, ()),
        ):
            if config.epochs:
                run = Run(title, state_folder(out, stage), self.resume, facts, tracker=self.tracker)
                train_task_network(model, data, config, run, kept)
        if is_main_process():
            after = model.state_dict()
            same = {name for name, value in before.items() if torch.equal(after[name], value)}
            self._publish(out, model, data, earlier, weights and weights.holding(set(after) - same))

    def _check_sizes(self, model: str, size: int) -> None:
        """Refuse sizes that training cannot have, before data are read."""
        from semanticnn_core.tasks.split import DETECTORS

        if not (sizes := self.training.sizes):
            return
        if model in DETECTORS:
            raise ValueError("sizes are for classifiers; the boxes of a detector's images would not fit")
        if sizes[-1] != size:
            raise ValueError(f"sizes must end with the network's own, {size}, got {' '.join(map(str, sizes))}")

    def _begun(
        self, earlier: "Checkpoint | None", data: "ImageDataset", size: int
    ) -> "tuple[SplitModel, Collection[str]]":
        """Return the network as training finds it, and the names of its tensors that do not start anew."""
        from semanticnn_core.systems.checkpoints import check_truth
        from semanticnn_core.tasks import SplitModel
        from semanticnn_core.tasks.darknet import read_weights
        from semanticnn_core.tasks.state_dicts import read_state_dict, unfold_norms

        classes = len(data.classes)
        if earlier:
            check_truth(earlier.model, data)
            model = earlier.model.requires_grad_().with_classes(classes)
            return model, set(model.state_dict()) - (_head(model) if model is not earlier.model else set())
        model = SplitModel.of(self.model, classes, size, self.cut, self.pretrained, self.width)
        if self.pretrained:
            return model, set(model.state_dict()) - _head(model)
        if not self.weights:
            return model, ()
        if self._darknet:
            print(f"{self.weights}: {read_weights(model, self.weights)}", file=sys.stderr)
            return model, ()
        report = read_state_dict(model, self.weights, self.weights_input)
        print(f"{self.weights}: {report.describe()}", file=sys.stderr)
        if self.training.epochs:
            unfold_norms(model, data.train.first(256)["image"], report.into)
        return model, report.into

    def _reference(self, earlier: "Checkpoint | None") -> "Weights | None":
        """Return the file whose weights stay as they are, where the new checkpoint can find it; None where all change.

        Raises ValueError where the checkpoint would not find it.
        """
        from semanticnn_core.tasks.state_dicts import Weights

        if self.training.epochs:
            return None
        if earlier:
            return earlier.weights
        if self.weights and not self._darknet:
            weights = Weights.of(self.weights, self.weights_input, self.weights_source)
            weights.find(self.data_root)
            return weights
        return None

    def _publish(
        self,
        out: Path,
        model: "SplitModel",
        data: "ImageDataset",
        earlier: "Checkpoint | None",
        weights: "Weights | None",
    ) -> None:
        from dataclasses import asdict

        from semanticnn_core.evaluation.publish import RESULTS, write_readme
        from semanticnn_core.systems.checkpoints import save_checkpoint

        before, metric = earlier.about if earlier else {}, model.task.metric
        validated = model.half_rounded().score(data.validation)
        clean = model.score(data.test)
        trained = {"freeze_first": self.freeze_first} if self.freeze_first else {}
        about = {
            "dataset": self.dataset,
            "classes": list(data.classes),
            "training": [*before.get("training", []), {**self.training.to_dict(), **trained}],
            "metric": metric,
            "results": {f"validation_{metric}": validated, f"clean_{metric}": clean},
            "commands": [*before.get("commands", []), this_command()],
            **({"weights": asdict(weights)} if weights else {}),
        }
        save_checkpoint(out, model, None, about)
        (out / RESULTS).unlink(missing_ok=True)  # of systems for the network that was here before
        write_readme(out)
        print(f"{out}: test {metric} {clean:.2%}")


def _head(model: "SplitModel") -> set[str]:
    """Return the names of the tensors of the last layer."""
    last = len(model.edge_part) - 1
    return {name for name in model.state_dict() if name.startswith(f"edge_part.{last}.")}
