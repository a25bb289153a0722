"""Metrics of explanations on maps whose answer is known, and the figures and the panel made of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tiny import UnitPixels
from torch import nn
from torch.nn import functional as F

from semanticnn_core.channels import Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig, Slice
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation import truth
from semanticnn_core.evaluation.sweep import compare_windows
from semanticnn_core.explain import kept, metrics
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.base import Received
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz import maps as viz
from semanticnn_core.viz import windows

CLASSES = ("left", "right")


class Pixels(nn.Module):
    def forward(self, images):
        return F.avg_pool2d(images.float() / 255, 2)


class Sides(nn.Module):
    """Two classes: the sum of the left half of the feature, and that of the right half, as logits."""

    def forward(self, feature):
        half = feature.shape[-1] // 2
        return torch.stack([feature[..., :half].sum((1, 2, 3)), feature[..., half:].sum((1, 2, 3))], 1)


@pytest.fixture(scope="module")
def model() -> SplitModel:
    return SplitModel(Pixels(), Sides(), 16, (0.0, 1.0)).frozen()


@pytest.fixture(scope="module")
def split() -> Split:
    """Black images (16×16) with one white 4×4 square on either side; the last label is wrong."""
    images, masks = torch.zeros(6, 3, 16, 16, dtype=torch.uint8), torch.zeros(6, 16, 16, dtype=torch.bool)
    boxes = torch.zeros(6, 4)
    for number, (top, left) in enumerate(((0, 0), (2, 10), (8, 2), (12, 12), (4, 8), (6, 4))):
        images[number, :, top : top + 4, left : left + 4] = 255
        masks[number, top : top + 4, left : left + 4] = True
        boxes[number] = torch.tensor([left, top, left + 4, top + 4])
    return Split({"image": images, "label": torch.tensor([0, 1, 0, 1, 1, 1]), "box": boxes, "mask": masks})


@pytest.fixture(scope="module")
def codec(model, split) -> SemanticCodec:
    torch.manual_seed(0)
    codec = SemanticCodec(
        CodecConfig(
            feature_channels=3, feature_range=(0.0, 1.0), code_channels=4, kernel=2, stride=2, decoder_widths=(8,)
        )
    )
    codec.calibrate(model.device_part(split["image"]))
    codec.set_code_order()
    codec.importance.copy_(torch.randint(-127, 128, codec.importance.shape, dtype=torch.int8))
    return codec.eval().requires_grad_(False)


def values(table: pd.DataFrame, metric: str, method: str) -> list[float]:
    return table[(table["metric"] == metric) & (table["method"] == method)]["value"].tolist()


def test_masks_are_averaged_over_the_area():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :3] = True
    assert metrics.mask_on_grid(mask, 2, 2)[0].tolist() == [[1.0, 0.5], [0.0, 0.0]]


def test_share_inside_counts_positive_scores_alone():
    mask = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    assert float(metrics.inside_share(torch.tensor([[[2.0, 2.0], [1.0, -9.0]]]), mask)) == pytest.approx(3 / 5)
    assert float(metrics.inside_share(torch.ones(1, 2, 2), mask)) == pytest.approx(float(mask.mean()))
    assert metrics.inside_share(-torch.ones(1, 2, 2), mask).isnan().all()


@pytest.mark.parametrize(("place", "hit"), [((0, 0), 1), ((1, 1), 1), ((0, 2), 0), ((2, 0), 0), ((3, 3), 0)])
def test_the_pointing_game_looks_at_the_middle_of_the_pixel(place, hit):
    scores = torch.zeros(1, 4, 4)
    scores[0][place] = 1
    box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])  # exclusive; feature pixels are 4 × 4 image pixels
    assert metrics.pointing_game(scores, box, (16, 16)).tolist() == [hit]


def test_boxes_are_x_first():
    scores = torch.zeros(1, 4, 4)
    scores[0, 0, 3] = 1  # top right
    assert metrics.pointing_game(scores, torch.tensor([[12.0, 0.0, 16.0, 4.0]]), (16, 16)).tolist() == [1]
    assert metrics.pointing_game(scores, torch.tensor([[0.0, 12.0, 4.0, 16.0]]), (16, 16)).tolist() == [0]


def test_curves_follow_the_order_of_the_map():
    """Four pixels, of which two speak: after each step the logit difference is known."""
    feature = torch.tensor([[[[3.0, 0.0], [1.0, 0.0]]]])
    label, scores = torch.tensor([0]), torch.tensor([[[9.0, 2.0], [5.0, 1.0]]])
    deletion = metrics.masking_curve(Sides(), feature, label, scores, steps=4)
    expected = torch.tensor([4.0, 1.0, 0.0, 0.0, 0.0]).sigmoid()
    assert torch.allclose(deletion[0], expected)
    insertion = metrics.masking_curve(Sides(), feature, label, scores, insertion=True, steps=4)
    assert torch.allclose(insertion[0], torch.tensor([0.0, 3.0, 4.0, 4.0, 4.0]).sigmoid())
    assert metrics.area_under(torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])).tolist() == [0.5, 1.0]


def test_channels_go_as_pixels_do():
    feature = torch.zeros(1, 2, 2, 2)
    feature[0, 0, 0, 0], feature[0, 1, 0, 0] = 1.0, 2.0
    curve = metrics.masking_curve(Sides(), feature, torch.tensor([0]), torch.tensor([[1.0, 5.0]]), steps=2)
    assert torch.allclose(curve[0], torch.tensor([3.0, 1.0, 0.0]).sigmoid())


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(B, H, W\) or \(B, C\).*got \(1, 5\)"):
        metrics.masking_curve(Sides(), torch.rand(1, 3, 4, 4), torch.tensor([0]), torch.rand(1, 5))


def test_infidelity_is_zero_for_the_true_map_and_one_for_the_empty_one():
    feature, label = torch.rand(3, 2, 8, 8), torch.tensor([0, 0, 1])
    exact = feature.sum(1)
    exact[:2, :, 4:], exact[2, :, :4] = 0, 0
    assert metrics.relative_infidelity(Sides(), feature, label, exact).max() < 1e-4
    assert metrics.relative_infidelity(Sides(), feature, label, -5 * exact).max() < 1e-4  # up to a factor
    assert torch.allclose(metrics.relative_infidelity(Sides(), feature, label, 0 * exact), torch.ones(3))
    elsewhere = exact.flip(2)
    assert metrics.relative_infidelity(Sides(), feature, label, elsewhere).min() > 0.1
    by_channel = torch.stack([feature[0, :, :, :4].sum((1, 2)), feature[1, :, :, :4].sum((1, 2))])
    assert metrics.relative_infidelity(Sides(), feature[:2], label[:2], by_channel).max() < 1e-4


def test_sensitivity_of_a_constant_map_is_zero_and_of_a_linear_one_at_most_the_radius():
    feature, label = torch.rand(3, 2, 8, 8), torch.zeros(3, dtype=torch.long)
    constant = metrics.max_sensitivity(lambda f, _: torch.ones(len(f), 8, 8), feature, label)
    assert torch.allclose(constant, torch.zeros(3))
    for level, axes in (("pixel", 1), ("channel", (2, 3))):
        linear = metrics.max_sensitivity(lambda f, _, axes=axes: f.sum(axes), feature, label, level)
        assert (linear > 0.001).all() and (linear <= metrics.RADIUS + 1e-6).all()


@pytest.mark.slow
def test_the_table_knows_the_truth(model, split, codec):
    system = SemanticNN(model, codec, name="link")
    table = truth.measure_explanations(model, split, [system], ber=0.0, steps=3, levels=("pixel", "channel"))
    assert list(table.columns) == ["feature", "guide", "level", "method", "metric", "image", "value"]
    assert set(table["feature"]) == {"clean", "link"} and set(table["guide"]) == {"edge"}
    assert set(table["metric"]) == set(truth.METRICS) and table["value"].notna().all()
    clean = table[(table["feature"] == "clean") & (table["level"] == "pixel")]
    for method in ("integrated_gradients", "input_x_gradient", "deep_lift"):  # all is on the square
        assert values(clean, "inside", method) == pytest.approx([1.0] * 5)  # the sixth is answered wrong
        assert values(clean, "pointing", method) == [1.0] * 5
        assert values(clean, "ratio", method) == pytest.approx([16.0] * 5)
        assert max(values(clean, "infidelity", method)[:5]) < 1e-4
    assert values(clean, "gap", "deep_lift")[:5] == pytest.approx([0] * 5, abs=1e-4)
    assert set(clean[clean["metric"] == "gap"]["method"]) == {"integrated_gradients", "gradient_shap", "deep_lift"}
    assert "random" not in set(table[table["metric"] == "sensitivity"]["method"])
    assert set(table[table["level"] == "channel"]["metric"]) == set(truth.FAITHFULNESS)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table(model, split, codec):
    def measured(seed):
        return truth.measure_explanations(
            model, split, [SemanticNN(model, codec)], 0.1, ("gradient_shap", "random"), steps=3, seed=seed
        )

    one, same, other = measured(1), measured(1), measured(2)
    pd.testing.assert_frame_equal(one, same)
    assert not one["value"].equals(other["value"])


def test_without_masks_the_truth_is_left_out(model, split):
    bare = Split({name: split[name] for name in ("image", "label")})
    table = truth.measure_explanations(model, bare, methods=("saliency",), metrics=("pointing", "ratio", "deletion"))
    assert set(table["metric"]) == {"deletion"} and len(table) == 6
    boxed = bare.with_columns(box=split["box"])
    table = truth.measure_explanations(model, boxed, methods=("saliency",), metrics=("pointing", "ratio"))
    assert set(table["metric"]) == {"pointing"}
    assert truth.measure_explanations(model, bare, methods=("saliency",), metrics=("inside",)).empty


def test_another_guide_explains_and_the_edge_judges(model, split):
    class Swapped(Sides):
        def forward(self, feature):
            return super().forward(feature.flip(3))

    asked = {"methods": ("integrated_gradients",), "steps": 3, "metrics": ("inside", "infidelity")}
    guides = {"edge": model, "swapped": Swapped()}  # a whole model, or a network on the feature
    table = truth.measure_explanations(model, split, guides=guides, **asked)
    summary = truth.summarize_explanations(table).set_index(["guide", "metric"])
    assert summary.loc[("edge", "inside"), "mean"] == pytest.approx(1)
    assert summary.loc[("edge", "infidelity"), "images"] == 6
    swapped = table[(table["guide"] == "swapped") & (table["metric"] == "infidelity")]
    assert swapped["value"].iloc[:5].min() > 0.99  # it sees nothing in the side that counts
    other = SplitModel(nn.Sequential(Pixels(), nn.AvgPool2d(2)), Sides(), 16, (0.0, 1.0))
    with pytest.raises(ValueError, match=r"guide 'small' reads a feature \(3, 4, 4\)"):
        truth.measure_explanations(model, split, guides={"small": other})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"metrics": ("beauty",)}, "metric must be .*'beauty'"), ({"methods": ("lime",)}, "method must be .*'lime'")],
)
def test_unknown_names_are_refused(model, split, wrong, message):
    with pytest.raises(ValueError, match=message):
        truth.measure_explanations(model, split, **wrong)


def test_a_system_without_a_feature_is_refused(model, split):
    class Mail:
        name = "mail"

        def send(self, images):
            return Payload(torch.zeros(len(images), 1, dtype=torch.uint8))

        def receive(self, arrival):
            return Received(torch.zeros(len(arrival.payload), 2))

    with pytest.raises(ValueError, match="mail sends no feature"):
        truth.measure_explanations(model, split, [Mail()], methods=("saliency",), metrics=("deletion",))


def test_summary_is_mean_and_standard_error():
    keys = {"feature": "clean", "guide": "edge", "level": "pixel", "method": "saliency", "metric": "ratio"}
    table = pd.DataFrame({"image": [0, 1, 2], "value": [1.0, 2.0, 6.0]}).assign(**keys)
    row = truth.summarize_explanations(table).iloc[0]
    assert (row["mean"], row["median"], row["images"]) == (3.0, 2.0, 3)
    assert row["standard_error"] == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5)


@pytest.mark.parametrize("window", windows.WINDOWS)
def test_windows_lie_where_the_codec_cuts(model, codec, split, window):
    feature = model.device_part(split["image"])
    boxes = kept.window_boxes(codec, feature, Slice(0.25, window))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] - boxes[:, :2]).allclose(torch.tensor(0.5))
    if window == "center":
        assert boxes[0].tolist() == [0.25, 0.25, 0.75, 0.75]
    assert kept.share_inside(split["mask"][0], (0, 0, 0.125, 1)) == 0.5
    assert kept.share_inside(split["mask"][0], (0.5, 0.5, 1, 1)) == 0


@pytest.mark.slow
def test_every_figure_paints(model, codec, split):
    images, masks = split["image"][:3], split["mask"][:3]
    feature = model.device_part(images)
    maps = {"saliency": torch.rand(3, 8, 8), "mine": torch.randn(3, 8, 8)}
    table = truth.measure_explanations(model, split, methods=("saliency", "random"))
    rows = [(window, 0.5, share, 0.9) for window in windows.WINDOWS for share in (0.4, 1.0)]
    accuracies = pd.DataFrame(rows, columns=["window", "slice_ratio", "share_sent", "accuracy"])
    shown = [
        viz.draw_maps(images, maps, masks),
        windows.draw_slicing(kept.keep(model, codec, images, 0.5), CLASSES, masks),
        windows.draw_slicing(kept.keep(model, codec, images[:1], 0.5), CLASSES),
        windows.draw_device_map(images, maps["mine"], kept.device_map(codec, feature), masks),
        viz.draw_truth(truth.summarize_explanations(table)),
        viz.draw_masking(truth.masking_table(model.edge_part, feature, split["label"][:3], maps, steps=4)),
        windows.draw_windows(accuracies, 0.95),
    ]
    for figure in shown:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        assert np.asarray(canvas.buffer_rgba()).std() > 1


def test_windows_are_compared_with_the_centre_image_by_image():
    torch.manual_seed(0)
    device = nn.Sequential(UnitPixels(), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6())
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))
    model = SplitModel(device, edge, 32).frozen()
    codec = SemanticCodec(CodecConfig(feature_channels=8, code_channels=4, decoder_widths=(8,), parity=0.0)).eval()
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    codec.calibrate(model.device_part(images))
    codec.importance.random_(-9, 9, generator=torch.Generator().manual_seed(0))
    table = compare_windows(model, codec, Split({"image": images, "label": model(images).argmax(1)}), (0.3, 1.0))
    assert (
        table["window"].tolist() == list(windows.WINDOWS) * 2 and table["share_sent"].tolist() == [0.25] * 3 + [1.0] * 3
    )
    center = table.groupby("slice_ratio")["accuracy"].transform("first")
    assert table["gain"].tolist() == pytest.approx((table["accuracy"] - center).tolist())
    assert (table.loc[table["slice_ratio"] == 1, ["gain", "standard_error"]] == 0).all(axis=None)
    assert (
        len(windows.draw_windows(table, 0.9).axes) == 2
        and len(windows.draw_windows(table.drop(columns="gain")).axes) == 1
    )


def test_only_images_that_count_everywhere_are_kept():
    rows = [("clean", 0), ("clean", 1), ("received", 1), ("received", 2)]
    table = pd.DataFrame(rows, columns=["feature", "image"]).assign(guide="edge", level="pixel", method="m", metric="x")
    assert truth.common_images(table)["image"].tolist() == [1, 1]


def test_maps_are_alike_beside_those_of_other_images():
    maps = torch.randn(40, 8, 8, generator=torch.Generator().manual_seed(0))
    own, other = truth.map_likeness(maps, 3 * maps + 1)
    assert own == pytest.approx(1) and abs(other) < 0.1
    assert truth.map_likeness(maps, -maps)[0] == pytest.approx(-1)


def test_a_random_map_is_a_line_through_its_panels():
    rows = [("clean", method, "pointing", mean, 0.1, 9) for method, mean in (("saliency", 0.8), ("random", 0.3))]
    columns = ["feature", "method", "metric", "mean", "standard_error", "images"]
    table = pd.DataFrame(rows, columns=columns)
    axis = viz.draw_truth(table).axes[0]
    assert "n = 9" in axis.get_title()
    assert any(list(line.get_xdata()) == [30, 30] and line.get_linestyle() == "--" for line in axis.lines)
    assert "n =" not in viz.draw_truth(table.drop(columns="images")).axes[0].get_title()


def test_the_panel_follows_its_controls(model, codec, split):
    from semanticnn_core.panels.pixel_maps import ExplanationPanel

    panel = ExplanationPanel(model, codec, split["image"], CLASSES, split["mask"], slice_ratio=0.25)
    assert "On it, 6 % of the area, lie <b>100 %</b>" in panel.status.value
    seen = panel.canvases["map"].pixels
    panel.method.value = "occlusion"
    assert panel.canvases["map"].pixels != seen
    panel.window.value = "center"
    assert panel.canvases["image"].frame == [0.25, 0.25, 0.75, 0.75]
    panel.slice_ratio.value = 1.0
    assert panel.canvases["image"].frame == [0, 0, 1, 1] and "keeps <b>100 %</b>" in panel.status.value
    before = panel.canvases["image"].pixels
    panel.image.value = 3
    assert panel.canvases["image"].pixels != before
    assert ExplanationPanel(model, codec, split["image"], CLASSES).status.value  # masks unknown
