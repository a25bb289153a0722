"""Figures, probes and live panels of notebooks 02 and 03."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import cbook
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.datasets import ImageSplit
from semanticnn_core.evaluation import byte_counts
from semanticnn_core.panels.canvas import PixelCanvas
from semanticnn_core.panels.channel import BER_STOPS, FeaturePanel, OffloadPanel, ratio_stops, share_of_code
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz import code_words, figures, firmware, maps, probes, results, staircases, style

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
    codec = SemanticCodec(CodecConfig(feature_channels=8, code_channels=4, decoder_widths=(8,)))
    codec.calibrate(model.device(images))
    codec.set_code_order()
    return codec.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def journeys(model, codec, images) -> list[probes.Journey]:
    return [probes.send(model, codec, images[0], ber, seed=3) for ber in (0.0, 0.05, 0.2)]


@pytest.fixture(scope="module")
def schemes() -> pd.DataFrame:
    """Made up: ours is 2 points better at 384 B in every pair, plus a common effect of the training seed."""
    rows = []
    for scheme, size, gain in (
        ("ours", 384, 0.02),
        ("ours", 192, 0.0),
        ("ours, 4 centers", 192, 0.01),
        ("released", 384, 0.0),
    ):
        for train_seed in range(3):
            for ber in (1e-4, 0.01, 0.05):
                for seed in range(2):
                    accuracy = 0.8 + gain - ber + 0.03 * train_seed + 0.001 * seed
                    rows.append((scheme, size, train_seed, ber, seed, accuracy))
    return pd.DataFrame(rows, columns=results.COLUMNS)


def painted(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_a_journey_is_what_the_codec_does(model, codec, images, journeys):
    calm, _, rough = journeys
    assert calm.flips == 0 and torch.equal(calm.payload, calm.arrived)
    assert rough.flips > 0 and not torch.equal(rough.payload, rough.arrived)
    assert float(rough.clean.sum()) == pytest.approx(1, abs=1e-5)
    again = probes.send(model, codec, images[0], 0.2, seed=3)
    assert torch.equal(again.arrived, rough.arrived)
    assert len(probes.send(model, codec, images[0], 0.0, slice_ratio=0.25).payload) < len(calm.payload)


def test_bits_read_like_hex():
    assert probes.byte_bits(torch.tensor([0xA1], dtype=torch.uint8)).tolist() == [[1, 0, 1, 0, 0, 0, 0, 1]]


def test_bit_grid_marks_flips_and_the_end(journeys):
    rough = journeys[-1]
    grid = figures.bit_grid(rough, bytes_per_row=5)
    size = len(rough.payload)
    assert grid.shape == (-(-size // 5), 40)
    assert (grid == 2).sum() == rough.flips
    assert (grid == 3).sum() == 8 * (-size % 5)


def test_tables_of_codecs_hold_every_point(model, codec, images):
    labels = model(images).argmax(1)
    tasks = {"class": (model.edge, labels), "parity": (model.edge, labels % 2)}
    table = probes.measure_codecs(model.device, {"a": codec, "b": codec}, images, (0.0, 0.1), seeds=3, tasks=tasks)
    assert list(table.columns) == ["system", "ber", "seed", "mse", "class", "parity"]
    assert len(table) == 2 * 2 * 3
    assert table[table["ber"] == 0]["mse"].nunique() == 1
    assert table["class"].between(0, 1).all()
    assert probes.accuracy(model, images, labels) == 1


def test_gains_are_taken_image_by_image(model, codec, images, monkeypatch):
    monkeypatch.setattr(probes, "BATCH", 5)
    tasks, rates = {"class": (model.edge, model(images).argmax(1))}, (0.01, 0.1)
    single = probes.measure_codecs(model.device, {"a": codec}, images, rates, 2, tasks=tasks, by_image=True)
    assert len(single) == 2 * 2 * 12 and set(single["class"]) <= {0, 1}
    points = probes.measure_codecs(model.device, {"a": codec}, images, rates, 2, tasks=tasks)
    means = single.groupby(["system", "ber", "seed"], as_index=False)[["mse", "class"]].mean()
    pd.testing.assert_frame_equal(means, points)
    better = single.assign(system="b", mse=single["mse"] - 0.25)
    gains = probes.paired_gains(pd.concat([single, better]), "b", "a")
    assert gains.index.tolist() == [0.01, 0.1]
    assert gains["mse", "mean"].tolist() == pytest.approx([-0.25] * 2)
    assert gains["mse", "sem"].tolist() == pytest.approx([0] * 2, abs=1e-6) and (gains["class", "mean"] == 0).all()


def test_no_belief_beats_the_truth_for_symbols(codec):
    rates = (1e-4, 0.01, 0.05, 0.2)
    grid = probes.told_distortion(codec.quantizer, rates).pivot(index="ber", columns="told", values="error")
    assert (np.diag(grid)[:, None] <= grid.values + 1e-7).all()
    expected = [float(codec.quantizer.expected_distortion(rate)) for rate in rates]
    assert np.diag(grid) / np.diag(grid)[-1] == pytest.approx(np.array(expected) / expected[-1], rel=1e-4)


def test_a_new_head_learns_a_second_task_and_leaves_the_first_alone(model, images):
    before = model(images)
    labels = (images[:, 0].float().mean((1, 2)) > images[:, 0].float().mean()).long()
    second = probes.rehead(model, images, labels, weight_decay=0.0)
    assert second.device is model.device and second.output_shape == (2,)
    assert probes.accuracy(second, images, labels) >= 0.9
    assert torch.equal(model(images), before)
    with pytest.raises(ValueError, match="Linear"):
        probes.rehead(SplitModel(model.device, nn.AdaptiveAvgPool2d(1), 32), images, labels)


def test_symbol_shares_sum_to_one(model, codec, images):
    shares = probes.symbol_shares(model.device, codec, images)
    assert shares.shape == (8,) and float(shares.sum()) == pytest.approx(1)


def test_epochs_are_said_stage_by_stage():
    training = {"base": {"epochs": 9}, "stage1": {"epochs": 4}, "finetune": [{"epochs": 12}, {"epochs": 3}]}
    assert probes.epochs_in_words(training) == "stage1 4, finetune 12 + 3"


def test_first_items_are_a_batch(images):
    split = ImageSplit(images, torch.arange(12))
    assert probes.first_items(split, None)[0].shape == images.shape
    assert len(probes.first_items(split, 5)[1]) == 5


def test_every_figure_paints(model, codec, images, journeys):
    table = probes.measure_codecs(
        model.device, {"a": codec}, images, (0.0, 0.1), tasks={"t": (model.edge, torch.zeros(12))}
    )
    rates = (0.01, 0.1)
    exact = probes.told_distortion(codec.quantizer, rates)
    told = probes.measure_told(model.device, codec, images, rates)
    shown = [
        figures.draw_sizes(byte_counts(model, codec)),
        figures.draw_history({"run": [{"epoch": 1, "x": 2.0}, {"epoch": 2, "x": 1.0}]}, {"x": "a term"}),
        figures.draw_features(journeys, "a title"),
        figures.draw_curves(table, "mse", "system", "MSE", {"mean": 0.5}),
        figures.draw_curves(table, "t", "system", "accuracy, %"),
        figures.draw_told(exact, told),
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


def test_names_of_classes_are_drawn_as_they_are_spelled(journeys):
    names = NAMES[:3]
    assert holds(spelled(figures.draw_payload(journeys[-1], names)), *names)
    assert holds(spelled(figures.draw_gallery(journeys, [0, 1, 2], names)), *(f"true: {name}" for name in names))
    answer = names[int(journeys[0].clean.argmax())]
    assert holds(spelled(figures.draw_grid({"price $5-$10": journeys}, names)), f"{answer} (", "price $5-$10")


def test_names_of_systems_and_runs_are_drawn_as_they_are_spelled(journeys):
    use, latents = torch.full((4,), 0.25), torch.rand(2, 4, 4, 4)
    rows = [{"epoch": 1, "x": 2.0}]
    curves = pd.DataFrame([(name, ber, 0.5) for name in NAMES for ber in (0.01, 0.1)], columns=["system", "ber", "t"])
    quantizer = staircases.coded_quantizer(latents, torch.linspace(-1, 1, 4), 2.0)
    run = staircases.CenterRun(quantizer, torch.arange(2), torch.rand(2, 4), torch.rand(2), torch.rand(2))
    wrong = pd.DataFrame([(name, 0.1, 0.5) for name in NAMES], columns=["code", "ber", "wrong"])
    for figure in (
        figures.draw_history(dict.fromkeys(NAMES, rows), {"x": "a term"}),
        figures.draw_curves(curves, "t", "system", "accuracy, %"),
        figures.draw_curves(curves, "t", "system", "accuracy, %", dict.fromkeys(NAMES, 0.5)),
        figures.draw_occupancy(dict.fromkeys(NAMES, use)),
        maps.draw_maps(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), dict.fromkeys(NAMES, torch.rand(1, 4, 4))),
        code_words.draw_error_matrices(dict.fromkeys(NAMES, quantizer), 0.1),
        code_words.draw_damage_spread(dict.fromkeys(NAMES, np.ones(3)), 4),
        code_words.draw_wrong_curves(wrong),
        staircases.draw_trajectories(dict.fromkeys(NAMES[:3], run), latents, dict.fromkeys(NAMES[:3], use)),
        staircases.draw_learning_curves(dict.fromkeys(NAMES, run), {}),
        staircases.draw_learning_curves({}, dict.fromkeys(NAMES[:3], 0.5)),
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
    assert [figures.percent(rate) for rate in (0, 1e-4, 0.025, 0.05)] == ["0 %", "0.01 %", "2.5 %", "5 %"]


def test_paired_differences_remove_the_training_seed(schemes):
    table = results.paired_differences(schemes)
    assert table["difference"].tolist() == pytest.approx([0.02] * 3)
    assert table["standard_error"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    assert table["pairs"].tolist() == [3] * 3
    half = results.paired_differences(schemes, ("ours", 192), ("released", 384))
    assert half["difference"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    with pytest.raises(ValueError, match="'ours' at 48 bytes"):
        results.paired_differences(schemes, ("ours", 48))


def test_unpaired_trainings_are_left_out(schemes):
    fewer = schemes[~((schemes["scheme"] == "released") & (schemes["train_seed"] > 0))]
    table = results.paired_differences(fewer)
    assert table["pairs"].tolist() == [1] * 3 and table["standard_error"].isna().all()


def test_scheme_figures_and_tables(schemes):
    assert all(painted(draw(schemes)).std() > 1 for draw in (results.draw_schemes, results.draw_budgets))
    text = results.difference_table(results.paired_differences(schemes))
    assert text.index.tolist() == ["0.01 %", "1 %", "5 %"]
    assert text.iloc[0, 0] == "+2.00 ± 0.00" and set(text["verdict"]) == {"better"}


def test_halves_are_of_the_schemes_there_are(schemes):
    table = results.released_table(schemes, 0.5)
    assert table.index.unique("scheme").tolist() == ["ours", "ours, 4 centers"]
    assert table.loc["ours, 4 centers"].iloc[0, 0] == "+1.00 ± 0.00"
    fewer = results.released_table(schemes[schemes["scheme"] != "ours, 4 centers"], 0.5)
    assert fewer.index.unique("scheme").tolist() == ["ours"]
    assert results.released_table(schemes[schemes["bytes"] == 384], 0.5).empty


def test_few_pairs_are_sure_of_little():
    rows = [(0.02, 0.01, 10), (0.04, 0.01, 3), (0.05, 0.01, 3), (-0.05, 0.01, 3), (0.5, float("nan"), 1)]
    differences = pd.DataFrame(rows, columns=["difference", "standard_error", "pairs"]).assign(ber=0.01)
    verdicts = results.difference_table(differences)["verdict"].tolist()
    assert verdicts == ["open", "open", "better", "worse", "one pair"]


def test_schemes_are_read_or_absent(schemes, tmp_path):
    assert results.load_schemes("toys", tmp_path) is None
    path = results.schemes_path("toys", tmp_path)
    path.parent.mkdir()
    schemes.to_csv(path, index=False)
    pd.testing.assert_frame_equal(results.load_schemes("toys", tmp_path), schemes)
    schemes.drop(columns="ber").to_csv(path, index=False)
    with pytest.raises(ValueError, match="'ber'"):
        results.load_schemes("toys", tmp_path)


def test_a_canvas_is_fed_raw_bytes():
    canvas = PixelCanvas(label="a picture")
    canvas.show(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert (canvas.rows, canvas.columns) == (1, 2)
    assert canvas.pixels == bytes([1, 2, 3, 255, 4, 5, 6, 255])


@pytest.mark.parametrize("ratio", [1.0, 0.45])
def test_ratios_are_offered_once_for_each_share(model, codec, ratio):
    stops = [value for _, value in ratio_stops(model, codec, ratio)]
    assert stops == sorted({0.2, 0.8, 1.0, 0.5 if ratio == 1 else ratio})
    assert [share_of_code(model, codec, stop) for stop in stops] == [1 / 16, 1 / 4, 9 / 16, 1]


def test_panels_are_filled_before_they_become_widgets(model, codec, images):
    for panel in (FeaturePanel(model, codec, images).errors, OffloadPanel(model, codec, images, CLASSES).chances):
        assert all(max(trace.y) > 0 for trace in panel.data)


def test_the_feature_panel_follows_its_sliders(model, codec, images):
    panel = FeaturePanel(model, codec, images, ber=0.05)
    assert BER_STOPS[0] == 0 and panel.ber.value == pytest.approx(0.05, rel=0.2)
    seen = [(panel.canvases["received"].pixels, panel.errors.data[0].y, panel.status.value)]
    for control, value in ((panel.ber, 0.2), (panel.seed, 5), (panel.image, 2), (panel.channel, 7)):
        control.value = value
        seen.append((panel.canvases["received"].pixels, panel.errors.data[0].y, panel.status.value))
        assert seen[-1] != seen[-2], control.description
    panel.ber.value = 0.0
    assert panel.status.value.startswith("0 of ")
    sent = probes.send(model, codec, images[2], 0.0, 5)
    assert panel.errors.data[0].y[7] == pytest.approx(float(((sent.received - sent.sent) ** 2)[7].mean()), rel=1e-5)


def test_the_offload_panel_follows_its_sliders(model, codec, images):
    panel = OffloadPanel(model, codec, images, CLASSES, ber=0.05)
    for control, value in ((panel.ber, 0.2), (panel.seed, 5), (panel.slice_ratio, 0.5), (panel.image, 2)):
        before = panel.canvases["feature received"].pixels, panel.bits.pixels, panel.chances.data[1].y
        control.value = value
        after = panel.canvases["feature received"].pixels, panel.bits.pixels, panel.chances.data[1].y
        assert all(old != new for old, new in zip(before, after, strict=True)), control.description
    journey = probes.send(model, codec, images[2], 0.2, 5, 0.5)
    assert panel.chances.data[1].y == pytest.approx((100 * journey.answer).tolist())
    assert list(panel.chances.data[0].x) == list(CLASSES)
    assert f"{len(journey.payload)} bytes" in panel.status.value
