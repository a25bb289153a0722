"""Exercises of notebook 07: how objects are lost, a lower certainty, the class that loses most."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from semanticnn_core.datasets import Split
from semanticnn_core.evaluation.fates import fates
from semanticnn_core.studies.detections import found_at
from semanticnn_core.studies.exercises.answers import check_choice, check_percent
from semanticnn_core.systems.base import OffloadSystem


def misnamed_share(answer: Any, died: Mapping[float, pd.DataFrame], ber: float = 0.1) -> None:
    """Check exercise 1: of the objects that are not found at a rate, the share whose box is of another class, in %."""

    def right() -> float:
        fate = died[ber]["fate"]
        return (fate == "of another class").sum() / max((fate != "found").sum(), 1)

    check_percent(answer, right, 1.0, "Count the fates in `died[0.1]`, and leave out what was found.")


def missed_below(answer: Any, system: OffloadSystem, split: Split, seed: int, certainty: float, ber: float) -> None:
    """Check exercise 2: the share of objects missed when boxes count from a lower certainty on, in %."""
    hint = "`fates` takes the boxes of `task.detections(outputs, 0.15)`."
    check_percent(answer, lambda: missed_share(system, split, seed, certainty, ber), 0.6, hint)


def missed_share(system: OffloadSystem, split: Split, seed: int, certainty: float, ber: float) -> float:
    """Return the share of a split's objects that are missed when boxes count from a certainty on."""
    found = found_at(system, split, ber, seed, certainty)
    return float((fates(found, split.columns)["fate"] == "missed").mean())


def weakest_class(answer: Any, died: Mapping[float, pd.DataFrame], classes: Sequence[object], ber: float = 0.1) -> None:
    """Check exercise 3: the class of which the largest share of objects is lost between no errors and a rate."""

    def right() -> object:
        found = {rate: died[rate]["fate"].eq("found").groupby(died[rate]["label"]).mean() for rate in (0.0, ber)}
        return classes[int((found[0.0] - found[ber]).idxmax())]

    hint = "Group `died` by label; subtract the found shares, each class from itself."
    check_choice(answer, right, [str(each) for each in classes], hint)
