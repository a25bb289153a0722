"""Attribution maps against closed forms, and the traps of captum that they go round."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from semanticnn_core.explain.attribution import COMPLETE, METHODS, attribute, midpoint_attribution

SHAPE = (3, 8, 8)


@pytest.fixture
def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)).eval().requires_grad_(False)


@pytest.fixture
def bent() -> nn.Module:
    """A piecewise linear network that is far from linear: ReLU6 saturates and biases move the kinks."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU6(), nn.Flatten(),
        nn.Linear(8 * 8 * 8, 5),
    )  # fmt: skip
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.mul_(3)
    return net.eval().requires_grad_(False)


@pytest.fixture
def feature() -> torch.Tensor:
    return 6 * torch.rand(4, *SHAPE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("level", "shape"), [("pixel", (4, 8, 8)), ("channel", (4, 3))])
def test_shapes_and_answers(bent, feature, method, level, shape):
    found = attribute(bent, feature, method=method, level=level, steps=5)
    assert found.scores.shape == shape and found.scores.isfinite().all() and not found.scores.requires_grad
    assert torch.equal(found.target, bent(feature).argmax(1))
    assert (found.gap is not None) == (method in COMPLETE)
    one = attribute(bent, feature, 2, method, level, steps=5)
    assert one.target.tolist() == [2] * 4


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "deep_lift", "occlusion"])
def test_a_linear_network_gives_weight_times_input(linear, feature, method):
    target = torch.tensor([0, 4, 2, 2])
    product = feature * linear[1].weight[target].view(4, *SHAPE)
    channel = attribute(linear, feature, target, method, "channel", steps=4)
    assert torch.allclose(channel.scores, product.sum((2, 3)), atol=1e-4)
    if method != "occlusion":  # whose patches blur the pixels
        pixel = attribute(linear, feature, target, method, steps=4)
        assert torch.allclose(pixel.scores, product.sum(1), atol=1e-4)
    if method in COMPLETE:
        assert float(channel.gap.max()) < 1e-3


def test_saliency_of_a_linear_network_is_the_size_of_its_weights(linear, feature):
    scores = attribute(linear, feature, 1, "saliency").scores
    assert torch.allclose(scores, linear[1].weight[1].view(SHAPE).abs().sum(0).expand(4, 8, 8), atol=1e-5)


def test_levels_share_one_sum(bent, feature):
    pixel, channel = (attribute(bent, feature, 0, "deep_lift", level).scores for level in ("pixel", "channel"))
    assert torch.allclose(pixel.sum((1, 2)), channel.sum(1), rtol=1e-4, atol=1e-4)


def test_deep_lift_is_complete_through_relu6_and_integrated_gradients_nearly(bent, feature):
    assert float(attribute(bent, feature, method="deep_lift").gap.max()) < 1e-4
    coarse, fine = (attribute(bent, feature, steps=steps).gap.median() for steps in (3, 300))
    assert float(fine) < 0.02 and float(fine) < float(coarse)


def test_a_reused_relu_is_read_right(feature):
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
            self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(6 * 16, 3)

        def forward(self, feature):
            return self.head(self.relu(self.two(self.relu(self.one(feature)))).flatten(1))

    net = Reused().eval()
    found = attribute(net, feature, method="deep_lift")
    assert float(found.gap.max()) < 1e-4
    assert net.relu.inplace  # the guide itself stays as it was


@pytest.mark.parametrize("method", METHODS)
def test_a_leading_in_place_activation_leaves_the_feature_alone(method):
    guide = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 8 * 8, 4)).eval()
    feature = torch.randn(2, *SHAPE)
    before = feature.clone()
    scores = attribute(guide, feature, 1, method, steps=3).scores
    assert torch.equal(feature, before)
    if method == "input_x_gradient":  # nothing negative passes the activation
        weight = guide[2].weight[1].view(SHAPE)
        assert torch.allclose(scores, (before.clamp_min(0) * weight).sum(1), atol=1e-5)


def test_gradient_shap_is_seeded_and_leaves_everybodys_dice_alone(bent, feature):
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    one, other, same = (attribute(bent, feature, 0, "gradient_shap", steps=6, seed=seed).scores for seed in (1, 2, 1))
    assert torch.equal(torch.rand(3), expected[0]) and np.array_equal(np.random.rand(3), expected[1])
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "gradient_shap"])
def test_the_batches_inside_do_not_change_the_result(bent, feature, method):
    large, small = (attribute(bent, feature, 0, method, steps=7, internal_batch_size=n).scores for n in (200, 2))
    assert torch.allclose(large, small, rtol=1e-3, atol=1e-3)


