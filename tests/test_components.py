"""Which few numbers of a feature to keep."""

import pytest
import torch
from tiny import make_dataset, make_split

from semanticnn_core.studies.components import kept_components
from semanticnn_core.training.sensitivity import sensitivity
from semanticnn_core.viz.results import draw_kept


def measured(counts):
    split, dataset = make_split(), make_dataset()
    with torch.no_grad():
        split.edge_part[2].weight.mul_(20)
    metric = sensitivity(split, dataset.train, 2, 0.95)
    return kept_components(split, dataset.test, metric, counts).set_index(["chosen", "kept"])


@pytest.fixture(scope="module")
def table():
    return measured((1, 4, 16))


def test_twice_the_same_whatever_was_drawn_before():
    """Of nearly equal components, those of noise, a search that begins elsewhere finds others."""
    first = measured((3, 5))
    torch.rand(3)
    assert measured((3, 5)).equals(first)


def test_all_numbers_of_a_square_restore_it(table):
    for chosen in ("varies", "matters"):
        assert table.loc[(chosen, 16), "feature_mse"] == pytest.approx(0, abs=1e-6)
        assert table.loc[(chosen, 16), "accuracy"] == 1.0


def test_what_varies_has_the_smaller_error_always(table):
    errors = table["feature_mse"].unstack("chosen")
    assert (errors["varies"] <= errors["matters"] + 1e-6).all()
    assert errors["varies"].is_monotonic_decreasing


def test_the_figure_shows_the_table(table):
    score, error = draw_kept(table.reset_index(), "accuracy").axes
    for axis, column, scale in ((score, "accuracy", 100), (error, "feature_mse", 1)):
        for chosen, line in zip(("varies", "matters"), axis.lines, strict=True):
            assert line.get_ydata() == pytest.approx(scale * table.loc[chosen, column].to_numpy())
