"""The losses against their closed forms."""

import math

import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.training.losses import denoising_loss, distillation_loss, occupancy_loss, semantic_loss


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
    assert float(distillation_loss(student, teacher, temperature)) == pytest.approx(expected, rel=1e-4)


def test_distillation_is_zero_for_the_same_prediction_and_shifts_do_not_count():
    logits = torch.randn(3, 5)
    assert float(distillation_loss(logits, logits, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits + 7, logits, 2.0)) == pytest.approx(0, abs=1e-5)
    assert float(distillation_loss(-logits, logits, 2.0)) > 0.1


def test_semantic_loss_is_the_weighted_sum_of_its_terms():
    logits, teacher, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    occupancy = torch.tensor([0.7, 0.3])
    terms = semantic_loss(logits, labels, occupancy, 2.0, 0.5, teacher, 0.25, 3.0)
    assert float(terms["L_cls"]) == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert float(terms["L_div"]) == pytest.approx(float(occupancy_loss(occupancy)))
    assert float(terms["L_distill"]) == pytest.approx(float(distillation_loss(logits, teacher, 3.0)))
    expected = 2 * terms["L_div"] + 0.5 * terms["L_cls"] + 0.25 * terms["L_distill"]
    assert float(terms["loss"]) == pytest.approx(float(expected))
    plain = semantic_loss(logits, labels, occupancy, 2.0, 0.5)
    assert set(plain) == {"loss", "L_div", "L_cls"}
    assert float(plain["loss"]) == pytest.approx(float(2 * plain["L_div"] + 0.5 * plain["L_cls"]))
