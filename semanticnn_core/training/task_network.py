"""Training of the task network itself, before any codec."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets.augment import augment
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.tasks.classification import clean_accuracy
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import Progress, accelerator_for, fit


def train_base(
    model: SplitModel,
    dataset: ImageDataset,
    config: BaseTrainConfig,
    run_dir: Path | None = None,
    resume: bool = False,
) -> list[dict[str, float]]:
    """Train the whole task network on a data set, in place; returns one row an epoch.

    The validation split chooses the weights that are kept.
    """
    accelerator = accelerator_for(config)

    def step(network: torch.nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        images = augment(batch["image"], config, progress.generator)
        return {"loss": F.cross_entropy(network(images), batch["label"], label_smoothing=config.label_smoothing)}

    def validate(network: SplitModel) -> dict[str, float]:
        accuracy = clean_accuracy(network, dataset.validation)
        return {"validation_accuracy": accuracy, "score": accuracy}

    return fit(
        model, step, validate, dataset.train, config, accelerator, run_dir=run_dir, resume=resume, title="task network"
    )
