"""Which classes a link costs most, and what a score on so many images can say at all."""

from collections.abc import Mapping, Sequence

import pandas as pd
from scipy.stats import binomtest

from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.evaluation.fates import FATES, fates
from semanticnn_core.tasks.base import Outputs, Targets, Task

FEW = 1000
"""Test images from which an accuracy is known to a few points."""


def class_table(task: Task, outputs: Mapping[str, Outputs], targets: Targets, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a class that occurs, the one that the last outputs get wrong most often first.

    outputs: of the same images, by what happened to them on the way. Columns: class, count (images, or objects of a
    detector), for each of the outputs the share answered right (found), and mistaken: what the last outputs most often
    made of those that they got wrong, with its share of all.
    """
    last, kinds = list(outputs)[-1], []
    right = {name: _right(task, each, targets) for name, each in outputs.items()}
    labels = right[last]["label"]
    for number in sorted(labels.unique()):
        rows = labels == number
        wrong = right[last].loc[rows & ~right[last]["right"], "made"]
        mistaken = ""
        if len(wrong):
            common = wrong.mode().iloc[0]
            word = common if isinstance(common, str) else classes[common]
            mistaken = f"{word} ({(wrong == common).sum() / rows.sum():.0%})"
        shares = {name: float(each.loc[rows, "right"].mean()) for name, each in right.items()}
        kinds.append({"class": classes[number], "count": int(rows.sum()), **shares, "mistaken": mistaken})
    table = pd.DataFrame(kinds, columns=["class", "count", *outputs, "mistaken"])
    return table.sort_values(last, kind="stable", ignore_index=True)


def sure_in_words(right: int, count: int) -> str:
    """Say within what bounds the true accuracy lies if so many of so many test images are answered right.

    The bounds are Wilson's 95 % interval. Raises ValueError for no image, or more right than there are.
    """
    if not 0 <= right <= count or not count:
        raise ValueError(f"right must be from 0 to count, and count at least 1; got {right} of {count}")
    bounds = binomtest(right, count).proportion_ci(method="wilson")
    low, high = (f"{bound:.{1 if count >= FEW else 0}%}" for bound in (bounds.low, bounds.high))
    text = (
        f"{right:,} of {count:,} test images are answered right, {right / count:.1%}. On new images of the same kind "
        f"expect {low} to {high} (95 % interval)."
    )
    if count >= FEW:
        return text
    return f"{text} One image more or less is {100 / count:.1f} points, so smaller differences mean nothing."


def certainty(accuracy: float, data: ImageDataset) -> str:
    """Say how sure a classifier's accuracy on a test split is, and what a small set cannot tell."""
    count = len(data.test)
    text = f"Without any link, {sure_in_words(round(accuracy * count), count)}"
    if count >= FEW:
        return text
    return (
        f"{text} {len(data.train):,} training images teach these things, this camera and this light; of others "
        "nothing is known. If photographs were taken one after the other, near doubles lie in training and test, and "
        "the number is too good: for an honest one put photographs of another day into a folder test beside train."
    )


def _right(task: Task, outputs: Outputs, targets: Targets) -> pd.DataFrame:
    """Return a row an image, or object of a detector: label, right, and made: the class answered, or its fate."""
    answers = task.answers(outputs)
    if "box" in answers:
        table = fates(answers, targets)
        return pd.DataFrame({"label": table["label"], "right": table["fate"] == FATES[0], "made": table["fate"]})
    made, label = answers["label"].numpy(), targets["label"].numpy()
    return pd.DataFrame({"label": label, "right": made == label, "made": made})
