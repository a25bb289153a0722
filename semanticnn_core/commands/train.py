"""`semanticnn train-base` and `semanticnn train`: task networks and codecs, trained and published."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from semanticnn_core.commands.shared import codec_of, this_command
from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT, BaseTrainConfig, CodecConfig, CodecTrainConfig

if TYPE_CHECKING:
    from semanticnn_core.systems.checkpoints import Checkpoint


@dataclass(frozen=True)
class TrainBase:
    """Train a task network from scratch (or from ImageNet weights) on a data set."""

    dataset: str = "scene_digits"
    """scene_digits, cifar100, a MedMNIST-style .npz, or a folder of class folders."""
    model: Literal["mobilenet_v2", "resnet50"] = "mobilenet_v2"
    """Which of torchvision's networks."""
    cut: Literal["stem", "pool"] | None = None
    """Where device and edge part: after the stem, or (resnet50, its default) after the max-pool."""
    image_size: int = 64
    """Height and width the images are brought to, pixels."""
    pretrained: bool = False
    """Start from torchvision's ImageNet weights (fetched once)."""
    start: str | None = None
    """Start from the network of this checkpoint; the model options are then the checkpoint's."""
    training: BaseTrainConfig = field(default_factory=BaseTrainConfig)
    """Settings of the training."""
    out: Path | None = None
    """Checkpoint folder to write; runs/checkpoints/MODEL-DATASET when left out."""
    resume: bool = False
    """Go on from the last finished epoch of the same training."""
    limit: int | None = None
    """Use only that many images of each split, for a quick trial."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __post_init__(self) -> None:
        if self.start and self.pretrained:
            raise ValueError("start and pretrained exclude each other: a training starts from one network")

    def __call__(self) -> None:
        from accelerate.utils import set_seed

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation.publish import RESULTS, write_readme
        from semanticnn_core.systems import load_checkpoint, matching
        from semanticnn_core.systems.checkpoints import save_checkpoint
        from semanticnn_core.tasks import SplitModel, clean_accuracy
        from semanticnn_core.training.task_network import train_base

        earlier = load_checkpoint(self.start, self.data_root) if self.start else None
        size = earlier.model.image_size if earlier else self.image_size
        data = load_dataset(self.dataset, self.data_root, size).take(self.limit)
        set_seed(self.training.seed)
        if earlier:
            model, data = earlier.model.requires_grad_(), matching(data, earlier)
        else:
            model = SplitModel.of(self.model, len(data.classes), size, self.cut, self.pretrained)
        out = self.out or Path("runs/checkpoints") / f"{model.description['model']}-{data.name}"
        training, commands = _base_training(earlier)
        history = train_base(model, data, self.training, _state_dir(out, "base"), self.resume)
        about = {
            "dataset": self.dataset,
            "training": {"base": [*training, self.training.to_dict()]},
            "results": {
                "validation_accuracy": max(row["validation_accuracy"] for row in history),
                "clean_accuracy": clean_accuracy(model.half_rounded(), data.test),
            },
            "commands": [*commands, this_command()],
        }
        save_checkpoint(out, model, None, about)
        (out / RESULTS).unlink(missing_ok=True)  # of a codec for the network that was here before
        write_readme(out)
        print(f"{out}: test accuracy {about['results']['clean_accuracy']:.2%}")


@dataclass(frozen=True)
class Train:
    """Train a codec for a task network: stage 1 (denoising), then stage 2 (semantic)."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name whose task network the codec is for."""
    dataset: str | None = None
    """Data set to train on; the one the task network was trained on when left out."""
    codec: CodecConfig = field(default_factory=CodecConfig)
    """What the codec is."""
    stage1: CodecTrainConfig = field(default_factory=lambda: CodecTrainConfig(epochs=3))
    """Settings of stage 1, the denoising autoencoder."""
    stage2: CodecTrainConfig = field(default_factory=lambda: CodecTrainConfig(epochs=10))
    """Settings of stage 2, task-oriented."""
    slices: tuple[float, ...] = (0.8, 0.5, 0.3)
    """Slice ratios that are measured for the published table beside the whole code; nothing: that alone."""
    finetune: bool = False
    """Start from the checkpoint's own codec and run stage 2 alone; the codec options are then the checkpoint's."""
    out: Path | None = None
    """Checkpoint folder to write; runs/checkpoints/CHECKPOINT when left out."""
    resume: bool = False
    """Go on from the last finished epoch of the same training."""
    limit: int | None = None
    """Use only that many images of each split, for a quick trial."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __post_init__(self) -> None:
        for each in self.slices:
            if not 0 < each < 1:
                raise ValueError(f"slices must lie between 0 and 1, got {each:g}")

    def __call__(self) -> None:
        import pandas as pd

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation import byte_counts, sweep
        from semanticnn_core.evaluation.publish import write_readme, write_results
        from semanticnn_core.explain.importance import fit_importance
        from semanticnn_core.systems import load_checkpoint, matching
        from semanticnn_core.systems.checkpoints import check_exportable, save_checkpoint
        from semanticnn_core.tasks import clean_accuracy
        from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising

        base = load_checkpoint(self.checkpoint, self.data_root)
        model = base.model
        data = matching(load_dataset(self.dataset or base.about["dataset"], self.data_root, model.image_size), base)
        data = data.take(self.limit)
        config = replace(self.codec, feature_channels=model.feature_shape[0], feature_range=model.feature_range)
        out = self.out or Path("runs/checkpoints") / base.name
        if self.finetune:
            codec = codec_of(base).train().requires_grad_()
        else:
            codec = new_codec(model, data, config, self.stage1.seed)
            if not self.resume:  # or stage 2 could go on from the one of an earlier training
                shutil.rmtree(_state_dir(out, "stage2"), ignore_errors=True)
            pretrain_denoising(codec, model.device, data, self.stage1, _state_dir(out, "stage1"), self.resume)
        state = _state_dir(out, "finetune" if self.finetune else "stage2")
        finetune_semantic(codec, model, data, self.stage2, state, self.resume)
        check_exportable(codec)
        fit_importance(codec, model, data.train)
        bers = (*BER_GRID, 0.1)
        tables = [sweep(model, codec, data.test, bers)]
        if self.slices:
            windows = ("center", "importance")
            tables += [sweep(model, codec, data.test, bers, self.slices, window=each) for each in windows]
        table = pd.concat(tables, ignore_index=True)
        training = dict(base.about.get("training", {}))
        commands = base.about.get("commands", []) if self.finetune else _base_training(base)[1]
        if self.finetune:
            training["finetune"] = [*training.get("finetune", []), self.stage2.to_dict()]
        else:
            training |= {"stage1": self.stage1.to_dict(), "stage2": self.stage2.to_dict()}
            training.pop("finetune", None)  # of the codec that this one replaces
        about = base.about | {
            "dataset": self.dataset or base.about["dataset"],
            "training": training,
            "results": base.about.get("results", {})
            | {"clean_accuracy": clean_accuracy(model, data.test), **byte_counts(model, codec)},
            "commands": [*commands, this_command()],
        }
        save_checkpoint(out, model, codec, about)
        write_results(out, table)
        write_readme(out)
        print((out / "README.md").read_text())


def _base_training(checkpoint: "Checkpoint | None") -> tuple[list[dict], list[str]]:
    """Return settings and commands of the trainings behind a checkpoint's task network, none for None."""
    about = checkpoint.about if checkpoint else {}
    settings = about.get("training", {}).get("base", [])
    commands = [each for each in about.get("commands", []) if each.split()[1:2] == ["train-base"]]
    return settings if isinstance(settings, list) else [settings], commands


def _state_dir(out: Path, stage: str) -> Path:
    """Return where a training keeps what it needs to resume: under runs/, one folder for each place to publish."""
    return Path("runs/training") / f"{out.name}-{crc32(str(out.resolve()).encode()):08x}" / stage
