"""Training of the task network itself, before any codec."""

import torch
from torch import Tensor

from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets.augment import augment
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import SILENT, Progress, Row, Run, fit


def train_task_network(
    model: SplitModel, dataset: ImageDataset, config: BaseTrainConfig, run: Run = SILENT
) -> list[Row]:
    """Train the whole task network on a data set, in place; returns one row an epoch."""
    task = model.task

    def step(network: torch.nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        batch = augment(batch, config, progress.draws)
        return {"loss": task.loss(network(batch["image"]), batch, config.label_smoothing)}

    def validate(network: SplitModel) -> Row:
        return {f"validation_{task.metric}": network.score(dataset.validation)}

    return fit(model, step, validate, dataset.train, config, run)
