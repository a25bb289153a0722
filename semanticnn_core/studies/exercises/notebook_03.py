"""Exercises of notebook 03: sending again, and answers that change."""

from typing import Any

from semanticnn_core.channels import BitErrors
from semanticnn_core.datasets import Split
from semanticnn_core.evaluation import sweep
from semanticnn_core.studies.exercises.answers import check_number, check_percent
from semanticnn_core.systems.base import OffloadSystem


def sendings(answer: Any, size: int, ber: float = 1e-3) -> None:
    """Check exercise 1: how often a packet of `size` bytes is sent in the mean until it arrives untouched."""
    hint = "How many bits has the payload, and how likely is it that none of them flips?"
    check_number(answer, lambda: (1 - ber) ** (-8 * size), relative=0.05, unit="times", hint=hint)


def unsure_share(answer: Any, system: OffloadSystem, split: Split, ber: float) -> None:
    """Check exercise 2: of the answers that change at a rate, the share on the unsure half of the images, in %."""

    def right() -> float:
        sureness = system.model.answer_all(split).softmax(1).amax(1)
        agreement = sweep([system], split, [BitErrors(ber)], by_image=True).pivot_table("agreement", "image", "seed")
        changed = 1 - agreement.sort_index().mean(axis=1).to_numpy()
        return changed[(sureness <= sureness.median()).numpy()].sum() / max(changed.sum(), 1e-9)

    check_percent(answer, right, 10.0, "`agreement`, image by image, says whether the answer stayed.")
