"""One class an image: cross-entropy, and the share of images answered right."""

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.tasks.base import Targets


class Classification:
    """Outputs are logits (B, classes), the truth is the column `label`, int64 (B,)."""

    metric = "accuracy"
    truth = "one class an image"
    moves = False

    def fits(self, targets: Targets) -> bool:
        """Return whether there is a class for each image."""
        return isinstance(targets.get("label"), Tensor)

    def loss(self, outputs: Tensor, targets: Targets, smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy; smoothing: probability spread over the wrong classes."""
        return F.cross_entropy(outputs, targets["label"], label_smoothing=smoothing)

    def distill(self, outputs: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
        """Return T²·KL(teacher ‖ student) of predictions softened by T (Hinton et al., 2015)."""
        student, target = (F.log_softmax(each / temperature, 1) for each in (outputs, teacher))
        return F.kl_div(student, target, reduction="batchmean", log_target=True) * temperature**2

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """Return the class of the largest logit."""
        return {"label": outputs.argmax(1)}

    def per_image(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Return 1 where the answer is right, else 0, float64 (N,)."""
        return (outputs.argmax(1) == targets["label"].to(outputs.device)).double()

    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the share answered right."""
        return float(self.per_image(outputs, targets).mean())

    def chance(self, targets: Targets) -> float:
        """Return the share of the most frequent class."""
        return int(torch.bincount(targets["label"]).max()) / len(targets["label"])

    def evidence(self, outputs: Tensor) -> Tensor:
        """Return the logits."""
        return outputs

    def explained(self, targets: Targets) -> Tensor:
        """Return the true class."""
        return targets["label"]
