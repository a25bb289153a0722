"""The `semanticnn` command. Only the standard library and tyro load before a command runs."""

import json
import shlex
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zlib import crc32

import tyro

from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT, BaseTrainConfig, CodecConfig, CodecTrainConfig, Window

if TYPE_CHECKING:
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.training.checkpoints import Checkpoint

SLICES = (0.8, 0.5, 0.3)
"""Slice ratios of the table that is published with a codec, beside the whole code."""


@dataclass(frozen=True)
class Run:
    """Execute notebooks and leave them, their HTML pages and an index.html in a folder."""

    notebooks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Which ones, by number or name (01, 03_semantic_finetuning); all when left out."""
    parameter: Annotated[
        tuple[tuple[str, str], ...],
        tyro.conf.arg(name="parameter", aliases=("-p",), metavar="NAME VALUE"),
        tyro.conf.UseAppendAction,
    ] = ()
    """Set a notebook parameter, e.g. -p ber 0.02 -p dataset cifar100."""
    profile: Literal["fast", "full"] = "fast"
    """fast: a minute a notebook; full: real training."""
    out: Path = Path("runs")
    """Folder for the results."""

    def __call__(self) -> None:
        from semanticnn_core.notebooks import run_notebooks

        results = run_notebooks(self.notebooks, dict(self.parameter), self.profile, self.out)
        if any(result.error for result in results):
            sys.exit(1)


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

    def __call__(self) -> None:
        from accelerate.utils import set_seed

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation.publish import RESULTS, write_readme
        from semanticnn_core.tasks import SplitModel, clean_accuracy
        from semanticnn_core.training.base import train_base
        from semanticnn_core.training.checkpoints import save_checkpoint

        data = load_dataset(self.dataset, self.data_root, self.image_size).take(self.limit)
        set_seed(self.training.seed)
        model = SplitModel.of(self.model, len(data.classes), self.image_size, self.cut, self.pretrained)
        out = self.out or Path("runs/checkpoints") / f"{self.model}-{data.name}"
        history = train_base(model, data, self.training, _state_dir(out, "base"), self.resume)
        about = {
            "dataset": self.dataset,
            "training": {"base": self.training.to_dict()},
            "results": {
                "validation_accuracy": max(row["validation_accuracy"] for row in history),
                "clean_accuracy": clean_accuracy(model.half_rounded(), data.test),
            },
            "commands": [_this_command()],
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

    def __call__(self) -> None:
        import pandas as pd

        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation import byte_counts, sweep
        from semanticnn_core.evaluation.publish import write_readme, write_results
        from semanticnn_core.tasks import clean_accuracy
        from semanticnn_core.training import finetune_semantic, load_checkpoint, new_codec, pretrain_denoising
        from semanticnn_core.training.checkpoints import check_exportable, save_checkpoint
        from semanticnn_core.training.importance import fit_importance

        base = load_checkpoint(self.checkpoint, self.data_root)
        model = base.model
        data = _matching(load_dataset(self.dataset or base.about["dataset"], self.data_root, model.image_size), base)
        data = data.take(self.limit)
        config = replace(self.codec, feature_channels=model.feature_shape[0], feature_range=model.feature_range)
        out = self.out or Path("runs/checkpoints") / base.name
        if self.finetune:
            codec = _codec_of(base).train().requires_grad_()
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
        tables += [sweep(model, codec, data.test, bers, SLICES, window=each) for each in ("center", "importance")]
        table = pd.concat(tables, ignore_index=True)
        training = dict(base.about.get("training", {}))
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
            "commands": [*base.about.get("commands", [])[: None if self.finetune else 1], _this_command()],
        }
        save_checkpoint(out, model, codec, about)
        write_results(out, table)
        write_readme(out)
        print((out / "README.md").read_text())


@dataclass(frozen=True)
class Evaluate:
    """Measure a checkpoint on its test split over bit error rates, slice ratios and channel seeds."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    dataset: str | None = None
    """Data set to test on; the one it was trained on when left out."""
    ber: tuple[float, ...] = BER_GRID
    """Bit error rates, fractions in [0, 0.5]."""
    slice_ratio: tuple[float, ...] = (1.0,)
    """Shares of the code that are sent, in (0, 1]."""
    window: Window = "center"
    """Where that part lies: in the middle, or where the device's table of importance (or energy) says."""
    seeds: int = 3
    """Number of channel seeds."""
    limit: int | None = None
    """Use only that many test images."""
    json: bool = False
    """Print one JSON object and nothing else."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __post_init__(self) -> None:
        for name, low, high in (("ber", 0.0, 0.5), ("slice_ratio", 1e-9, 1.0)):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one value")
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise ValueError(
                        f"{name} must be in {'(0, 1]' if name == 'slice_ratio' else '[0, 0.5]'}, got {value:g}"
                    )
        for name in ("seeds", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def __call__(self) -> None:
        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation import byte_counts, summarize, sweep
        from semanticnn_core.evaluation.publish import sizes_in_words
        from semanticnn_core.tasks import clean_accuracy
        from semanticnn_core.training import load_checkpoint

        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        model, codec = checkpoint.model, _codec_of(checkpoint)
        name = self.dataset or checkpoint.about["dataset"]
        data = _matching(load_dataset(name, self.data_root, model.image_size), checkpoint)
        test = data.test.take(self.limit)
        clean = clean_accuracy(model, test)
        sizes = byte_counts(model, codec, max(self.slice_ratio), self.window)
        table = sweep(model, codec, test, self.ber, self.slice_ratio, self.seeds, window=self.window)
        if self.json:
            keys = ["ber", "slice_ratio", "window", "seed", "accuracy", "agreement", "feature_mse", "bytes"]
            print(json.dumps({"clean_accuracy": clean, **sizes, "results": table[keys].to_dict("records")}))
            return
        print(f"uncompressed: {clean:.2%} of {len(test)} test images")
        print(sizes_in_words(sizes))
        print(summarize(table).drop(columns="system").to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def _codec_of(checkpoint: "Checkpoint") -> "SemanticCodec":
    if checkpoint.codec is None:
        name = checkpoint.name
        raise ValueError(f"checkpoint {name} has no codec; make one: semanticnn train --checkpoint {name}")
    return checkpoint.codec


def _matching(data: "ImageDataset", checkpoint: "Checkpoint") -> "ImageDataset":
    """Return a data set whose classes are as many as the checkpoint's network names; refuse another."""
    (classes,) = checkpoint.model.output_shape
    if len(data.classes) != classes:
        raise ValueError(
            f"{data.name} has {len(data.classes)} classes, the network of {checkpoint.name} tells {classes} apart; "
            f"train one for it: semanticnn train-base --dataset {data.name}"
        )
    return data


def _state_dir(out: Path, stage: str) -> Path:
    """Return where a training keeps what it needs to resume: under runs/, one folder for each place to publish."""
    return Path("runs/training") / f"{out.name}-{crc32(str(out.resolve()).encode()):08x}" / stage


def _this_command() -> str:
    return shlex.join(["semanticnn", *sys.argv[1:]])


COMMANDS = {"run": Run, "train-base": TrainBase, "train": Train, "evaluate": Evaluate}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit status 2, not in a traceback."""
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
