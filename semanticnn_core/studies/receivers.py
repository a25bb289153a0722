"""What a receiver loses that believes in another bit error rate, or knows nothing of what was sent."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec, SoftQuantizer


@torch.no_grad()
def mean_feature_error(device_part: nn.Module, images: Tensor) -> float:
    """Return the MSE of always answering each channel's mean: what a receiver without a link could reach."""
    feature = device_part(images)
    return float(((feature - feature.mean((0, 2, 3), keepdim=True)) ** 2).mean())


@torch.no_grad()
def believed_errors(
    device_part: nn.Module, codec: SemanticCodec, images: Tensor, bers: Sequence[float], seeds: int = 3
) -> pd.DataFrame:
    """Let a channel have one bit error rate and the receiver believe in another; columns ber, believed, seed, error.

    error: the feature's mean squared error as a share of its variance around each channel's mean.
    """
    feature = device_part(images)
    variance = mean_feature_error(device_part, images)
    payload, rows = codec.compress(feature), []
    for ber in bers:
        for seed in range(seeds):
            arrival = BinarySymmetric(ber, seed)(payload)
            for believed in bers:
                received = codec.decompress(replace(arrival, ber=believed), feature.shape[1:])
                error = float(F.mse_loss(received, feature)) / variance
                rows.append({"ber": ber, "believed": believed, "seed": seed, "error": error})
    return pd.DataFrame(rows)


@torch.no_grad()
def believed_distortion(quantizer: SoftQuantizer, bers: Sequence[float]) -> pd.DataFrame:
    """Return the exact mean of (centre sent − value received)², as a share of the centres' variance.

    No sampling: Σ_i prior_i Σ_j P(j | i, ber)·(centre_i − value_j(believed))². Columns ber (true), believed, error.
    """
    prior = quantizer.prior / quantizer.prior.sum()
    variance = prior @ (quantizer.levels - prior @ quantizer.levels) ** 2
    rows = []
    for believed in bers:
        error = (quantizer.levels[:, None] - quantizer.values(believed)) ** 2  # (sent, received)
        for ber in bers:
            distortion = (prior[:, None] * quantizer.transition(ber)[0] * error).sum()
            rows.append({"ber": ber, "believed": believed, "error": float(distortion / variance)})
    return pd.DataFrame(rows)


@torch.no_grad()
def symbol_shares(device_part: nn.Module, codec: SemanticCodec, images: Tensor) -> Tensor:
    """Return how often each centre, in ascending order, is sent for images (N, 3, H, W); sums to 1, (n,)."""
    index = codec.quantizer.assign(codec.encoder(device_part(images)).contiguous())
    return torch.bincount(index.flatten(), minlength=codec.config.centers) / index.numel()
