"""What the edge network's layers make of a restored feature, beside what they make of the uncompressed one."""

from typing import Any

import torch
from torch import Tensor, nn


class Listened:
    """An edge network that can be heard: `LAYERS` of its convolutions and linear layers at most, even steps apart."""

    LAYERS = 8

    def __init__(self, edge: nn.Module) -> None:
        self.edge = edge
        layers = [each for each in edge.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
        self.layers = layers[:: -max(-(-len(layers) // self.LAYERS), 1)]

    def __call__(self, feature: Tensor) -> tuple[Any, list[Tensor]]:
        """Return the network's outputs for a feature (B, C, H, W), and what its layers say, in the order of running."""
        said: list[Tensor] = []
        hooks = [each.register_forward_hook(lambda *event: said.append(event[2])) for each in self.layers]
        try:
            return self.edge(feature), said
        finally:
            for hook in hooks:
                hook.remove()


def matching_loss(received: list[Tensor], clean: list[Tensor]) -> Tensor:
    """Return the mean over layers of the squared error relative to the clean layer's mean square (Romero et al. 2015).

    0 where every layer says the same; about 1 where it says nothing of it.
    """
    pairs = zip(received, clean, strict=True)
    return torch.stack([(a - b).square().mean() / b.square().mean().clamp_min(1e-12) for a, b in pairs]).mean()
