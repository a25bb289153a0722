"""Figures, studies of receivers and live panels of notebooks 02 and 03."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import cbook
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import nn

from semanticnn_core.channels import BitErrors
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig, Slice, percent
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation import byte_counts, sweep
from semanticnn_core.evaluation.publish import epochs_in_words
from semanticnn_core.evaluation.tables import paired
from semanticnn_core.panels.canvas import PixelCanvas
from semanticnn_core.panels.channel import BER_STOPS, FeaturePanel, OffloadPanel, ratio_stops
from semanticnn_core.studies import receivers
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.journey import Journey, byte_bits, follow
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz import code_words, figures, firmware, maps, staircases, style

CLASSES = ("ant", "bee", "cat")


class Pixels(nn.Module):
    def forward(self, images):
        return images.float() / 255


@pytest.fixture(scope="module")
def model() -> SplitModel:
    torch.manual_seed(0)
    device = nn.Sequential(Pixels(), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6())
    edge = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, len(CLASSES)))
    return SplitModel(device, edge, 32).frozen()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture(scope="module")
def codec(model, images) -> SemanticCodec:
    torch.manual_seed(0)
    codec = SemanticCodec(CodecConfig(feature_channels=8, code_channels=4, centers=8, decoder_widths=(8,), parity=0.0))
    codec.calibrate(model.device_part(images))
    codec.set_code_order()
    return codec.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def system(model, codec) -> SemanticNN:
    return SemanticNN(model, codec)


@pytest.fixture(scope="module")
def journeys(system, images) -> list[Journey]:
    return [follow(system, images[0], ber, seed=3) for ber in (0.0, 0.05, 0.2)]


def painted(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_a_journey_is_what_the_codec_does(system, images, journeys):
    calm, _, rough = journeys
    assert calm.flips == 0 and torch.equal(calm.payload, calm.arrived)
    assert rough.flips > 0 and not torch.equal(rough.payload, rough.arrived)
    assert float(rough.clean.sum()) == pytest.approx(1, abs=1e-5)
    again = follow(system, images[0], 0.2, seed=3)
    assert torch.equal(again.arrived, rough.arrived)
    given = follow(system, images[0], 0.2, 3, system.send(images[:1]), rough.clean)  # what is known is not made again
    assert torch.equal(given.answer, rough.answer) and given.clean is rough.clean
    assert rough.classes == (int(rough.clean.argmax()), int(rough.answer.argmax()))
    assert len(follow(replace(system, slice=Slice(0.25)), images[0], 0.0).payload) < len(calm.payload)


def test_bits_read_like_hex():
    assert byte_bits(torch.tensor([0xA1], dtype=torch.uint8)).tolist() == [[1, 0, 1, 0, 0, 0, 0, 1]]


def test_bit_grid_marks_flips_and_the_end(journeys):
    rough = journeys[-1]
    grid = figures.bit_grid(rough, bytes_per_row=5)
    size = len(rough.payload)
    assert grid.shape == (-(-size // 5), 40)
    assert (grid == 2).sum() == rough.flips
    assert (grid == 3).sum() == 8 * (-size % 5)


def labeled(model, images) -> Split:
    """Return the images as a split whose labels are the uncompressed network's answers."""
    return Split({"image": images, "label": model(images).argmax(1)})


def test_tables_of_codecs_hold_every_point(model, codec, images):
    split = labeled(model, images)
    systems = [SemanticNN(model, codec, name=name) for name in "ab"]
    table = sweep(systems, split, [BitErrors(0.0), BitErrors(0.1)], seeds=3)
    columns = "system ber slice_ratio window share_sent seed accuracy agreement feature_mse bytes".split()
    assert list(table.columns) == [*columns, "accuracy_low", "accuracy_high"]
    assert len(table) == 2 * 2 * 3
    assert table[table["ber"] == 0]["feature_mse"].nunique() == 1
    assert table["accuracy"].between(0, 1).all()
    assert model.score(split) == 1


def test_gains_are_taken_image_by_image(system, model, images, monkeypatch):
    monkeypatch.setattr(sys.modules[sweep.__module__], "BATCH", 5)
    split, links = labeled(model, images), [BitErrors(0.01), BitErrors(0.1)]
    single = sweep([system], split, links, 2, by_image=True)
    measures = ["accuracy", "agreement", "feature_mse", "bytes"]
    assert len(single) == 2 * 2 * 12 and set(single["accuracy"]) <= {0, 1}
    points = sweep([system], split, links, 2)
    keys = [name for name in points.columns if name in single.columns and name not in measures]
    means = single.groupby(keys, as_index=False)[measures].mean()
    pd.testing.assert_frame_equal(means, points[means.columns])
    better = single.assign(system="b", feature_mse=single["feature_mse"] - 0.25)
    both = pd.concat([single, better])
    gains = paired(both, "b", "SemanticNN", "image", value="feature_mse")
    assert gains["ber"].tolist() == [0.01, 0.1] and gains["pairs"].tolist() == [12] * 2
    assert gains["difference"].tolist() == pytest.approx([-0.25] * 2)
    assert gains["standard_error"].tolist() == pytest.approx([0] * 2, abs=1e-6)
    assert (paired(both, "b", "SemanticNN", "image")["difference"] == 0).all()


