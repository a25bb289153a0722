"""Figures of one checkpoint's measurements."""

import pandas as pd
import pytest

from semanticnn_core.config import BER_GRID
from semanticnn_core.viz.measured import draw_bytes, draw_importance, draw_score


def rows(system: str, sizes: dict[float, int], metric: str = "accuracy") -> pd.DataFrame:
    """Return two seeds of a system at every rate and slice ratio; windows of all parts but the whole."""
    cells = [
        {"system": system, "ber": ber, "slice_ratio": ratio, "window": window, "seed": seed, "bytes": float(size),
         metric: 0.9 - ber - 0.01 * seed, f"{metric}_low": 0.7, f"{metric}_high": 0.99}
        for ber in BER_GRID for ratio, size in sizes.items() for seed in range(2)
        for window in (("center", "importance") if ratio < 1 else ("center",))
    ]  # fmt: skip
    return pd.DataFrame(cells)


def test_the_score_has_a_line_a_codec_and_its_interval_is_in_sight():
    table = pd.concat([rows("one", {1.0: 384}), rows("two", {1.0: 100})])
    axis = draw_score(table, "accuracy", 0.95).axes[0]
    assert [each.get_text() for each in axis.get_legend().get_texts()] == ["uncompressed", "one, 384 B", "two, 100 B"]
    low, high = axis.get_ylim()
    assert low <= 70 and high >= 99 and axis.get_ylabel() == "accuracy, %"
    bare = draw_score(table.drop(columns=["accuracy_low", "accuracy_high"]), "accuracy").axes[0]
    assert bare.get_ylim()[0] > 70 and len(bare.get_legend().get_texts()) == 2


def test_bytes_are_joined_from_three_sizes_on():
    two, three = rows("one", {1.0: 384, 0.5: 150}, "mAP50"), rows("one", {1.0: 384, 0.5: 150, 0.3: 90}, "mAP50")
    for table, style in ((two, "None"), (three, "-")):
        axis = draw_bytes(table, "mAP50").axes[0]
        assert [line.get_linestyle() for line in axis.lines] == [style, style]
        assert max(axis.lines[0].get_xdata()) == 384
    mean = 100 * table.groupby("ber")["mAP50"].mean().mean()
    assert axis.lines[0].get_ydata()[0] == pytest.approx(mean)


def test_the_table_of_importance_is_drawn_whole(codec):
    codec.importance[1, 2] = -9
    axis, bar = draw_importance(codec).axes
    assert axis.images[0].get_array().shape == codec.importance.shape and axis.images[0].get_clim() == (-9, 9)
