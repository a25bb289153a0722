"""A second system in one file: the image itself, very small, 8 bits a value; no codec at all."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels import Arrival, Payload
from semanticnn_core.systems import Received
from semanticnn_core.tasks import SplitModel


@dataclass(frozen=True)
class Thumbnail:
    """Sends side × side pixels of three colours; the edge enlarges them and runs the whole network."""

    model: SplitModel
    side: int = 11
    name: str = "thumbnail"

    @property
    def settings(self) -> dict[str, object]:
        return {"side": self.side}

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        small = F.interpolate(images.float(), (self.side, self.side), mode="bilinear", antialias=True)
        return Payload(small.round().clamp(0, 255).byte().flatten(1))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        small = arrival.payload.data.view(-1, 3, self.side, self.side).float()
        size = (self.model.image_size,) * 2
        images = F.interpolate(small, size, mode="bilinear").round().clamp(0, 255).byte()
        return Received(self.model(images))
