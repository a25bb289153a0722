"""The teacher of the distillation: the uncompressed network, asked once for each image or for each step."""

import torch
from torch import Tensor

from semanticnn_core.datasets.base import Batch, Split
from semanticnn_core.tasks.base import Outputs
from semanticnn_core.tasks.split import SplitModel


def with_teacher(split: Split, model: SplitModel) -> Split:
    """Return a split with a column `teacher`, what the network answers for each image as it is.

    Where answers move with the image there is no such column: `taught_by` asks anew.
    """
    return split if model.task.moves else split.with_columns(teacher=model.answer_all(split))


@torch.no_grad()
def taught_by(model: SplitModel, batch: Batch, feature: Tensor) -> Outputs:
    """Return what the network answers: the batch's column `teacher`, or the edge's outputs for the clean feature."""
    return batch["teacher"] if "teacher" in batch else model.edge_part(feature)
