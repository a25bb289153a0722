"""The metric of stage 1: what an error of the feature costs the task."""

import dataclasses

import pytest
import torch
from tiny import UnitPixels, make_codec_config, make_dataset, make_split
from torch import nn

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.config import CodecTrainConfig
from semanticnn_core.tasks import SplitModel
from semanticnn_core.training import new_codec, pretrain_denoising
from semanticnn_core.training.loop import Run
from semanticnn_core.training.losses import denoising_loss
from semanticnn_core.training.sensitivity import Sensitivity, sensitivity

SHORT = CodecTrainConfig(epochs=6, batch_size=32, learning_rate=0.02)


@pytest.fixture(scope="module")
def split() -> SplitModel:
    return make_split()


@pytest.fixture(scope="module")
def dataset():
    return make_dataset()


def matrix(metric: Sensitivity) -> torch.Tensor:
    return metric.root.double() @ metric.root.double()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_matrix_is_the_mean_outer_product_of_single_images_gradients(share, split, dataset):
    few = dataset.train[:66]  # a full batch and a small one
    total = torch.zeros(16, 16, dtype=torch.float64)
    for image, label in zip(few["image"], few["label"], strict=True):
        feature = split.device_part(image[None]).detach().requires_grad_()
        nn.functional.cross_entropy(split.edge_part(feature), label[None]).backward()
        for row in range(0, 8, 2):
            for column in range(0, 8, 2):
                gradient = feature.grad[0, :, row : row + 2, column : column + 2].flatten().double()
                total += torch.outer(gradient, gradient)
    expected = share * total * 16 / total.trace() + (1 - share) * torch.eye(16)
    assert torch.allclose(matrix(sensitivity(split, few, 2, share)), expected, atol=1e-5)


def test_without_a_share_there_is_no_metric(split, dataset):
    assert sensitivity(split, dataset.train, 2, 0.0) is None


def test_white_errors_cost_what_they_cost_in_the_mean_square(split, dataset):
    metric = sensitivity(split, dataset.train, 2, 0.9)
    error = torch.randn(2000, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros_like(error)
    assert float(metric(zero, error)) == pytest.approx(float(denoising_loss(zero, error)), rel=0.02)
    assert float(metric(error, error)) == 0


def test_what_the_edge_does_not_see_costs_almost_nothing(dataset):
    """The edge looks at the first channel alone."""
    whole = make_split()
    with torch.no_grad():
        whole.edge_part[2].weight[:, 4:] = 0
    metric, feature = sensitivity(whole, dataset.train, 2, 0.99), torch.zeros(1, 4, 8, 8)
    seen, unseen = feature.clone(), feature.clone()
    seen[:, 0], unseen[:, 1] = 1.0, 1.0
    assert float(metric(feature, seen)) > 50 * float(metric(feature, unseen)) > 0


def test_weighing_is_linear_symmetric_and_square_by_square(split, dataset):
    metric = sensitivity(split, dataset.train, 2, 0.9)
    first, second = torch.rand(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    both = metric.weigh(first) + 3 * metric.weigh(second)
    assert torch.allclose(metric.weigh(first + 3 * second), both, atol=1e-5)
    assert torch.allclose((metric.weigh(first) * second).sum(), (first * metric.weigh(second)).sum(), rtol=1e-5)
    spot = torch.zeros(1, 4, 8, 8)
    spot[..., 5, 2] = 1
    touched = metric.weigh(spot).abs().sum((0, 1)) > 1e-7
    assert touched[4:6, 2:4].all() and touched.sum() == 4


def test_features_that_are_no_whole_squares_are_weighed_too(split, dataset):
    metric = sensitivity(split, dataset.train, 2, 0.9)
    feature = torch.rand(1, 4, 7, 5, generator=torch.Generator().manual_seed(0))
    assert metric.weigh(feature).shape == feature.shape
    whole = feature[..., :6, :4]
    assert torch.allclose(metric.weigh(feature)[..., :6, :4], metric.weigh(whole), atol=1e-6)


def test_a_network_that_listens_to_nothing_leaves_the_mean_square(dataset):
    deaf = make_split()
    deaf.edge_part[2].weight.data.zero_()
    metric, sent, received = sensitivity(deaf, dataset.train, 2, 1.0), torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    assert float(metric(sent, received)) == pytest.approx(1.0)


def test_squares_shrink_until_their_matrix_is_small_enough(monkeypatch):
    monkeypatch.setattr("semanticnn_core.training.sensitivity.LARGEST", 100)
    device = nn.Sequential(UnitPixels(), nn.Conv2d(3, 16, 1))
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    metric = sensitivity(SplitModel(device, edge, 16), make_dataset().train[:4], 8, 0.5)
    assert metric.side == 2 and metric.root.shape == (64, 64)


def test_the_encoder_begins_with_what_matters_not_with_what_varies(dataset):
    """The first channel varies a hundred times more than the others; the edge looks at the second alone."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 4, bias=False))
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0.01, 0]])[..., None, None])
        edge[2].weight.copy_(torch.eye(4).repeat(1, 2))
        edge[2].weight[:, :4] = 0
    model = SplitModel(nn.Sequential(UnitPixels(), conv), edge, 16).frozen()
    config = dataclasses.replace(make_codec_config(), feature_channels=2, feature_range=(0.0, 6.0), code_channels=1)
    plain = new_codec(model, dataset, config)
    task = new_codec(model, dataset, config, metric=sensitivity(model, dataset.train, 2, 1.0))
    loud, quiet = (codec.encoder.conv.weight.detach().square().sum((0, 2, 3)) for codec in (plain, task))
    assert loud[0] > 100 * loud[1] and quiet[1] > 100 * quiet[0]


@pytest.mark.slow
def test_stage_1_minimises_it(split, dataset):
    """Whichever error a codec was trained on is the smaller one."""
    metric = sensitivity(split, dataset.train, 2, 0.95)
    feature, found = split.device_part(dataset.validation["image"]), {}
    for name, used in {"plain": None, "task": metric}.items():
        codec = new_codec(split, dataset, make_codec_config(), 0, used)
        pretrain_denoising(codec, split.device_part, dataset, SHORT, metric=used)
        with torch.no_grad():
            received = codec(feature, BinarySymmetric(0.0, torch.Generator().manual_seed(0))).feature
        found[name] = float(denoising_loss(feature, received)), float(metric(feature, received))
    assert found["plain"][0] < found["task"][0] and found["task"][1] < found["plain"][1]


def test_a_training_under_another_metric_is_not_resumed(split, dataset, tmp_path):
    config = dataclasses.replace(SHORT, epochs=1)

    def train(share: float, run: Run) -> None:
        codec, metric = new_codec(split, dataset, make_codec_config()), sensitivity(split, dataset.train, 2, share)
        pretrain_denoising(codec, split.device_part, dataset, config, run, metric)

    train(0.5, Run(folder=tmp_path))
    with pytest.raises(ValueError, match="holds a training with metric = "):
        train(0.6, Run(folder=tmp_path, resume=True))
