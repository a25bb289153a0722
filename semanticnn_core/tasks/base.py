"""What is asked of the edge: how outputs are trained, read and scored. Nothing else knows what a label is."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Outputs = Any
"""What an edge part returns for a batch: a tensor (B, …), or a tuple or list of such."""
Targets = Mapping[str, Any]
"""Columns of a split, or of a batch of it: `label`, `box`, …"""


class Task(Protocol):
    """What a network is for. Stateless, but for its settings.

    metric: what its score is called in tables; a score is a number, more is better.
    truth: what the columns of a split must hold, in words.
    moves: whether answers move with the image, so that what was answered for an image is wrong once it is shifted.
    """

    metric: str
    truth: str
    moves: bool

    def fits(self, targets: Targets) -> bool:
        """Return whether columns hold that truth."""
        ...

    def loss(self, outputs: Outputs, targets: Targets, smoothing: float = 0.0) -> Tensor:
        """Return what a batch of outputs costs against the truth, a scalar with gradient (L_cls of equation 2).

        smoothing: share of the truth that is spread over other answers, where the task has such a thing.
        """
        ...

    def distill(self, outputs: Outputs, teacher: Outputs, temperature: float = 2.0) -> Tensor:
        """Return how far outputs are from those of the uncompressed network, a scalar with gradient.

        temperature: by how much predictions are softened first, where the task has such a thing.
        """
        ...

    def answers(self, outputs: Outputs) -> Targets:
        """Return what outputs say, in the form of the truth."""
        ...

    def score(self, outputs: Outputs, targets: Targets) -> float:
        """Return how good the outputs of a whole split are: a mean over images, or not, as for mAP."""
        ...

    def per_image(self, outputs: Outputs, targets: Targets) -> Tensor | None:
        """Return values (N,) whose mean is the score; None where the score is no mean over images."""
        ...

    def chance(self, targets: Targets) -> float | None:
        """Return the score of the best constant answer; None where it is not known."""
        ...

    def evidence(self, outputs: Outputs) -> Tensor:
        """Return the numbers that attribution explains, (B, K): what speaks for each answer."""
        ...

    def explained(self, targets: Targets) -> Tensor:
        """Return which of them is explained for each image, int64 (B,)."""
        ...


def joined(outputs: Sequence[Outputs]) -> Outputs:
    """Return the outputs of several batches as those of one."""
    if isinstance(outputs[0], Tensor):
        return torch.cat(list(outputs))
    if isinstance(outputs[0], tuple):
        return tuple(joined(each) for each in zip(*outputs, strict=True))
    return [each for batch in outputs for each in batch]
