"""Task networks, cut into the part the device runs and the part the edge runs, and what is asked of them."""

from semanticnn_core.tasks.base import Task
from semanticnn_core.tasks.classification import Classification
from semanticnn_core.tasks.split import PixelNormalize, SplitModel, evaluating

__all__ = ["Classification", "PixelNormalize", "SplitModel", "Task", "evaluating"]
