"""The one protocol that SemanticNN and every system it is compared with share.

images ─► send ─► Payload ─► channel ─► Arrival ─► receive ─► outputs
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Channel, Payload
from semanticnn_core.tasks.base import Outputs
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class Received:
    """What the edge makes of an arrival."""

    outputs: Outputs
    """What the edge part answered, (B, …)."""
    feature: Tensor | None = None
    """The feature as the edge received it, (B, C, H, W), where the system sends one."""
    sent: Tensor | None = None
    """Bytes that really left, (B,), where only the arrival tells: payloads hold all that might be sent again."""


class OffloadSystem(Protocol):
    """A way of getting an image's meaning from the device to the edge: one file, and it is in every table.

    name: what tables call it. settings: further columns of its rows. model: the network it serves, uncompressed, with
    the task that scores it.
    """

    name: str
    model: SplitModel

    @property
    def settings(self) -> Mapping[str, object]: ...

    def send(self, images: Tensor) -> Payload:
        """Return what leaves the device for images uint8 (B, 3, H, W).

        A feature that `Received.feature` is to be compared with stays in `Payload.local["feature"]`.
        """
        ...

    def receive(self, arrival: Arrival) -> Received:
        """Answer at the edge, from the bytes alone (and from what the device answered itself, where it does)."""
        ...


@dataclass(frozen=True)
class Offload:
    """A batch of images on its way, from bytes to answers."""

    payload: Payload
    arrival: Arrival
    received: Received


@torch.no_grad()
def offload(system: OffloadSystem, images: Tensor, channel: Channel) -> Offload:
    """Send images uint8 (B, 3, H, W) through a channel and answer."""
    payload = system.send(images)
    arrival = channel(payload)
    return Offload(payload, arrival, system.receive(arrival))
