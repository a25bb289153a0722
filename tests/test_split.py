"""Splitting: the two parts together are the uncut network, and any two modules will do."""

import math

import pytest
import torch
import torchvision
from torch import nn

from semanticnn_core.datasets import Split
from semanticnn_core.tasks import Classification
from semanticnn_core.tasks.split import PIXEL_STD, ZERO_POINT, PixelNormalize, SplitModel

KNOWN = [
    ("mobilenet_v2", None, (32, 32, 32), (0.0, 6.0)),
    ("resnet50", None, (64, 16, 16), (0.0, math.inf)),
    ("resnet50", "stem", (64, 32, 32), (0.0, math.inf)),
]


def pixels(count: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize(("name", "cut", "shape", "feature_range"), KNOWN)
@pytest.mark.slow
def test_the_known_splits_are_the_uncut_network(name, cut, shape, feature_range):
    split = SplitModel.of(name, 7, 64, cut).eval()
    assert (split.feature_shape, split.output_shape, split.feature_range) == (shape, (7,), feature_range)
    assert split.description == {"model": name, "classes": 7, "image_size": 64, "cut": cut or split.description["cut"]}
    uncut = torchvision.models.get_model(name, num_classes=7).eval()
    for module in uncut.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics as training leaves them
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    ours = {key: value for key, value in split.state_dict().items() if not key.startswith("device_part.0.")}
    for mine, theirs in zip(ours.values(), uncut.state_dict().values(), strict=True):
        mine.copy_(theirs)
    images = pixels()
    zero_point, std = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (ZERO_POINT, PIXEL_STD))
    with torch.no_grad():
        feature = split.device_part(images)
        assert feature.shape[1:] == shape and float(feature.min()) >= 0
        expected = uncut((images.float() - zero_point) / std)
        assert float(expected.std()) > 1e-3, "the comparison says something"
        assert torch.allclose(split(images), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_zero_points_are_whole_pixels_that_become_zero():
    assert all(isinstance(value, int) and 0 <= value <= 255 for value in ZERO_POINT)
    grey = torch.tensor(ZERO_POINT, dtype=torch.uint8)[:, None, None].expand(1, 3, 4, 4)
    assert not PixelNormalize()(grey).any()
    one = PixelNormalize()(grey + 1)[0, :, 0, 0]
    assert torch.allclose(one, 1 / torch.tensor(PIXEL_STD))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (nn.ReLU(), (0, math.inf)),
        (nn.ReLU6(), (0, 6)),
        (nn.Sigmoid(), (0, 1)),
        (nn.Tanh(), (-1, 1)),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (0, math.inf)),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(5, 5, 1)), (-math.inf, math.inf)),
    ],
)
def test_any_two_modules_split_and_tell_their_range(last, expected):
    device = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 5, 3, 2, 1), last)
    split = SplitModel(device, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)), 24)
    assert split.feature_range == expected and split.feature_shape[0] == 5 and split.output_shape == (2,)
    images = pixels(1, 24)
    assert torch.equal(split(images), split.edge_part(split.device_part(images)))
    assert SplitModel(device, split.edge_part, 24, feature_range=(0.0, 2.5)).feature_range == (0.0, 2.5)


def test_the_dry_run_leaves_no_trace():
    device, edge = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Flatten()
    device[2].eval()
    SplitModel(device, edge, 8)
    assert device.training and edge.training and not device[2].training
    assert device[2].num_batches_tracked == 0 and not device[2].running_mean.any()


def test_a_split_that_does_not_run_is_refused_saying_why():
    device = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\)"):
        SplitModel(device, nn.Linear(5, 2), 8)
    with pytest.raises(ValueError, match=r"feature \(B, C, H, W\), got shape \(2, 144\)"):
        SplitModel(nn.Sequential(*device, nn.Flatten()), nn.Linear(144, 2), 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg", 10, 64), "'vgg'.*mobilenet_v2, resnet50"),
        (("mobilenet_v2", 10, 64, "pool"), "stem, not after 'pool'"),
        (("resnet50", 10, 64, "layer1"), "pool or stem, not after 'layer1'"),
        (("mobilenet_v2", 1, 64), "classes must be at least 2, got 1"),
        (("mobilenet_v2", 10, 16), "image_size must be at least 32.*got 16"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        SplitModel.of(*arguments)


def test_frozen_networks_have_no_gradients_and_do_not_train():
    split = SplitModel(nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Flatten(), 8)
    assert split.frozen() is split
    assert not any(each.requires_grad for each in split.parameters())
    assert not any(module.training for module in split.modules())
    assert not split(pixels(1, 8)).requires_grad


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
@pytest.mark.slow
def test_folded_networks_hold_no_batch_norm_and_say_and_differentiate_the_same(name):
    split = SplitModel.of(name, 5, 32).frozen()
    torch.manual_seed(0)
    for norm in (each for each in split.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 1.5), norm.bias.data.normal_(), norm.running_var.uniform_(0.5, 2)
    folded = split.folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.edge_part.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in split.edge_part.modules())
    feature = torch.rand(2, *split.feature_shape).requires_grad_()
    ours, theirs = folded.edge_part(feature), split.edge_part(feature)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    gradients = [torch.autograd.grad(each.sum(), feature)[0] for each in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-3 * float(gradients[1].abs().max()))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norms = nn.Conv2d(4, 4, 3, padding=1), nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x):
        return self.norms[1](self.conv(self.norms[0](self.conv(x)))).flatten(1)


