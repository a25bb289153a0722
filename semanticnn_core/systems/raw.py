"""Nothing compressed: the image, or the feature, as 8-bit values or as the 32-bit floats of the paper's Table 1."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.systems.base import Received
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class Raw:
    """Sends `what` as it is; the receiver clamps values, and takes zero for what is no number."""

    model: SplitModel
    what: str = "image"
    """image or feature."""
    floats: bool = False
    """32-bit floats; 8 bits a value otherwise."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"raw {self.what}, {'32-bit floats' if self.floats else '8 bits'}"

    @property
    def settings(self) -> dict[str, object]:
        """None."""
        return {}

    @property
    def top(self) -> float:
        """The largest value of 8-bit steps."""
        return 255.0 if self.what == "image" else min(self.model.feature_range[1], 6.0)

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W)."""
        values = images.float() if self.what == "image" else self.model.device_part(images).contiguous()
        if self.floats:
            return Payload(values.flatten(1).view(torch.uint8))
        return Payload(to_bytes(values, self.top).flatten(1))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Answer from the values that arrived."""
        data, size = arrival.payload.data, self.model.image_size
        values = data.contiguous().view(torch.float32) if self.floats else from_bytes(data, self.top)
        values = values.nan_to_num(0.0).clamp(0, self.top)
        if self.what == "image":
            return Received(self.model(values.round().byte().view(-1, 3, size, size)))
        return Received(self.model.edge_part(values.view(-1, *self.model.feature_shape)))


def to_bytes(values: Tensor, top: float) -> Tensor:
    """Return values in [0, top] as 8-bit steps, uint8; others are clamped."""
    return (values * (255 / top)).round().clamp(0, 255).byte()


def from_bytes(data: Tensor, top: float) -> Tensor:
    """Return the values in [0, top] that 8-bit steps stand for."""
    return data * (top / 255)
