"""Reading the benchmark: both means by hand, pairs, words, figures, and the panel."""

import numpy as np
import pandas as pd
import pytest

from semanticnn_core.channels import INDEPENDENT
from semanticnn_core.config import BER_GRID
from semanticnn_core.evaluation.ranking import (
    EVEN,
    GRID,
    OURS,
    cost_table,
    less,
    link_table,
    ranking,
    ranking_table,
    trainings,
)
from semanticnn_core.panels.rivals import RivalsPanel
from semanticnn_core.viz.ranking import draw_places, draw_rivals

RATES = (*BER_GRID, 0.1)


def rows(
    system: str, seed: int, accuracy: dict[float, float], trained: bool = True, size: int = 384, link: str = INDEPENDENT
) -> pd.DataFrame:
    """Return the rows of one training, two channel seeds that lie 0.02 apart around the accuracy."""
    points = [
        {"system": system, "kind": "fair", "trained": trained, "train_seed": seed, "bytes": size, "link": link,
         "ber": ber, "seed": channel, "metric": "accuracy", "score": value + (0.01 if channel else -0.01),
         "device_macs": 1000 * size,
         "device_weights": 2000, "edge_macs": 3e6, "edge_weights": 4e6}
        for ber, value in accuracy.items() for channel in range(2)
    ]  # fmt: skip
    return pd.DataFrame(points)


@pytest.fixture
def table() -> pd.DataFrame:
    line = {ber: 0.9 - 2 * ber for ber in RATES}  # straight, so that its integral is known
    better = {ber: value + 0.02 for ber, value in line.items()}
    cliff = {ber: 0.9 if ber <= 0.05 else 0.1 for ber in RATES}
    parts = [rows(OURS, 0, line), rows(OURS, 1, better), rows("rival", 0, {ber: v - 0.1 for ber, v in line.items()})]
    return pd.concat([*parts, rows("file", 0, cliff, trained=False, size=200)], ignore_index=True)


def test_both_means_are_those_of_hand(table):
    first = trainings(table).set_index(["system", "train_seed"])
    assert first.loc[(OURS, 0), GRID] == pytest.approx(np.mean([0.9 - 2 * ber for ber in BER_GRID]))
    assert first.loc[(OURS, 0), EVEN] == pytest.approx(0.9 - (BER_GRID[0] + BER_GRID[-1]))
    assert first.loc[("file", 0), EVEN] == pytest.approx(0.9)


def test_the_best_comes_first_with_its_spread_and_costs(table):
    places = ranking(table)
    assert list(places.index) == ["file", OURS, "rival"] and places.loc[OURS, "trainings"] == 2
    assert places.loc[OURS, f"{GRID}, std"] == pytest.approx(0.02 / np.sqrt(2))
    assert np.isnan(places.loc["file", f"{GRID}, std"]) and places.loc["file", "device_macs"] == 200_000


def test_trainings_are_paired_and_what_needs_none_meets_each(table):
    gaps = less(table)
    assert gaps.loc["rival", "difference"] == pytest.approx(0.1) and gaps.loc["rival", "pairs"] == 1
    assert np.isnan(gaps.loc["rival", "standard_error"])
    assert gaps.loc["file", "pairs"] == 2 and gaps.loc["file", "standard_error"] == pytest.approx(0.01)
    with pytest.raises(ValueError, match="holds nothing for 'nobody'; it has SemanticNN, ours"):
        less(table, "nobody")


def test_tables_say_it_in_words(table):
    shown = ranking_table(table)
    assert shown.loc["rival", "ours lies above it by"] == "+10.0" and shown.loc[OURS, "ours lies above it by"] == ""
    assert shown.loc[OURS, "10 %"] == "71.0" and " ± 1.4" in shown.loc[OURS, GRID]
    assert "ours lies above it by" not in ranking_table(table[table["system"] != OURS])
    assert cost_table(table).loc["file", "device, thousand MACs"] == "200.0"


def test_harder_links_stand_beside_the_others_and_change_no_place(table):
    harder = [rows(name, 0, {0.05: 0.5}, link="bursts") for name in (OURS, "file")]
    both = pd.concat([table, *harder], ignore_index=True)
    pd.testing.assert_frame_equal(ranking(both), ranking(table))
    shown = link_table(both)
    assert list(shown.columns) == ["5 %, independent", "5 %, bursts"] and list(shown.index) == ["file", OURS, "rival"]
    assert shown.loc["file"].tolist() == [90.0, 50.0] and np.isnan(shown.loc["rival", "5 %, bursts"])
    assert link_table(table).empty


def test_figures_show_what_the_table_has(table):
    axis = draw_rivals(table, [OURS, "file", "nobody"]).axes[0]
    assert [each.get_label() for each in axis.get_legend_handles_labels()[0]] == [OURS, "file"]
    assert axis.get_ylim() == pytest.approx((75.98, 91.98)), "the best has 90.98 %"
    assert not draw_rivals(table, ["nobody"]).axes[0].containers
    places = draw_places(table).axes[0]
    assert [each.get_text() for each in places.get_yticklabels()] == ["rival", OURS, "file"]
    assert places.lines[2].get_xdata()[-1] == pytest.approx(10)  # the file, at the worst rate


def test_the_panel_orders_systems_at_the_sliders_rate(table):
    panel = RivalsPanel(table, 0.05)
    assert list(panel.order().index) == ["rival", OURS, "file"]
    panel.ber.value = max(value for _, value in panel.ber.options)
    assert panel.order().index[-1] == OURS and panel.order()["file"] == pytest.approx(10)
    panel.most.value = 200
    assert list(panel.order().index) == ["file"] and len(panel.figure.data[-1].x) == 1
    panel.shown.value = ()
    assert not len(panel.order()) and "no system" in panel.plot.page.words
