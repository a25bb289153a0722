"""Centres on their own: learned by gradient on fixed latents, or found by Lloyd and Max's iteration."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.training.losses import denoising_loss, occupancy_loss

BATCH = 1024
RECORDS = 50
"""How often a run is measured, apart from its start, …"""
SAMPLE = 4096
"""… and on how many of the latents: what a picture needs, at a fraction of the steps' own cost."""


@dataclass(frozen=True)
class CenterRun:
    """What became of a quantiser whose centres learned: `quantizer` ends with its measured use as prior."""

    quantizer: SoftQuantizer
    step: Tensor
    """The steps that were recorded, the start (0) and the last among them, int64 (r,)."""
    centers: Tensor
    """Ascending centres at each of them, (r, n)."""
    distortion: Tensor
    """Share of the latents' variance that quantiser and channel lose, (r,)."""


def learn_centers(
    latents: Tensor,
    start: Tensor,
    ber: float = 0.01,
    alpha: float = 0.1,
    sigma: float = 4.0,
    steps: int = 150,
    learning_rate: float = 0.1,
    seed: int = 0,
) -> CenterRun:
    """Let centres (n,) learn on latents of any shape: L_bit in shares of their variance + α·L_div (equations 1, 2).

    The channel really flips bits at rate `ber`; the gradient is the one the codec's training uses, sigma rises to its
    value in the first half, and the learning rate (in standard deviations of the latents) falls to zero along half a
    cosine. Received symbols count plainly as their centres here: under the posterior mean a centre that is never used
    is worth the mean of the others, and the gradient pushes it away for good.
    """
    quantizer = with_centers(latents, start, sigma).train().requires_grad_()
    quantizer.dequantizer = "plain"
    generator = torch.Generator().manual_seed(seed)
    channel = BinarySymmetric(ber, generator)
    values, variance = latents.flatten(), latents.var()
    optimizer = torch.optim.Adam([quantizer.centers], lr=learning_rate * float(variance.sqrt()))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history = [_record(quantizer, values, ber, 0)]
    for step in range(1, steps + 1):
        quantizer.sigma = sigma * min(0.25 + 1.5 * step / steps, 1)  # blurred at first: all centres hear of it
        batch = values[torch.randint(len(values), (1, BATCH), generator=generator)]
        flips = channel.wrong_bits(1, BATCH * quantizer.bits, values.device).view(1, BATCH, quantizer.bits)
        received, _, _, soft_use = quantizer(batch, torch.where(flips, 1 - ber, ber))
        loss = denoising_loss(batch, received) / variance + alpha * occupancy_loss(soft_use)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(steps // RECORDS, 1) == 0 or step == steps:
            history.append(_record(quantizer, values, ber, step))
    learned = with_centers(latents, quantizer.levels.detach(), sigma)
    return CenterRun(learned, *(torch.stack(column) for column in zip(*history, strict=True)))


def with_centers(latents: Tensor, centers: Tensor, sigma: float = 4.0) -> SoftQuantizer:
    """Return a quantiser with these centres (n,), naturally coded, whose prior is their use by the latents."""
    quantizer = SoftQuantizer(len(centers), sigma=sigma).eval().requires_grad_(False)
    quantizer.centers.copy_(centers)
    quantizer.prior.copy_(occupancy(quantizer, latents))
    return quantizer


def occupancy(quantizer: SoftQuantizer, latents: Tensor) -> Tensor:
    """Return the share of the latents that each centre stands for, float32 (n,)."""
    counts = torch.bincount(quantizer.assign(latents).flatten(), minlength=len(quantizer.centers))
    return counts.float() / counts.sum()


@torch.no_grad()
def relative_distortion(quantizer: SoftQuantizer, latents: Tensor, ber: float) -> Tensor:
    """Return the exact expected squared error of received latents, quantiser and channel together, over their variance.

    1 is what a receiver loses that knows nothing but the mean.
    """
    sent, values = quantizer.assign(latents.flatten()), quantizer.values(ber)[0]
    chance = quantizer.transition(ber)[0]  # (sent, received)
    mean, square = chance @ values, chance @ values**2  # (n,)
    return (latents.flatten() ** 2 - 2 * latents.flatten() * mean[sent] + square[sent]).mean() / latents.var()


def entropy_bits(use: Tensor) -> float:
    """Return the entropy of the centres' use (n,), bits a symbol; at most log2 n."""
    return float(torch.special.entr(use.double()).sum() / math.log(2))


def random_start(latents: Tensor, count: int, seed: int) -> Tensor:
    """Return centres (count,) put on latents drawn by lot."""
    order = torch.randperm(latents.numel(), generator=torch.Generator().manual_seed(seed))
    return latents.flatten()[order[:count]]


def quantile_centers(latents: Tensor, count: int) -> Tensor:
    """Return the centres (count,) at evenly spread quantiles: every one is used about equally."""
    quantizer = SoftQuantizer(count)
    quantizer.fit_centers(latents)
    return quantizer.levels.detach()


def lloyd_max(latents: Tensor, count: int, iterations: int = 300) -> Tensor:
    """Return the centres (count,) of least clean squared error, by turns of means and midpoints (Lloyd; Max)."""
    ordered = latents.flatten().double().sort().values
    sums = F.pad(ordered.cumsum(0), (1, 0))  # so that a cell's mean costs two look-ups
    levels = quantile_centers(latents, count).double()
    for _ in range(iterations):
        inner = torch.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        edges = F.pad(F.pad(inner, (1, 0)), (0, 1), value=len(ordered))
        size = edges.diff()
        levels = torch.where(size > 0, sums[edges].diff() / size.clamp_min(1), levels)
    return levels.float()


@torch.no_grad()
def _record(quantizer: SoftQuantizer, values: Tensor, ber: float, step: int) -> tuple[Tensor, ...]:
    values = values[:SAMPLE]
    fair = with_centers(values, quantizer.levels, quantizer.sigma)  # the running prior lags behind moving centres
    return torch.tensor(step), quantizer.levels, relative_distortion(fair, values, ber)