class Untraceable(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


@pytest.mark.parametrize("edge", [Shared, Untraceable])
def test_edges_that_cannot_be_folded_are_left_as_they_are(edge):
    torch.manual_seed(0)
    edge = edge()
    for norm in (each for each in edge.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    split = SplitModel(nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3)), edge, 8)
    assert split.folded().edge_part is edge


def test_half_rounding_is_what_half_precision_stores():
    split = SplitModel(nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3)), nn.Flatten(), 8)
    stored = {name: value.half() for name, value in split.state_dict().items()}
    assert split.half_rounded() is split
    for name, value in split.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, stored[name].float())


def test_the_range_is_that_of_the_module_that_ran_last():
    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shrink, self.act = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 4, 1), nn.ReLU()

        def forward(self, images):
            return self.shrink(self.act(self.conv(images / 255)))

    class Shifted(Reversed):
        def forward(self, images):
            return self.act(self.conv(images / 255)) - 1

    for device in (Reversed(), Shifted()):
        model = SplitModel(device, nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), image_size=16)
        assert model.feature_range == (-math.inf, math.inf)


def test_a_network_for_other_classes_keeps_all_but_its_last_layer():
    split = SplitModel.of("mobilenet_v2", 5, 32).frozen()
    assert split.with_classes(5) is split
    other = split.with_classes(7)
    assert other.output_shape == (7,) and split.output_shape == (5,)
    assert other.description == split.description | {"classes": 7} and split.description["classes"] == 5
    assert (other.image_size, other.feature_range, other.task) == (32, split.feature_range, split.task)
    before, after = split.state_dict(), other.state_dict()
    last = [name for name in before if before[name].shape != after[name].shape]
    assert [before[name].shape[0] for name in last] == [5, 5] and len(before) == len(after)
    assert all(torch.equal(before[name], after[name]) for name in before if name not in last)
    assert [name for name, each in other.named_parameters() if each.requires_grad] == last, "the head is to be trained"


def test_another_head_for_a_network_of_ones_own_describes_nothing():
    device, edge = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    other = SplitModel(device, edge, 8, (-1.0, 1.0)).with_classes(3)
    assert other.output_shape == (3,) and other.description == {} and other.feature_range == (-1.0, 1.0)


@pytest.mark.parametrize("edge", [nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(144, 2), nn.ReLU())])
def test_only_a_last_linear_layer_can_be_exchanged(edge):
    split = SplitModel(nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3)), edge, 8)
    with pytest.raises(ValueError, match="Sequential ending in a Linear layer"):
        split.with_classes(3)


def test_a_whole_split_is_answered_and_scored_in_evaluation_mode():
    device = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    split = SplitModel(device, nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), 8).train()
    images = pixels(300, 8)  # more than one batch
    data = Split({"image": images, "label": torch.arange(300) % 2})
    answers = split.answer_all(data)
    assert split.training and device[2].training and device[2].num_batches_tracked == 0
    with torch.no_grad():
        expected = split.eval()(images)
    assert torch.allclose(answers, expected, atol=1e-5) and not answers.requires_grad
    assert split.score(data) == pytest.approx(float((expected.argmax(1) == data["label"]).double().mean()))
    assert split.device == torch.device("cpu") and isinstance(split.task, Classification)


def test_a_task_of_ones_own_scores_any_outputs():
    class Brightness:
        metric = "closeness"

        def score(self, outputs, targets) -> float:
            return -float((outputs[0] - targets["light"]).abs().mean())

    class Pair(nn.Module):
        def forward(self, feature):
            return feature.mean((1, 2, 3)), feature.amax((1, 2, 3))

    class Floats(nn.Module):
        def forward(self, images):
            return images.float()

    split = SplitModel(Floats(), Pair(), 8, task=Brightness())
    images = pixels(300, 8)
    outputs = split.answer_all(Split({"image": images}))
    assert isinstance(outputs, tuple) and [each.shape for each in outputs] == [(300,), (300,)]
    assert split.score(Split({"image": images, "light": images.float().mean((1, 2, 3)) + 2})) == pytest.approx(-2)
    assert split.folded().task is split.task
