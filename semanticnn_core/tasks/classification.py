"""What a classifier's prediction is, and how often it is right."""

import torch
from torch import Tensor

from semanticnn_core.datasets.base import ImageSplit
from semanticnn_core.tasks.split import SplitModel, evaluating


@torch.no_grad()
def clean_logits(model: SplitModel, split: ImageSplit, batch_size: int = 250) -> Tensor:
    """Return what the uncompressed network answers for every image of a split, (N, classes), on the CPU."""
    batches = torch.arange(len(split)).split(batch_size)
    with evaluating(model):
        return torch.cat([model(split.__getitems__(index)["image"].to(model.place)).cpu() for index in batches])


def clean_accuracy(model: SplitModel, split: ImageSplit) -> float:
    """Return the share of a split that the uncompressed network gets right."""
    return float((clean_logits(model, split).argmax(1) == split.labels).double().mean())
