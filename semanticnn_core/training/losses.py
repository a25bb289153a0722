"""The losses of the paper, one function an equation."""

from torch import Tensor
from torch.nn import functional as F


def denoising_loss(sent: Tensor, received: Tensor) -> Tensor:
    """Return L_bit, the mean squared error between sent and received feature (equation 1)."""
    return F.mse_loss(received, sent)


def occupancy_loss(occupancy: Tensor) -> Tensor:
    """Return L_div = KL(p ‖ 1/n) in nats, 0 when all n centres are used equally, at most log n (equation 2).

    occupancy: the soft share of each centre (n,), which sums to 1; soft, because counts have no gradient.
    """
    p = occupancy.clamp_min(1e-12)
    return (p * (p * len(p)).log()).sum()


FLOOR = 1.0
"""Least sum of positive attributions and of their sizes (logits), and least count (pixels), by which L_XAI divides."""


def xai_loss(phi: Tensor, balance: float = 0.5, reward: float = 0.5, softness: float = 0.1) -> Tensor:
    """Return L_XAI = λ / Σ max(φ, 0) + (1 − λ)·M / |{φ > 0}| − r, the mean over the samples (equation 3).

    phi: attribution of the true class to each of the M offloaded pixels, (B, …). balance is λ in [0, 1], reward is r.
    The first term is exact. The count has no gradient; it is replaced by Σ sigmoid(φ / (softness · mean |φ|)), which
    tends to it as softness falls to zero, with the mean |φ| held constant. What is divided by stays above `FLOOR`, or
    the one sample of a batch that nothing speaks for would own the whole step.
    """
    phi = phi.flatten(1)
    pixels = phi.shape[1]
    width = softness * phi.detach().abs().mean(1, keepdim=True).clamp_min(FLOOR / pixels)
    positive = phi.clamp_min(0).sum(1).clamp_min(FLOOR)
    count = (phi / width).sigmoid().sum(1).clamp_min(FLOOR)
    return (balance / positive + (1 - balance) * pixels / count).mean() - reward
