"""Training of the task network itself, before any codec."""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets.augment import augment
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import SILENT, Progress, Row, Run, fit


def train_task_network(
    model: SplitModel,
    dataset: ImageDataset,
    config: BaseTrainConfig,
    run: Run = SILENT,
    kept: Collection[str] = (),
) -> list[Row]:
    """Train the whole task network on a data set, in place; returns one row an epoch.

    kept: names of tensors that stay as they are, statistics of batch norms among them.
    """
    task = model.task
    frozen = [each for name, each in model.named_parameters() if name in kept and each.requires_grad]
    still = [each for name, each in model.named_modules() if f"{name}.running_mean" in kept]

    def step(network: torch.nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        for norm in still:
            norm.eval()
        batch = augment(batch, config, progress.draws)
        images = resized(batch["image"], config.sizes, progress.fraction)
        return {"loss": task.loss(network(images), batch, config.label_smoothing)}

    def validate(network: SplitModel) -> Row:
        return {f"validation_{task.metric}": network.score(dataset.validation)}

    for each in frozen:
        each.requires_grad_(False)
    try:
        return fit(model, step, validate, dataset.train, config, run)
    finally:
        for each in frozen:
            each.requires_grad_()


def resized(images: Tensor, sizes: tuple[int, ...], fraction: float) -> Tensor:
    """Return a batch uint8 (B, 3, H, W) at the size of this share of the training; as it is without sizes."""
    if not sizes or images.shape[-1] == (size := sizes[int(fraction * len(sizes))]):
        return images
    small = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    return small.clamp(0, 255).round().byte()