def test_no_belief_beats_the_truth_for_symbols(codec):
    rates = (1e-4, 0.01, 0.05, 0.2)
    grid = receivers.believed_distortion(codec.quantizer, rates).pivot(index="ber", columns="believed", values="error")
    assert (np.diag(grid)[:, None] <= grid.values + 1e-7).all()
    expected = [float(codec.quantizer.expected_distortion(rate)) for rate in rates]
    assert np.diag(grid) / np.diag(grid)[-1] == pytest.approx(np.array(expected) / expected[-1], rel=1e-4)


def test_symbol_shares_sum_to_one(model, codec, images):
    shares = receivers.symbol_shares(model.device_part, codec, images)
    assert shares.shape == (8,) and float(shares.sum()) == pytest.approx(1)


def test_epochs_are_said_stage_by_stage():
    training = {"stage1": {"epochs": 4}, "finetune": [{"epochs": 12}, {"epochs": 3}]}
    assert epochs_in_words(training) == "stage1 4, finetune 12 + 3"


def test_first_items_are_a_batch(images):
    split = Split({"image": images, "label": torch.arange(12)})
    assert split.first(None)["image"].shape == images.shape
    assert len(split.first(5)["label"]) == 5


@pytest.mark.slow
def test_every_figure_paints(system, model, codec, images, journeys):
    table = sweep([system], labeled(model, images), [BitErrors(0.0), BitErrors(0.1)])
    rates = (0.01, 0.1)
    exact = receivers.believed_distortion(codec.quantizer, rates)
    measured = receivers.believed_errors(model.device_part, codec, images, rates)
    shown = [
        figures.draw_sizes(byte_counts(model, codec)),
        figures.draw_history({"run": [{"epoch": 1, "x": 2.0}, {"epoch": 2, "x": 1.0}]}, {"x": "a term"}),
        figures.draw_features(journeys, "a title"),
        figures.draw_curves(table, "feature_mse", "system", "MSE", {"mean": 0.5}),
        figures.draw_curves(table, "accuracy", "system", "accuracy, %"),
        figures.draw_beliefs(exact, measured),
        figures.draw_occupancy({"a": torch.full((8,), 1 / 8)}),
        figures.draw_payload(journeys[-1], CLASSES),
        figures.draw_gallery(journeys, [0, 1, 2], CLASSES),
        figures.draw_grid({"one": journeys, "two": journeys}, CLASSES),
    ]  # fmt: skip
    assert all(painted(figure).std() > 1 for figure in shown)


NAMES = ("US$ 1", "C$ 2 and $3", "$a_{$", "_under", "\\$x")
"""Any text may be the name of a folder, and so of a class or a run."""


def spelled(figure: Figure) -> set[str]:
    """Return the texts of a figure that are no formulas, as they appear; drawing it must not fail."""
    figure.draw_without_rendering()
    texts = (text.get_text() for text in figure.findobj(Text) if not cbook.is_math_text(text.get_text()))
    return {text.replace(r"\$", "$").replace("\u200b", "") for text in texts}


def holds(shown: set[str], *names: str) -> bool:
    return all(any(name in text for text in shown) for name in names)


@pytest.mark.slow
def test_names_of_classes_are_drawn_as_they_are_spelled(journeys):
    names = NAMES[:3]
    assert holds(spelled(figures.draw_payload(journeys[-1], names)), *names)
    assert holds(spelled(figures.draw_gallery(journeys, [0, 1, 2], names)), *(f"true: {name}" for name in names))
    answer = names[int(journeys[0].clean.argmax())]
    assert holds(spelled(figures.draw_grid({"price $5-$10": journeys}, names)), f"{answer} (", "price $5-$10")


