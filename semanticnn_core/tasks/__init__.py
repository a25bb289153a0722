"""Task networks, cut into the part the device runs and the part the edge runs."""

from semanticnn_core.tasks.classification import clean_accuracy, clean_logits
from semanticnn_core.tasks.split import PixelNormalize, SplitModel, evaluating

__all__ = ["PixelNormalize", "SplitModel", "clean_accuracy", "clean_logits", "evaluating"]
