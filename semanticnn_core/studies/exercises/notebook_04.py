"""Exercises of notebook 04: points of a sum, what to leave out, where a window lies, how much of the digit it keeps."""

from typing import Any

import torch
from torch import Tensor, nn

from semanticnn_core.channels import BinarySymmetric, Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.reed_muller import protect, recover
from semanticnn_core.config import Slice
from semanticnn_core.evaluation import truth
from semanticnn_core.explain.attribution import attribute
from semanticnn_core.explain.kept import share_inside, window_boxes
from semanticnn_core.studies.exercises.answers import check_choice, check_percent

POINTS = (2, 8, 32, 128)
UNITS = ("pixels", "channels")


def points_needed(answer: Any, edge: nn.Module, feature: Tensor, labels: Tensor, most: float = 0.05) -> None:
    """Check exercise 1: the fewest points at which integrated gradients leave a median gap below `most`."""

    def right() -> int:
        close = (each for each in POINTS if attribute(edge, feature, labels, steps=each).gap.median() < most)
        return next(close, POINTS[-1])

    check_choice(answer, right, POINTS, "`attribute(…).gap` is the gap as a share; take its median over the images.")


def better_left_out(answer: Any, edge: nn.Module, feature: Tensor, labels: Tensor, steps: int = 24) -> None:
    """Check exercise 2: of which unit the worse half can go at less loss of the true class."""

    def right() -> str:
        kept = {}
        for level in ("pixel", "channel"):
            scores = attribute(edge, feature, labels, level=level, steps=steps).scores
            kept[f"{level}s"] = float(truth.masking_curve(edge, feature, labels, -scores, steps=2)[:, 1].mean())
        return max(kept, key=kept.__getitem__)

    check_choice(answer, right, UNITS, "Compare how sure the true class is without the *worse* half.")


def place_lost(answer: Any, ber: float = 0.1) -> None:
    """Check exercise 3: how often the place of a window arrives wrong behind the Reed–Muller code, in %."""

    def right() -> float:
        number = torch.arange(32).repeat(2000)
        arrived = BinarySymmetric(ber, 1)(Payload(protect(number))).payload.data
        return float((recover(arrived) != number).double().mean())

    check_percent(answer, right, 0.6, "Send each of the 32 numbers many times: `protect`, the channel, `recover`.")


def digit_kept(answer: Any, codec: SemanticCodec, feature: Tensor, masks: Tensor | None, ratio: float) -> None:
    """Check exercise 4: the mean share of the digit that lies in the window which the table chooses, in %."""
    if masks is None:
        return print("this data set does not say where its objects are, so there is nothing to check")

    def right() -> float:
        boxes = window_boxes(codec, feature, Slice(ratio, "importance")).tolist()
        return sum(share_inside(mask, box) for mask, box in zip(masks, boxes, strict=True)) / len(boxes)

    check_percent(answer, right, 1.5, "`window_boxes` says where each window lies; `share_inside` takes mask and box.")
