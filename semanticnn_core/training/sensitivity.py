"""What an error of the feature costs the task: the metric of a stage 1 that knows what the feature is for."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.datasets.base import Split, moved
from semanticnn_core.tasks.split import SplitModel, evaluating
from semanticnn_core.training.loop import placed, training_device

SQUARES = 192_000
"""Squares whose gradients are looked at: 3,000 images of 64."""
LARGEST = 2048
"""Most values of a square: its matrix, of this size squared, has to be taken apart."""


class Sensitivity(nn.Module):
    """A mean square in which what the task listens to weighs more: a quadratic form over squares of the feature.

    root: the symmetric root of its matrix, (n, n) for squares of n = C·side² values. White errors cost as much as in
    the plain mean square.
    """

    def __init__(self, root: Tensor, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("root", root)

    def forward(self, sent: Tensor, received: Tensor) -> Tensor:
        """Return what a received feature (B, C, H, W) costs beside the sent one, a scalar with gradient."""
        return self.weigh(received - sent).square().mean()

    def weigh(self, values: Tensor) -> Tensor:
        """Return features (B, C, H, W), or errors of theirs, such that equal sizes cost the same."""
        *_, height, width = values.shape
        values = F.pad(values, (0, -width % self.side, 0, -height % self.side))
        squares = self.root @ F.unfold(values, self.side, stride=self.side)
        return F.fold(squares, values.shape[-2:], self.side, stride=self.side)[..., :height, :width]


def sensitivity(model: SplitModel, split: Split, side: int, share: float, seed: int = 0) -> Sensitivity | None:
    """Return the metric of a task, measured on images of a split with their truth, at most those of `SQUARES` squares.

    side: of the squares, the encoder's stride; halved until they have at most `LARGEST` values.
    share: of the metric that is the task's, in [0, 1]; the rest is the plain mean square, for what these images did
    not show. At 0 there is no metric, None.
    The task's share is the mean outer product of the gradients of its loss with respect to the feature, the empirical
    Fisher information (Amari 1998): to second order, what an error costs.
    """
    if not share:
        return None
    channels, height, width = model.feature_shape
    while side > 1 and channels * side**2 > LARGEST:
        side //= 2
    size, images, home = channels * side**2, -(-SQUARES // max((height // side) * (width // side), 1)), model.device
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    total, plain = torch.zeros(size, size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    with evaluating(model), placed(training_device(), model):
        for part in order.split(64):
            batch = moved(split.batch(part), model.device)
            with torch.no_grad():
                feature = model.device_part(batch["image"])
            feature = feature.detach().requires_grad_()
            loss = len(part) * model.task.loss(model.edge_part(feature), batch)  # of each image, not of their mean
            (gradient,) = torch.autograd.grad(loss, feature)
            squares = F.unfold(gradient, side, stride=side).transpose(1, 2).flatten(0, 1)
            total += (squares.T @ squares).cpu().double()  # not every accelerator has doubles
    trace = total.trace()
    matrix = share * total * size / trace + (1 - share) * plain if trace > 0 else plain
    values, vectors = torch.linalg.eigh(matrix)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return Sensitivity(root.float(), side).to(home)
