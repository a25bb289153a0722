"""One image on its way to the edge, with everything it becomes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.channels import BinarySymmetric, Payload
from semanticnn_core.systems.base import OffloadSystem


@dataclass(frozen=True)
class Journey:
    """Everything one image becomes on its way to the edge."""

    image: Tensor
    """uint8 (3, H, W)."""
    sent: Tensor
    """The feature on the device, (C, h, w)."""
    received: Tensor
    """The feature at the edge, (C, h, w)."""
    payload: Tensor
    """The bytes sent, uint8 (n,)."""
    arrived: Tensor
    """The bytes that arrived, uint8 (n,)."""
    clean: Tensor
    """Class probabilities of the uncompressed network, (classes,)."""
    answer: Tensor
    """Class probabilities from the received feature, (classes,)."""
    ber: float

    @property
    def mse(self) -> float:
        """Mean squared error between the feature sent and received (equation 1)."""
        return float(((self.received - self.sent) ** 2).mean())

    @property
    def flips(self) -> int:
        """How many bits of the payload flipped."""
        return int((byte_bits(self.payload) != byte_bits(self.arrived)).sum())

    @property
    def classes(self) -> tuple[int, int]:
        """The classes that the uncompressed network and the edge name."""
        return int(self.clean.argmax()), int(self.answer.argmax())


@torch.no_grad()
def follow(
    system: OffloadSystem,
    image: Tensor,
    ber: float,
    seed: int = 0,
    payload: Payload | None = None,
    clean: Tensor | None = None,
) -> Journey:
    """Send one image uint8 (3, H, W), as real bytes, through a binary symmetric channel drawn with `seed`.

    payload, clean: what the system sends for it, and the uncompressed network's class probabilities, where known.
    """
    payload = system.send(image[None]) if payload is None else payload
    feature = payload.local["feature"]
    arrival = BinarySymmetric(ber, seed)(payload)
    received = system.receive(arrival)
    clean = system.model.edge_part(feature).softmax(1)[0] if clean is None else clean
    answer = received.outputs.softmax(1)[0]
    bytes_ = payload.data[0], arrival.payload.data[0]
    return Journey(image, feature[0], received.feature[0], *bytes_, clean, answer, ber)


def byte_bits(payload: Tensor) -> Tensor:
    """Return the bits, uint8 (…, n, 8), of payload bytes (…, n), the most significant first, as hex is read."""
    return (payload[..., None] >> torch.arange(7, -1, -1)) & 1
