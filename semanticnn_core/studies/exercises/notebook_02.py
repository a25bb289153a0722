"""Exercises of notebook 02: what the channel's errors cost, one estimate for every rate, a head for one codec."""

from typing import Any

import pandas as pd
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.studies.exercises.answers import check_choice, check_percent
from semanticnn_core.studies.second_task import fit_head, received, right_share


def channel_share(answer: Any, errors: pd.DataFrame, system: str, ber: float = 0.05) -> None:
    """Check exercise 1: the share of a system's feature error at a rate that is more than its smallest, in %."""

    def right() -> float:
        mean = errors[errors["system"] == system].groupby("ber")["feature_mse"].mean()
        return 1 - mean.min() / mean[ber]

    hint = "Compare the mean over the channel seeds at this rate with the smallest mean in the table."
    check_percent(answer, right, 1.0, hint)


def own_head(
    answer: Any, codec: SemanticCodec, seen: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], ber: float = 0.01
) -> None:
    """Check exercise 2: how often a head fitted to a codec's received features is right, in %.

    seen, new: features (N, C, h, w) and classes (N,) to fit the head to, and to judge it by.
    """

    def right() -> float:
        head = fit_head(received(codec, seen[0], ber, seed=0), seen[1])
        return right_share(head, received(codec, new[0], ber, seed=1), new[1])

    check_percent(
        answer, right, 2.0, "Both the features that fit the head and those that judge it have crossed the link."
    )


def least_regret(answer: Any, believed: pd.DataFrame) -> None:
    """Check exercise 3: the estimate, in %, whose largest loss against the best one, over all true rates, is least."""

    def right() -> float:
        error = believed.groupby(["ber", "believed"])["error"].mean().unstack()
        return 100 * error.sub(error.min(axis=1), axis=0).max().idxmin()

    options = [round(100 * rate, 6) for rate in sorted(believed["believed"].unique())]
    check_choice(answer, right, options, "Subtract from each row of the table its smallest error; compare columns.")
