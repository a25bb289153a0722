"""Traces of links, systems along them, and what messages cost on air."""

import numpy as np
import pandas as pd
import pytest
import torch

from semanticnn_core.channels import BitErrors
from semanticnn_core.channels.lorawan import lorawan_time_on_air
from semanticnn_core.channels.radio import lora_ber, qam_ber
from semanticnn_core.channels.traces import DAY, lora_day, read_trace, wifi_walk
from semanticnn_core.evaluation.airtime import airtime_table
from semanticnn_core.evaluation.along import along
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.viz.links import draw_along, draw_orders, draw_radio


def test_a_day_and_a_walk_are_the_same_for_a_seed_and_keep_to_their_formulas():
    for make, formula in ((lora_day, lambda snr: lora_ber(snr, 7)), (wifi_walk, lambda snr: qam_ber(snr, "QPSK"))):
        trace = make(3)
        pd.testing.assert_frame_equal(trace, make(3))
        assert not trace["snr"].equals(make(4)["snr"])
        assert trace["ber"].between(0, 0.5).all() and (trace["seconds"].diff().dropna() > 0).all()
        assert np.allclose(trace["ber"], [formula(each) for each in trace["snr"]])


def test_the_day_is_best_before_dawn_and_the_walk_worst_far_away():
    days = pd.concat([lora_day(seed) for seed in range(20)])
    hour = days.groupby((days["seconds"] // 3600).astype(int))["snr"].mean()
    assert hour[4] - hour[16] == pytest.approx(2.0, abs=0.6) and days["seconds"].max() < DAY
    walks = pd.concat([wifi_walk(seed) for seed in range(20)])
    near, far = (walks[walks["metres"].between(*span)]["snr"].mean() for span in ((2, 3), (13, 14)))
    assert near - far == pytest.approx(30 * np.log10(14 / 2.4) + 12, abs=2.0)
    assert lora_day(0, spreading_factor=9)["ber"].mean() < lora_day(0)["ber"].mean()


def test_shadowing_has_its_deviation_and_its_memory():
    levels = np.stack([lora_day(seed, swing=0.0)["snr"] + 9 for seed in range(60)])
    assert levels.std() == pytest.approx(1.0, abs=0.1)
    now, soon, later = levels[:, :-12], levels[:, 1:-11], levels[:, 12:]
    assert (now * soon).mean() == pytest.approx(np.exp(-1 / 6), abs=0.1)
    assert (now * later).mean() == pytest.approx(np.exp(-2), abs=0.1)


def test_a_recorded_trace(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("seconds,ber,rssi\n0,0.01,-80\n1.5,0.5,-90\n")
    assert read_trace(file)["ber"].tolist() == [0.01, 0.5]
    for text, words in {
        "seconds\n0\n": "lacks the column 'ber'",
        "seconds,ber\n0,0.7\n": r"line 2: ber must be in \[0, 0.5\], got 0.7",
        "seconds,ber\n0,0.1\n1,x\n": "line 3: ber",
        "seconds,ber\n5,0.1\n1,0.1\n": "in the order of their seconds",
        "seconds,ber\n": "in the order",
    }.items():
        file.write_text(text)
        with pytest.raises(ValueError, match=words):
            read_trace(file)


def test_every_time_has_its_image_and_its_link(split, codec, dataset):
    trace = pd.DataFrame({"seconds": np.arange(100.0), "ber": np.repeat([0.0, 0.4], 50)})
    systems = [SemanticNN(split, codec, name="one"), SemanticNN(split, codec, name="two")]
    table = along(systems, dataset.test, trace, seed=1)
    one, two = (table[table["system"] == name].reset_index(drop=True) for name in ("one", "two"))
    assert one["right"].equals(two["right"]) and len(one) == 100 and (table["bytes"] == 24).all()
    assert one["ber"].tolist() == trace["ber"].tolist()
    received = offload(systems[0], dataset.test["image"], BitErrors(0.0).channel(0)).received
    clean = split.task.per_image(received.outputs, dataset.test.columns)
    assert one["right"][:40].tolist() == clean.tolist()
    draw_along(table, 1.0, "second")


def test_a_score_that_is_no_mean_is_refused():
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.config import CodecConfig
    from semanticnn_core.datasets import Split
    from semanticnn_core.tasks import SplitModel

    model = SplitModel.of("yolov3_small", 2, 64, width=0.125).frozen()
    shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
    codec = SemanticCodec(CodecConfig(**shape, code_channels=4, decoder_widths=(8,))).eval()
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    split = Split({"image": images, "box": [torch.zeros(0, 4)] * 2, "label": [torch.zeros(0).long()] * 2})
    with pytest.raises(ValueError, match="mAP50 is no mean over images"):
        along([SemanticNN(model, codec)], split, pd.DataFrame({"seconds": [0.0], "ber": [0.1]}))


def test_the_cost_table_is_the_formula():
    table = airtime_table({"code": 384, "half": 192}, (5, 0))
    seconds = lorawan_time_on_air(384, 0)
    assert table.loc["code", "SF12: seconds"] == f"{seconds:,.1f}" == "21.5"
    assert table.loc["code", "SF12: images a day"] == f"{864 / seconds:,.0f}"
    assert table.loc["code", "SF12: joules"] == f"{seconds * 0.044 * 3.3:,.2f}"
    with pytest.raises(ValueError, match="0 to 5 in EU868, got 7"):
        airtime_table({"code": 384}, (7,))


def test_figures_of_links():
    assert len(draw_radio().axes) == 2
    rows = [
        {"system": name, "interleaved": spread, "ber": 0.05, "length": length, "loss": loss, "seed": seed,
         "accuracy": 0.9}
        for name in ("a", "b") for spread in (True, False) for seed in (0, 1)
        for length, loss in ((8.0, np.nan), (32.0, np.nan), (np.nan, 0.0), (np.nan, 0.3))
    ]  # fmt: skip
    left, right = draw_orders(pd.DataFrame(rows), ["a", "b"]).axes
    assert len(left.containers) == len(right.containers) == 4


@pytest.mark.slow
def test_the_panel_follows_its_sliders(split, codec, dataset):
    from semanticnn_core.panels.radio import RadioPanel

    panel = RadioPanel(SemanticNN(split, codec), dataset.test["image"][:3], ["a", "b", "c", "d"])
    before = panel.status.value
    panel.snr.value = -20
    assert "SF7" in panel.canvases["received"].words and panel.status.value != before
    panel.loss.value, panel.order.value, panel.factor.value = 0.9, "interleaved", "SF12"
    assert "90% of the packets lost" in panel.canvases["received"].words