def test_memory_is_bounded(feature):
    seen = []

    class Watched(nn.Linear):
        def forward(self, feature):
            seen.append(len(feature))
            return super().forward(feature)

    guide = nn.Sequential(nn.Flatten(), Watched(3 * 8 * 8, 4)).eval()
    for method in ("integrated_gradients", "gradient_shap", "occlusion", "saliency"):
        attribute(guide, feature.repeat(3, 1, 1, 1), 0, method, steps=20, internal_batch_size=8)
    assert max(seen) <= 8


def test_deep_lift_sees_activations_that_are_functions(feature):
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(3 * 8 * 8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

        def forward(self, feature):
            first = torch.relu(self.first(feature.flatten(1)))
            return self.third(F.relu6(self.second(first)))

    assert attribute(Functional().eval(), feature, 0, "deep_lift").gap.max() < 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "gradcam"}, "method must be one of .*got 'gradcam'"),
        ({"level": "image"}, "'pixel' or 'channel', got 'image'"),
        ({"steps": 0}, "steps must be at least 2, got 0"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
        ({"target": 5}, r"\[0, 4\], got 5"),
        ({"target": -1}, r"\[0, 4\], got -1"),
        ({"target": torch.tensor([0, 1])}, "one class or 4 of them"),
        ({"target": torch.zeros(4)}, "float32"),
        ({"feature": torch.rand(2, 7, 8, 8)}, r"cannot take features \(2, 7, 8, 8\)"),
    ],
)
def test_bad_requests_are_refused_by_name(bent, feature, wrong, message):
    with pytest.raises(ValueError, match=message):
        attribute(**{"guide": bent, "feature": feature} | wrong)


def test_a_guide_that_gives_no_logits_is_refused(feature):
    with pytest.raises(ValueError, match="logits"):
        attribute(nn.Identity(), feature)


def test_captum_says_nothing(bent, feature, recwarn):
    attribute(bent, feature, 0, "deep_lift")
    assert not recwarn.list


def test_the_one_point_map_is_feature_times_gradient_halfway(bent, feature):
    target = torch.tensor([0, 1, 2, 3])
    half = (feature / 2).requires_grad_()
    slope = torch.autograd.grad(bent(half).gather(1, target[:, None]).sum(), half)[0]
    assert torch.allclose(midpoint_attribution(bent, feature, target), (feature * slope).sum(1), atol=1e-5)


def test_holding_the_slope_constant_loses_nothing_on_linear_pieces(bent, feature):
    target, weight = torch.tensor([0, 1, 2, 3]), torch.randn(4, 8, 8)
    ours = feature.clone().requires_grad_()
    (fast,) = torch.autograd.grad((weight * midpoint_attribution(bent, ours, target)).sum(), ours)
    full = feature.clone().requires_grad_()
    half = 0.5 * full
    logit = bent(half).gather(1, target[:, None]).sum()
    (slope,) = torch.autograd.grad(logit, half, create_graph=True)
    (true,) = torch.autograd.grad((weight * (full * slope).sum(1)).sum(), full)
    assert torch.allclose(fast, true, rtol=1e-4, atol=1e-5)
    assert float(fast.abs().max()) > 0.01


def test_where_the_slope_bends_the_true_gradient_differs(feature):
    """The test above can fail: tanh is not piecewise linear."""
    guide = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    ours, full = (feature.clone().requires_grad_() for _ in range(2))
    (fast,) = torch.autograd.grad(midpoint_attribution(guide, ours, torch.zeros(4).long()).sum(), ours)
    half = 0.5 * full
    (slope,) = torch.autograd.grad(guide(half)[:, 0].sum(), half, create_graph=True)
    (true,) = torch.autograd.grad((full * slope).sum(), full)
    assert not torch.allclose(fast, true, rtol=1e-2, atol=1e-5)


def test_the_one_point_map_is_complete_for_a_linear_network(linear, feature):
    target = torch.tensor([3, 1, 0, 3])
    rise = (linear(feature) - linear(torch.zeros_like(feature))).gather(1, target[:, None])[:, 0]
    assert torch.allclose(midpoint_attribution(linear, feature, target).sum((1, 2)), rise, rtol=1e-4, atol=1e-4)
