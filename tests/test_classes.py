"""What a page says of classes, and of how sure a score is."""

import pytest
import torch
from test_fates import FOUND, TRUTH
from tiny import make_dataset

from semanticnn_core.evaluation.classes import certainty, class_table, sure_in_words
from semanticnn_core.tasks.classification import Classification


def logits(*answers: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(answers), 3).float()


def test_the_class_that_loses_most_stands_first_with_what_it_is_taken_for():
    truth = {"label": torch.tensor([0, 0, 2, 2, 2, 2])}
    outputs = {"before": logits(0, 0, 2, 2, 2, 1), "after": logits(0, 0, 2, 0, 1, 1)}
    table = class_table(Classification(), outputs, truth, ("ant", "bee", "cat"))
    assert table.to_dict("list") == {
        "class": ["cat", "ant"], "count": [4, 2], "before": [0.75, 1.0], "after": [0.25, 1.0],
        "mistaken": ["bee (50%)", ""],
    }  # fmt: skip


def test_of_boxes_the_fate_of_each_object_counts():
    class Boxes:
        def answers(self, outputs):
            return outputs

    names = ("none", "ant", "bee", "cat", "dog", "elk", "fox", "gnu")
    table = class_table(Boxes(), {"now": FOUND}, TRUTH, names).set_index("class")
    assert table["now"].to_dict() == {"ant": 1.0, "bee": 0.0, "cat": 0.0, "dog": 0.0}
    assert table["mistaken"]["bee"] == "of another class (100%)" and table["mistaken"]["dog"] == "missed (100%)"


def test_bounds_are_wilson_s():
    said = sure_in_words(27, 27)
    assert "27 of 27" in said and "88% to 100%" in said and "3.7 points" in said
    assert "45% to 55%" in sure_in_words(200, 400)  # 0.5 ± 1.96 √(0.25 / 403.84)
    assert "49.0% to 51.0%" in sure_in_words(5000, 10_000) and "points" not in sure_in_words(5000, 10_000)
    for right, count in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="right must be from 0 to count"):
            sure_in_words(right, count)


def test_a_small_set_is_called_small(monkeypatch):
    data = make_dataset()
    said = certainty(0.95, data)
    assert "38 of 40" in said and "96 training images" in said and "near doubles" in said
    monkeypatch.setattr("semanticnn_core.evaluation.classes.FEW", 40)
    assert "near doubles" not in certainty(0.95, data)
