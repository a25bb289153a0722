"""Attribution maps against closed forms, and the faults of captum that they avoid."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from semanticnn_core.explain.attribution import COMPLETE, METHODS, attribute, midpoint_attribution
from semanticnn_core.tasks.split import SplitModel

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


def test_gradient_shap_is_seeded_and_leaves_other_draws_alone(bent, feature):
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


class Around(nn.Module):
    """Convolution, a call, max pooling and a linear layer."""

    def __init__(self, call) -> None:
        super().__init__()
        self.conv, self.head, self.call = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6 * 16, 4), call

    def forward(self, feature):
        return self.head(F.max_pool2d(self.call(self.conv(feature)), 2).flatten(1))


def gap(guide: nn.Module, feature: torch.Tensor) -> float:
    return float(attribute(guide.eval(), feature - 3, 0, "deep_lift").gap.max())


LAYERS = "ReLU ReLU6 PReLU RReLU SiLU GELU Hardswish Mish Hardtanh CELU SELU ELU LeakyReLU Softplus Sigmoid Tanh"
CALLS = "relu relu6 silu gelu leaky_relu hardswish mish elu celu selu softplus hardtanh hardsigmoid logsigmoid"


@pytest.mark.parametrize(
    "activation",
    [*(getattr(nn, name)() for name in LAYERS.split()), nn.PReLU(6), nn.SiLU(inplace=True)]
    + [getattr(F, name) for name in CALLS.split()]
    + [torch.relu, torch.sigmoid, torch.tanh, torch.relu_, lambda x: F.elu(x, inplace=True), lambda x: F.relu(input=x)]
    + [lambda x: x.clamp_min(0), lambda x: x.clamp(-1, 1), lambda x: x.sigmoid_(), lambda x: torch.clamp(x, min=0)]
    + [lambda x: x * x, lambda x: x**2, lambda x: 1 / (1 + x.square()), lambda x: 2 * x / 3],
    ids=lambda each: getattr(each, "__name__", type(each).__name__),
)
@pytest.mark.slow
def test_deep_lift_is_complete_through_any_elementwise_call(activation, feature):
    assert gap(Around(activation), feature) < 1e-3


def test_deep_lift_is_complete_where_an_activation_is_used_again_or_changed_in_place(feature):
    def residual(value):
        bent = F.silu(value)
        bent += value
        value += 1
        return torch.cat([torch.tanh(bent)[:, :3], value[:, 3:]], 1)

    assert gap(Around(residual), feature) < 1e-3


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(3, 1, 1), nn.AdaptiveMaxPool2d(8), nn.BatchNorm2d(6)],
    ids=["overlapping", "adaptive", "batch norm"],
)
def test_deep_lift_is_complete_through_pooling_and_batch_norm(pool, feature):
    before, after = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
    assert gap(Around(nn.Sequential(nn.ReLU(), before, pool, after, nn.GELU())), feature) < 1e-3


def test_the_rescale_rule_in_numbers():
    """tanh(2x) at x = 1.5, and a maximum that changes its place: the old peak's fall and the new one's rise."""
    guide = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Tanh()).eval()
    nn.init.constant_(guide[1].weight, 2.0)
    scores = attribute(guide, torch.full((1, 1, 1, 1), 1.5), 0, "deep_lift").scores
    assert float(scores) == pytest.approx(np.tanh(3), abs=1e-6)

    class Peak(nn.Module):
        def forward(self, feature):
            return (feature + torch.tensor([[[[2.0, 0.0, 1.0]]]])).amax((2, 3))

    scores = attribute(Peak(), torch.tensor([[[[-1.5, 4.0, -1.0]]]]), 0, "deep_lift").scores
    assert scores.flatten().tolist() == pytest.approx([0, 2, 0])  # from 2 to 4, all due to the second
    scores = attribute(Peak(), torch.tensor([[[[-1.5, 0.0, 0.2]]]]), 0, "deep_lift").scores
    assert scores.flatten().tolist() == pytest.approx([-0.8, 0, 0], abs=1e-6)  # from 2 to 1.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (nn.LayerNorm([6, 8, 8]), r"layer 'call' \(LayerNorm\)"),
        (nn.Softmax(1), r"layer 'call' \(Softmax\)"),
        (nn.BatchNorm2d(6, track_running_stats=False), r"layer 'call' \(BatchNorm2d\)"),
        (lambda x: x * x.mean((2, 3), keepdim=True), "call 'mul'"),
        (lambda x: x @ x.transpose(2, 3), "call 'matmul'"),
        (lambda x: x.softmax(1), "call 'softmax'"),
        (lambda x: F.normalize(x), "call 'normalize'"),
        (lambda x: x.sort(1)[0], "call 'sort'"),
        (lambda x: x + x.detach(), "call 'detach'"),
        (lambda x: F.dropout(x, 0.5), "call 'dropout'"),
        (lambda x: x if x.sum() > 0 else -x, "torch.fx cannot trace Around"),
        (lambda x: x - x.mean(0, keepdim=True), "joins samples"),
    ],
)
def test_what_deep_lift_cannot_explain_is_refused_by_name(call, message, feature):
    with pytest.raises(ValueError, match=message):
        attribute(Around(call).eval(), feature - 3, 0, "deep_lift")


@pytest.mark.parametrize(("name", "cut"), [("mobilenet_v2", "stem"), ("resnet50", "stem")])
@pytest.mark.slow
def test_deep_lift_explains_the_shipped_edges(name, cut):
    model = SplitModel.of(name, 4, 32, cut).frozen()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):  # no residual branch begins at zero
            nn.init.uniform_(layer.weight, 0.5, 1)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    feature = torch.rand(1, *model.feature_shape)
    own, folded = (
        attribute(edge.double(), feature, 0, "deep_lift") for edge in (model.edge_part, model.folded().edge_part)
    )
    assert max(float(own.gap), float(folded.gap)) < 1e-6
    assert torch.allclose(own.scores, folded.scores, rtol=1e-2, atol=1e-3 * float(own.scores.abs().max()))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (3, 8), (5, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_small_features_are_explained(size, method):
    guide = nn.Sequential(nn.Flatten(), nn.Linear(2 * size[0] * size[1], 5)).eval()
    feature = torch.rand(2, 2, *size)
    assert attribute(guide, feature, 0, method, steps=2).scores.shape == (2, *size)
    assert attribute(guide, feature, 0, method, "channel", steps=2).scores.shape == (2, 2)


def test_a_feature_smaller_than_the_patch_is_occluded_whole():
    guide = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 2, 5)).eval()
    feature = torch.rand(2, 2, 3, 2)
    fall = guide(feature)[:, 1] - guide(torch.zeros_like(feature))[:, 1]
    scores = attribute(guide, feature, 1, "occlusion").scores
    assert torch.allclose(scores, fall[:, None, None].expand(2, 3, 2), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.slow
def test_gradients_are_taken_in_any_mode(bent, feature, method, mode):
    target = torch.tensor([0, 1, 2, 3])
    expected = attribute(bent, feature, target, method, steps=3)
    with mode():
        for own in (bent, copy.deepcopy(bent)):  # the copy's weights are made in this mode
            found = attribute(own, feature.clone(), target.clone(), method, steps=3)
            assert torch.allclose(found.scores, expected.scores)
        assert torch.allclose(
            midpoint_attribution(bent, feature.clone(), target.clone()), midpoint_attribution(bent, feature, target)
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.slow
def test_halves_are_explained_in_single_precision(bent, feature, method, kind):
    feature = feature.to(kind)
    whole = copy.deepcopy(bent).to(kind).float()
    expected = attribute(whole, feature.float(), 0, method, steps=3).scores
    for guide, given in ((whole, feature), (copy.deepcopy(whole).to(kind), feature), (whole.to(kind), feature.float())):
        scores = attribute(guide, given, 0, method, steps=3).scores
        assert scores.dtype == torch.float32 and torch.equal(scores, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attribute(whole, feature, 0, method, steps=3).scores, expected)


def test_a_guide_in_training_mode_is_explained_as_it_answers(feature):
    guide = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(3 * 64, 4)).train()
    mean = guide[0].running_mean.clone()
    scores = attribute(guide, feature, 1, steps=4).scores
    assert guide[2].training and torch.equal(guide[0].running_mean, mean)
    assert torch.allclose(scores, attribute(guide.eval(), feature, 1, steps=4).scores)


def test_numpy_numbers_are_numbers(bent, feature):
    found = attribute(bent, feature, np.int64(2), "gradient_shap", steps=np.int32(3), seed=np.int64(7))
    assert torch.equal(found.scores, attribute(bent, feature, 2, "gradient_shap", steps=3, seed=7).scores)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "gradcam"}, "method must be one of .*got 'gradcam'"),
        ({"level": "image"}, "'pixel' or 'channel', got 'image'"),
        ({"steps": 0}, "steps must be a whole number of at least 2, got 0"),
        ({"steps": 1}, "steps must be a whole number of at least 2, got 1"),
        ({"internal_batch_size": 0}, "internal_batch_size must be a whole number of at least 1"),
        ({"target": 5}, r"\[0, 4\], got 5"),
        ({"target": -1}, r"\[0, 4\], got -1"),
        ({"target": torch.tensor([0, 1])}, "one class or 4 of them"),
        ({"target": torch.zeros(4)}, "float32"),
        ({"steps": 2.5}, "steps must be a whole number of at least 2, got 2.5"),
        ({"seed": -1}, r"seed must be a whole number in \[0, 4294967295\], got -1"),
        ({"feature": torch.rand(3, 8, 8)}, r"\(B, C, H, W\) and not be empty, got \(3, 8, 8\)"),
        ({"feature": torch.rand(0, 3, 8, 8)}, r"not be empty, got \(0, 3, 8, 8\)"),
        ({"feature": torch.full((1, 3, 8, 8), torch.nan)}, "not finite"),
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
