"""The losses against their closed forms."""

import math

import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.tasks import Classification
from semanticnn_core.training.losses import denoising_loss, occupancy_loss, xai_loss


@pytest.mark.parametrize("n", [2, 8, 64])
def test_occupancy_loss_at_its_two_ends(n):
    assert float(occupancy_loss(torch.full((n,), 1 / n))) == pytest.approx(0, abs=1e-6)
    assert float(occupancy_loss(F.one_hot(torch.tensor(1), n).float())) == pytest.approx(math.log(n), rel=1e-5)


def test_occupancy_loss_between():
    p = torch.tensor([0.7, 0.2, 0.1, 0.0])
    expected = sum(value * math.log(value * 4) for value in (0.7, 0.2, 0.1))
    assert float(occupancy_loss(p)) == pytest.approx(expected, rel=1e-5)


def test_occupancy_loss_pulls_towards_uniform_use():
    logits = torch.tensor([2.0, 0.0, -1.0, 0.5], requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(occupancy_loss(logits.softmax(0)), logits)
        logits = (logits - 2 * gradient).detach().requires_grad_()
    assert torch.allclose(logits.softmax(0), torch.full((4,), 0.25), atol=0.01)


def test_denoising_loss_is_the_mean_square():
    assert float(denoising_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))) == 4.5


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_distillation_is_the_divergence_of_softened_predictions(temperature):
    student, teacher = torch.randn(3, 5), torch.randn(3, 5)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = ([math.exp(value / temperature) for value in each] for each in (t, s))
        p, q = [value / sum(p) for value in p], [value / sum(q) for value in q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    expected = temperature**2 * total / 3
    assert float(Classification().distill(student, teacher, temperature)) == pytest.approx(expected, rel=1e-4)


def test_distillation_is_zero_for_the_same_prediction_and_shifts_do_not_count():
    logits = torch.randn(3, 5)
    assert float(Classification().distill(logits, logits, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(Classification().distill(logits + 7, logits, 2.0)) == pytest.approx(0, abs=1e-5)
    assert float(Classification().distill(-logits, logits, 2.0)) > 0.1


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_xai_loss_tends_to_equation_3_as_the_count_hardens(balance):
    phi = torch.randn(5, 6, 6, dtype=torch.float64)
    flat = phi.flatten(1)
    exact = balance / flat.clamp_min(0).sum(1) + (1 - balance) * 36 / (flat > 0).sum(1)
    losses = [float(xai_loss(phi, balance, 0.2, softness)) for softness in (1.0, 0.1, 1e-6)]
    wanted = float(exact.mean()) - 0.2
    assert losses[-1] == pytest.approx(wanted, rel=1e-5)
    assert abs(losses[1] - wanted) <= abs(losses[0] - wanted) + 1e-9


def test_xai_loss_by_hand():
    phi = torch.tensor([[2.0, -1.0, 0.5, -0.5]])
    assert float(xai_loss(phi, 1.0, 0.0)) == pytest.approx(1 / 2.5)
    assert float(xai_loss(phi, 0.0, 0.0, 1e-6)) == pytest.approx(2)
    assert float(xai_loss(phi, 0.5, 0.25, 1e-6)) == pytest.approx(0.5 / 2.5 + 1 - 0.25)


def test_xai_loss_is_zero_at_its_best_and_finite_at_its_worst():
    assert float(xai_loss(torch.full((2, 100), 1e4), 0.5, 0.5, 1e-3)) == pytest.approx(0, abs=1e-4)
    worst = torch.full((2, 100), -1.0).requires_grad_()
    loss = xai_loss(worst)
    loss.backward()
    assert loss.isfinite() and worst.grad.isfinite().all()


def test_no_sample_owns_the_explanation_loss():
    phi = 0.03 * torch.randn(64, 1024)  # about twelve logits for the class, as many against it
    phi[0] = -phi[0].abs()  # nothing speaks for this one
    phi[1] *= 1e-5
    phi.requires_grad_()
    xai_loss(phi).backward()
    sizes = phi.grad.norm(dim=1)
    assert sizes[:2].max() < 200 * sizes.median()


def test_xai_loss_pulls_every_attribution_up_and_its_count_has_a_gradient():
    for balance in (0.0, 0.5):
        phi = torch.randn(3, 20, requires_grad=True)
        xai_loss(phi, balance, softness=1.0).backward()
        assert (phi.grad < 0).all()
    phi = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    width = phi.detach().abs().mean(1, keepdim=True)  # which the loss holds constant
    by_hand = (0.7 / phi.clamp_min(0).sum(1) + 0.3 * 20 / (phi / (0.5 * width)).sigmoid().sum(1)).mean()
    ours, theirs = (torch.autograd.grad(each, phi)[0] for each in (xai_loss(phi, 0.7, 0.0, 0.5), by_hand))
    assert torch.allclose(ours, theirs)
