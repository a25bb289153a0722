"""What matters, on the device: a small integer table over channel and symbol, fitted to attribution maps."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.datasets.base import Split
from semanticnn_core.explain.attribution import Explained, attribute
from semanticnn_core.tasks.split import SplitModel

LARGEST = 127
"""Largest entry of the table: int8."""


def fit_importance(
    codec: SemanticCodec, model: SplitModel, split: Split, images: int = 2000, guide: nn.Module | None = None
) -> None:
    """Fit the codec's table of importance, in place, to attribution maps of images.

    The device can afford one look-up and one addition a symbol: importance of a pixel = Σ_k table[k, symbol_k]. The
    table is the least-squares fit, over `images` images, to the positive Integrated Gradients of the true class at the
    clean feature, averaged to the code's grid, in shares of their mean over the image; it is scaled to int8.
    guide: the network that explains; the edge network itself when left out.
    """
    square = product = 0.0
    for index, wanted in _pairs(codec, model, split.take(images), guide):
        pixels = index.cpu().permute(0, 2, 3, 1)
        onehot = F.one_hot(pixels, codec.config.centers).flatten(0, 2).flatten(1).double()  # (B·H·W, K·n)
        square = square + onehot.T @ onehot
        product = product + onehot.T @ wanted.flatten()
    ridge = 1e-4 * square.diagonal().mean() * torch.eye(len(square), device=square.device, dtype=square.dtype)
    weights = torch.linalg.solve(square + ridge, product).view(codec.importance.shape)
    used = square.diagonal().view_as(weights)  # how often each symbol was sent
    weights = weights - (used * weights).sum(1, keepdim=True) / used.sum(1, keepdim=True)  # moves all windows alike
    weights = torch.where(used > 0, weights, 0)
    codec.importance.copy_((weights * (LARGEST / weights.abs().max())).round())


def importance_agreement(
    codec: SemanticCodec, model: SplitModel, split: Split, images: int = 500, guide: nn.Module | None = None
) -> float:
    """Return the correlation, over the code pixels of images, between the device's map and the attribution map."""
    pairs = [
        (codec.importance_map(index).cpu().double(), wanted)
        for index, wanted in _pairs(codec, model, split.take(images), guide)
    ]
    return float(torch.corrcoef(torch.stack([torch.cat(each).flatten() for each in zip(*pairs, strict=True)]))[0, 1])


def _pairs(
    codec: SemanticCodec, model: SplitModel, split: Split, guide: nn.Module | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield indices int64 (B, K, H, W) with the importance each pixel should have, float64 (B, H, W)."""
    guide = Explained(guide or model.folded().edge_part, model.task)
    for _, batch in split.batches(device=model.device):
        with torch.no_grad():
            feature = model.device_part(batch["image"])
            index = codec.quantizer.assign(codec.encoder(feature))
        scores = attribute(guide, feature, model.task.explained(batch), steps=8).scores
        scores = scores.clamp_min(0).cpu().double()  # not every accelerator has float64
        pooled = F.adaptive_avg_pool2d(scores[:, None], index.shape[2:])[:, 0]
        yield index, pooled / pooled.mean((1, 2), keepdim=True).clamp_min(1e-12)
