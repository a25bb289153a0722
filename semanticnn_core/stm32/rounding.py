"""Weights rounded one after the other, each making up for the errors of those before it.

Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, ICLR 2023 (arXiv 2210.17323), equations 2 and 3, in the given order.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 1024
"""Weights of an output that make up for one another; those of another block are rounded by themselves."""
DAMPING = 0.01
"""Of the inputs' mean square, added to each square: a weight whose input is always zero has something to divide by."""


def round_together(weight: Tensor, inputs: Tensor, stride: int, limit: int) -> Tensor:
    """Return a convolution's weights (outputs, channels, k, k), float64 in steps, as whole numbers, int64.

    inputs: whole numbers (B, channels, H, W) such as the layer will see, with their padding. For these the sums change
    as little as may be. No weight moves by more than one step, or beyond ±limit.
    """
    flat = weight.flatten(1)
    blocks = zip(flat.split(BLOCK, 1), _moments(inputs, weight.shape[-1], stride), strict=True)
    return torch.cat([_rounded(each, moments, limit) for each, moments in blocks], 1).view_as(weight).long()


def _moments(inputs: Tensor, kernel: int, stride: int) -> list[Tensor]:
    """Return Σ x·xᵀ of what the kernel sees, float64 (n, n) for each block of taps; exact, as all is whole numbers."""
    total: list[Tensor] = []
    for image in inputs.double().split(1):
        seen = F.unfold(image, kernel, stride=stride)[0].split(BLOCK)
        each = [taps @ taps.T for taps in seen]
        total = [a + b for a, b in zip(total, each, strict=True)] if total else each
    return total


def _rounded(weight: Tensor, moments: Tensor, limit: int) -> Tensor:
    """Return the weights (outputs, n) of a block as whole numbers, for inputs whose moments are (n, n)."""
    damped = moments + torch.eye(len(moments)).double() * (DAMPING * moments.diag().mean()).clamp_min(1)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    wanted, rounded = weight.clone(), torch.zeros_like(weight)
    low, high = (weight - 1).ceil().clamp_min(-limit), (weight + 1).floor().clamp_max(limit)
    for n in range(weight.shape[1]):
        rounded[:, n] = wanted[:, n].round().clamp(low[:, n], high[:, n])
        error = (wanted[:, n] - rounded[:, n]) / inverse[n, n]
        wanted[:, n + 1 :] -= error[:, None] * inverse[n, n + 1 :]
    return rounded
