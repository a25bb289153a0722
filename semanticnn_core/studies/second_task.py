"""A second task for a codec that was trained without any: is the digit lighter or darker than what is around it?"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from semanticnn_core.channels import BitErrors
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import percent
from semanticnn_core.datasets import Split

GRID = 8
"""Rows and columns of means of the feature that the head looks at."""
RIDGE = 0.01
"""Penalty on the head's weights, in shares of the mean variance of its inputs."""
BATCH = 100


def lighter(split: Split) -> Tensor:
    """Return 1 where the object's mean pixel is lighter than the mean of what is around it, else 0, int64 (N,).

    split: with the column image, uint8 (N, 3, H, W), and mask, bool (N, H, W); without it the middle is the object.
    """
    values = split["image"].float().mean(1)
    if "mask" in split:
        mask = split["mask"].float()
    else:
        height, width = values.shape[1:]
        mask = torch.zeros_like(values)
        mask[:, height // 4 : -(height // 4), width // 4 : -(width // 4)] = 1
    inside = (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)
    around = (values * (1 - mask)).sum((1, 2)) / (1 - mask).sum((1, 2)).clamp_min(1)
    return (inside > around).long()


@torch.no_grad()
def fit_head(feature: Tensor, labels: Tensor) -> nn.Sequential:
    """Fit a linear head to features (N, C, h, w) and labels 0 and 1 (N,), in one step: ridge regression on means."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(GRID), nn.Flatten())
    inputs, targets = pooled(feature), nn.functional.one_hot(labels, 2).float()
    mean, share = inputs.mean(0), targets.mean(0)
    centered = inputs - mean
    penalty = RIDGE * centered.square().sum() / centered.shape[1]
    gram = centered.T @ centered + penalty * torch.eye(centered.shape[1])
    weight = torch.linalg.solve(gram, centered.T @ (targets - share))
    linear = nn.Linear(*weight.shape)
    linear.weight.copy_(weight.T)
    linear.bias.copy_(share - mean @ weight)
    return pooled.append(linear).eval()


@torch.no_grad()
def two_tasks(
    codecs: Mapping[str, SemanticCodec],
    tasks: Mapping[str, tuple[nn.Module, Tensor]],
    feature: Tensor,
    bers: Sequence[float] = (0.01, 0.05),
    seed: int = 0,
) -> pd.DataFrame:
    """Return each task's accuracy for features (N, C, h, w): a row a task and codec, columns `no link` and each rate.

    tasks: by name, what turns a feature into logits, and the right classes (N,). All of them read the same bytes.
    """
    arrived = {
        name: {"no link": feature} | {percent(ber): received(codec, feature, ber, seed) for ber in bers}
        for name, codec in codecs.items()
    }
    rows = {
        (task, name): {link: right_share(head, each, labels) for link, each in arrived[name].items()}
        for task, (head, labels) in tasks.items()
        for name in codecs
    }
    return pd.DataFrame(rows).T.rename_axis(["task", "codec"])


@torch.no_grad()
def received(codec: SemanticCodec, feature: Tensor, ber: float, seed: int = 0) -> Tensor:
    """Return what the edge gets of features (N, C, h, w), as real bytes through bit errors."""
    channel = BitErrors(ber).channel(seed)
    parts = [codec.decompress(channel(codec.compress(part)), feature.shape[1:]) for part in feature.split(BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def right_share(head: nn.Module, feature: Tensor, labels: Tensor) -> float:
    """Return the share of features (N, C, h, w) to which a head gives their classes (N,)."""
    answers = torch.cat([head(part).argmax(1) for part in feature.split(BATCH)])
    return float((answers == labels).double().mean())
