"""Weights that are rounded together: as near as each alone may be moved, and nearer in what they sum up to."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.stm32 import rounding
from semanticnn_core.stm32.rounding import round_together


def inputs(channels: int, generator: torch.Generator, size: int = 12) -> torch.Tensor:
    """Return smooth whole numbers in [0, 255], (8, channels, size, size), neighbours alike as in a feature."""
    coarse = torch.rand(8, channels, 4, 4, generator=generator)
    return (255 * F.interpolate(coarse, size=size, mode="bilinear")).round().long()


def error(weight: torch.Tensor, whole: torch.Tensor, seen: torch.Tensor, stride: int) -> torch.Tensor:
    """Return the mean square of what the rounding changes in the sums, of each output."""
    return F.conv2d(seen.double(), whole.double() - weight, stride=stride).square().mean((0, 2, 3))


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(8, 4, 4), (3, 3, 1), (16, 1, 1)])
def test_sums_change_less_than_by_rounding_each_weight_alone(channels, kernel, stride):
    generator = torch.Generator().manual_seed(0)
    weight = 127 * (2 * torch.rand(6, channels, kernel, kernel, generator=generator).double() - 1)
    seen, unseen = inputs(channels, generator), inputs(channels, generator)
    whole = round_together(weight, seen, stride, 127)
    assert whole.dtype == torch.int64 and int(whole.abs().max()) <= 127
    assert float((whole - weight).abs().max()) <= 1
    for each in (seen, unseen):
        alone = error(weight, weight.round(), each, stride)
        assert (error(weight, whole, each, stride) < alone).all()
        assert float(error(weight, whole, each, stride).mean()) < float(alone.mean()) / 3
    assert torch.equal(whole, round_together(weight, seen, stride, 127))


def test_two_equal_inputs_are_rounded_to_the_nearest_sum():
    seen = torch.tensor([3, 200, 7]).view(3, 1, 1, 1).expand(3, 2, 1, 1)
    weights = torch.tensor([0.4, -0.4, 1.3, 2.45], dtype=torch.float64)
    pairs = torch.tensor(list(itertools.product(weights, weights)), dtype=torch.float64)[..., None, None]
    assert torch.equal(round_together(pairs, seen, 1, 127).sum(1), pairs.sum(1).round().long())


def test_inputs_that_say_nothing_leave_the_nearest_numbers():
    weight = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double() * 40
    zeros = torch.zeros(1, 3, 4, 4, dtype=torch.int64)
    assert torch.equal(round_together(weight, zeros, 2, 127), weight.round().long())
    apart = torch.eye(12, dtype=torch.int64).view(12, 3, 2, 2) * 100  # one tap at a time
    assert torch.equal(round_together(weight, apart, 1, 127), weight.round().long())


def test_blocks_are_rounded_by_themselves(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    weight, seen = 50 * torch.randn(4, 6, 2, 2, generator=generator).double(), inputs(6, generator)
    monkeypatch.setattr(rounding, "BLOCK", 8)
    whole = round_together(weight, seen, 2, 127)
    for first in (0, 2, 4):
        part = slice(first, first + 2)
        alone = round_together(weight[:, part], seen[:, part], 2, 127)
        assert torch.equal(whole[:, part], alone)
