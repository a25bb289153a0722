"""GDN, PReLU and BER attention against their formulas."""

import math

import pytest
import torch
from torch import nn

from semanticnn_core.codec.layers import GDN, BERAttention, PReLU


def randomised(layer: nn.Module, seed: int = 0) -> nn.Module:
    """Return the layer in float64 with random parameters around those it starts with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_formula(inverse):
    layer = randomised(GDN(3, inverse))
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    y, beta, gamma = layer(x).detach(), layer.beta.tolist(), layer.gamma.tolist()
    for b in range(2):
        for i in range(3):
            for h in range(2):
                for w in range(2):
                    energy = beta[i] + sum(gamma[i][j] * float(x[b, j, h, w]) ** 2 for j in range(3))
                    expected = float(x[b, i, h, w]) * energy ** (0.5 if inverse else -0.5)
                    assert float(y[b, i, h, w]) == pytest.approx(expected, rel=1e-9)


def test_gdn_starts_near_one_over_the_root():
    layer = GDN(4)
    assert torch.allclose(layer.beta, torch.ones(4), atol=1e-4)
    assert torch.allclose(layer.gamma, torch.full((4, 4), 1e-3) + 0.1 * torch.eye(4), atol=1e-5)


def test_the_inverse_undoes_gdn_where_channels_do_not_mix():
    there, back = GDN(3).double(), GDN(3, inverse=True).double()
    with torch.no_grad():
        for layer in (there, back):
            layer.raw_gamma.fill_(-100.0)  # γ = 0: the norm is √β, whatever x is
            layer.raw_beta.copy_(torch.tensor([-1.0, 0.5, 3.0]))
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert not torch.allclose(there(x), x) and torch.allclose(back(there(x)), x)


def test_beta_and_gamma_stay_positive_whatever_the_optimiser_does():
    layer = GDN(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(-1e4)
    assert (layer.beta > 0).all() and (layer.gamma >= 0).all()
    assert layer(torch.randn(1, 3, 2, 2)).isfinite().all()


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_learns_everywhere(inverse):
    layer = GDN(3, inverse)
    (layer(torch.randn(2, 3, 5, 5)) ** 2).sum().backward()
    assert (layer.raw_beta.grad != 0).all() and (layer.raw_gamma.grad != 0).all()


def test_prelu_is_its_formula_and_learns():
    layer = PReLU(3)
    assert torch.allclose(layer.slope, torch.full((3,), 0.25))
    with torch.no_grad():
        layer.log_slope.copy_(torch.tensor([0.1, 0.5, 2.0]).log())
    x = torch.randn(2, 3, 4, 4)
    slope = torch.tensor([0.1, 0.5, 2.0])[:, None, None]
    assert torch.allclose(layer(x), torch.where(x > 0, x, slope * x))
    layer(x).sum().backward()
    negative = x.clamp(max=0).sum((0, 2, 3))
    assert torch.allclose(layer.log_slope.grad, negative * slope.flatten(), rtol=1e-4), "d/dlog a of a·x is a·x"


@pytest.mark.parametrize("sign", [-1, 1])
def test_prelu_slopes_stay_positive_in_training(sign):
    layer, x = PReLU(3), -torch.rand(2, 3, 4, 4)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.5)
    for _ in range(50):
        optimizer.zero_grad()
        (sign * layer(x)).sum().backward()
        optimizer.step()
        assert (layer.slope > 0).all()
    assert (layer.slope < 0.01).all() if sign < 0 else (layer.slope > 1).all()


def test_attention_is_its_formula():
    layer = randomised(BERAttention(4))
    x, log_ber = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.tensor([-4.0, -1.3], dtype=torch.float64)
    y = layer(x, log_ber)
    for b in range(2):
        state = [float(x[b, c].mean()) for c in range(4)] + [float(log_ber[b]) + 3]
        hidden = [
            max(0.0, sum(w * s for w, s in zip(row, state, strict=True)) + bias)
            for row, bias in zip(layer.squeeze.weight.tolist(), layer.squeeze.bias.tolist(), strict=True)
        ]
        for c in range(4):
            total = sum(w * h for w, h in zip(layer.excite.weight[c].tolist(), hidden, strict=True))
            gate = 1 / (1 + math.exp(-total - float(layer.excite.bias[c].detach())))
            assert torch.allclose(y[b, c], x[b, c] * gate)


def test_attention_answers_each_samples_own_error_rate():
    layer = randomised(BERAttention(16))
    x = torch.randn(1, 16, 4, 4, dtype=torch.float64).repeat(3, 1, 1, 1)
    rates = torch.tensor([1e-4, 1e-4, 5e-2], dtype=torch.float64).log10()
    y = layer(x, rates)
    assert torch.equal(y[0], y[1]) and not torch.allclose(y[0], y[2])
    assert torch.allclose(y[2:], layer(x[2:], rates[2:])), "whatever else is in the batch"
