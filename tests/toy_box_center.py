"""A second task in one file: where is the digit? Outputs are the box's centre, x and y in shares of the image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.tasks import PixelNormalize, SplitModel

SIZE = 64


class BoxCenter:
    """Outputs (B, 2), the truth is the column `box`; the score is 1 minus the mean distance, in sides of the image."""

    metric = "closeness"
    truth = "a box an image"
    moves = True

    def fits(self, targets: dict) -> bool:
        return "box" in targets

    def loss(self, outputs: Tensor, targets: dict, smoothing: float = 0.0) -> Tensor:
        return F.mse_loss(outputs, center(targets["box"]))

    def distill(self, outputs: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
        return F.mse_loss(outputs, teacher)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"box": torch.cat([outputs, outputs], 1) * SIZE}

    def per_image(self, outputs: Tensor, targets: dict) -> Tensor:
        return 1 - (outputs - center(targets["box"])).double().norm(dim=1)

    def score(self, outputs: Tensor, targets: dict) -> float:
        return float(self.per_image(outputs, targets).mean())

    def chance(self, targets: dict) -> float:
        mean = center(targets["box"]).mean(0, keepdim=True)
        return self.score(mean.expand(len(targets["box"]), 2), targets)


def center(box: Tensor) -> Tensor:
    return torch.stack([box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]], 1) / (2 * SIZE)


def network() -> SplitModel:
    """Return a small untrained network for this task."""
    device = nn.Sequential(PixelNormalize(), nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU6())
    edge = nn.Sequential(
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 32), nn.ReLU(),
        nn.Linear(32, 2), nn.Sigmoid(),
    )  # fmt: skip
    return SplitModel(device, edge, SIZE, task=BoxCenter())
