"""Which few numbers of a feature to keep: those that vary most, or those that matter most to the task."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.codec.networks import principal_kernels
from semanticnn_core.datasets.base import Split
from semanticnn_core.tasks.base import joined
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.losses import denoising_loss
from semanticnn_core.training.sensitivity import Sensitivity


@torch.no_grad()
def kept_components(
    model: SplitModel, split: Split, metric: Sensitivity, counts: tuple[int, ...] = (2, 4, 8, 16)
) -> pd.DataFrame:
    """Keep so many numbers of each square of the feature, exactly, restore the rest linearly, and let the edge answer.

    metric: whose squares are used, and whose strongest components are those that matter.
    Returns a table of `kept` numbers a square, `chosen` by (`varies`, `matters`), the task's metric and `feature_mse`.
    """
    images, side = split.batch(torch.arange(len(split)))["image"].to(model.device), metric.side
    feature, rows = model.device_part(images), []
    squares = F.unfold(feature, side, stride=side)
    mean = squares.mean((0, 2))[:, None]
    points = (squares - mean).transpose(1, 2).flatten(0, 1)
    covariance = (points.T @ points).double()
    for chosen, weigh in {"varies": None, "matters": metric.weigh}.items():
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)  # the search for components begins at random
            conv = nn.Conv2d(feature.shape[1], max(counts), side, side)
            kernels = principal_kernels(feature, conv, weigh).flatten(1).double()
        for kept in counts:
            through = _guess(covariance, kernels[:kept]).float()
            restored = F.fold(through @ (squares - mean) + mean, feature.shape[-2:], side, stride=side)
            restored = restored.clamp(*model.feature_range)
            outputs = joined([model.edge_part(part) for part in restored.split(64)])
            row = {"kept": kept, "chosen": chosen, model.task.metric: model.task.score(outputs, split.columns)}
            rows.append(row | {"feature_mse": float(denoising_loss(feature, restored))})
    return pd.DataFrame(rows)


def _guess(covariance: Tensor, kernels: Tensor) -> Tensor:
    """Return the best linear guess (n, n) of squares with this covariance from what kernels (K, n) say of them."""
    return covariance @ kernels.T @ torch.linalg.pinv(kernels @ covariance @ kernels.T, hermitian=True) @ kernels
