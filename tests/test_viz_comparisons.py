"""Notebook 04's comparisons: each image, or training, with itself."""

import pandas as pd
import pytest
import torch
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz import comparisons
from semanticnn_core.viz.maps import COLUMNS, draw_truth
from semanticnn_core.viz.windows import WINDOWS, draw_windows


class Pixels(nn.Module):
    def forward(self, images):
        return images.float() / 255


def test_windows_are_compared_with_the_centre_image_by_image():
    torch.manual_seed(0)
    device = nn.Sequential(Pixels(), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6())
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))
    model = SplitModel(device, edge, 32).frozen()
    codec = SemanticCodec(CodecConfig(feature_channels=8, code_channels=4, decoder_widths=(8,))).eval()
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    codec.calibrate(model.device(images))
    codec.importance.random_(-9, 9, generator=torch.Generator().manual_seed(0))
    table = comparisons.compare_windows(model, codec, images, model(images).argmax(1), (0.3, 1.0))
    assert table["window"].tolist() == list(WINDOWS) * 2 and table["share_sent"].tolist() == [0.25] * 3 + [1.0] * 3
    center = table.groupby("slice_ratio")["accuracy"].transform("first")
    assert table["gain"].tolist() == pytest.approx((table["accuracy"] - center).tolist())
    assert (table.loc[table["slice_ratio"] == 1, ["gain", "standard_error"]] == 0).all(axis=None)
    assert len(draw_windows(table, 0.9).axes) == 2 and len(draw_windows(table.drop(columns="gain")).axes) == 1


def test_only_images_that_count_everywhere_are_kept():
    rows = [("clean", 0), ("clean", 1), ("received", 1), ("received", 2)]
    table = pd.DataFrame(rows, columns=["feature", "image"]).assign(guide="edge", level="pixel", method="m", metric="x")
    assert comparisons.common_images(table)["image"].tolist() == [1, 1]


def test_maps_are_alike_beside_those_of_other_images():
    maps = torch.randn(40, 8, 8, generator=torch.Generator().manual_seed(0))
    own, other = comparisons.map_likeness(maps, 3 * maps + 1)
    assert own == pytest.approx(1) and abs(other) < 0.1
    assert comparisons.map_likeness(maps, -maps)[0] == pytest.approx(-1)


def test_weights_are_compared_with_training_without_the_term():
    rows = [
        (gamma, seed, 1.0, "center", 384, 0.01, 0, 0.8 + gamma + seed / 10) for gamma in (0, 0.1) for seed in (0, 1)
    ]
    rows.append((0.1, 0, 0.5, "center", 150, 0.01, 0, 0.0))
    table = comparisons.gamma_table(pd.DataFrame(rows, columns=COLUMNS["xai"]))
    assert table.index.tolist() == [("γ = 0.1", "1 %")] and table.iloc[0, 0].startswith("+10.00")


def test_a_random_map_is_a_line_through_its_panels():
    rows = [("clean", method, "pointing", mean, 0.1, 9) for method, mean in (("saliency", 0.8), ("random", 0.3))]
    columns = ["feature", "method", "metric", "mean", "standard_error", "images"]
    table = pd.DataFrame(rows, columns=columns)
    axis = draw_truth(table).axes[0]
    assert "n = 9" in axis.get_title()
    assert any(list(line.get_xdata()) == [30, 30] and line.get_linestyle() == "--" for line in axis.lines)
    assert "n =" not in draw_truth(table.drop(columns="images")).axes[0].get_title()
