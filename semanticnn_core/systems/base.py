"""The one protocol that SemanticNN and every system it is compared with share."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from semanticnn_core.channels.bits import Channel


@dataclass
class Offload:
    """What came of sending a batch of images to the edge."""

    outputs: Tensor
    """What the edge network answered, (B, classes)."""
    bytes_sent: Tensor
    """Bytes that left the device for each image, int64 (B,)."""
    feature: Tensor | None = None
    """The feature as the edge received it, where the system sends one."""


class OffloadSystem(Protocol):
    """A way of getting an image's meaning from the device to the edge."""

    name: str

    def infer(self, images: Tensor, channel: Channel) -> Offload:
        """Send images uint8 (B, 3, H, W) through the channel and answer."""
        ...