@pytest.mark.slow
def test_names_of_systems_and_runs_are_drawn_as_they_are_spelled(journeys):
    use, latents = torch.full((4,), 0.25), torch.rand(2, 4, 4, 4)
    rows = [{"epoch": 1, "x": 2.0}]
    curves = pd.DataFrame([(name, ber, 0.5) for name in NAMES for ber in (0.01, 0.1)], columns=["system", "ber", "t"])
    quantizer = staircases.coded_quantizer(latents, torch.linspace(-1, 1, 4), 2.0)
    run = staircases.CenterRun(quantizer, torch.arange(2), torch.rand(2, 4), torch.rand(2))
    for figure in (
        figures.draw_history(dict.fromkeys(NAMES, rows), {"x": "a term"}),
        figures.draw_curves(curves, "t", "system", "accuracy, %"),
        figures.draw_curves(curves, "t", "system", "accuracy, %", dict.fromkeys(NAMES, 0.5)),
        figures.draw_occupancy(dict.fromkeys(NAMES, use)),
        maps.draw_maps(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), dict.fromkeys(NAMES, torch.rand(1, 4, 4))),
        code_words.draw_error_matrices(dict.fromkeys(NAMES, quantizer), 0.1),
        staircases.draw_trajectories(dict.fromkeys(NAMES[:3], run), latents, dict.fromkeys(NAMES[:3], use)),
        firmware.draw_memory(dict.fromkeys(NAMES, 9), {f"{name} ": 9 for name in NAMES}),
    ):
        assert holds(spelled(figure), *NAMES[:3])
    assert holds(spelled(figures.draw_features(journeys, NAMES[1])), NAMES[1])


@pytest.mark.parametrize("name", [*NAMES, "price $5-$10"])
def test_plain_text_paints_like_text_without_formulas(name):
    def paint(text: str, formulas: bool) -> np.ndarray:
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, text, parse_math=formulas)
        return painted(figure)

    assert np.array_equal(paint(style.plain(name), True), paint(name, False))


def test_a_leading_underscore_stays_in_the_legend():
    figure = figures.draw_history(dict.fromkeys(NAMES, [{"epoch": 1, "x": 2.0}]), {"x": "a term"})
    assert len(figure.axes[0].get_legend().get_texts()) == len(NAMES)


def test_percent_is_how_people_say_it():
    assert [percent(rate) for rate in (0, 1e-4, 0.025, 0.05)] == ["0 %", "0.01 %", "2.5 %", "5 %"]


def test_a_canvas_is_fed_raw_bytes():
    canvas = PixelCanvas(label="a picture")
    canvas.show(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert (canvas.rows, canvas.columns) == (1, 2)
    assert canvas.pixels == bytes([1, 2, 3, 255, 4, 5, 6, 255])


@pytest.mark.parametrize("ratio", [1.0, 0.45])
def test_ratios_are_offered_once_for_each_share(model, codec, ratio):
    stops = [value for _, value in ratio_stops(model, codec, ratio)]
    assert stops == sorted({0.2, 0.8, 1.0, 0.5 if ratio == 1 else ratio})
    assert [codec.windows(model.feature_shape, Slice(stop)).share_sent for stop in stops] == [1 / 16, 1 / 4, 9 / 16, 1]


@pytest.mark.slow
def test_panels_are_filled_before_they_become_widgets(system, images):
    for panel in (FeaturePanel(system, images).errors, OffloadPanel(system, images, CLASSES).chances):
        assert all(max(trace.y) > 0 for trace in panel.figure.data)


def test_the_feature_panel_follows_its_sliders(system, images):
    panel = FeaturePanel(system, images, ber=0.05)
    assert BER_STOPS[0] == 0 and panel.ber.value == pytest.approx(0.05, rel=0.2)
    seen = [(panel.canvases["received"].pixels, panel.errors.figure.data[0].y, panel.status.value)]
    for control, value in ((panel.ber, 0.2), (panel.seed, 5), (panel.image, 2), (panel.channel, 7)):
        control.value = value
        seen.append((panel.canvases["received"].pixels, panel.errors.figure.data[0].y, panel.status.value))
        assert seen[-1] != seen[-2], control.description
    panel.ber.value = 0.0
    assert panel.status.value.startswith("0 of ")
    sent = follow(system, images[2], 0.0, 5)
    assert panel.errors.figure.data[0].y[7] == pytest.approx(
        float(((sent.received - sent.sent) ** 2)[7].mean()), rel=1e-5
    )


def test_the_offload_panel_follows_its_sliders(system, images):
    panel = OffloadPanel(system, images, CLASSES, ber=0.05)
    for control, value in ((panel.ber, 0.2), (panel.seed, 5), (panel.slice_ratio, 0.5), (panel.image, 2)):
        before = panel.canvases["feature received"].pixels, panel.bits.pixels, panel.chances.figure.data[1].y
        control.value = value
        after = panel.canvases["feature received"].pixels, panel.bits.pixels, panel.chances.figure.data[1].y
        assert all(old != new for old, new in zip(before, after, strict=True)), control.description
    journey = follow(replace(system, slice=Slice(0.5)), images[2], 0.2, 5)
    assert panel.chances.figure.data[1].y == pytest.approx((100 * journey.answer).tolist())
    assert list(panel.chances.figure.data[0].x) == list(CLASSES)
    assert f"{len(journey.payload)} bytes" in panel.status.value
