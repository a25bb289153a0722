"""SemanticNN (AAAI 2026): a feature as a few hundred bytes, restored by a decoder that knows the bit error rate."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import WHOLE, Slice
from semanticnn_core.systems.base import Received
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import fingerprint


@dataclass(frozen=True)
class SemanticNN:
    """A task network and its codec, sending one slice of the code."""

    model: SplitModel
    codec: SemanticCodec
    slice: Slice = WHOLE
    name: str = "SemanticNN"

    @property
    def settings(self) -> dict[str, object]:
        """The slice as columns: slice_ratio, window, share_sent."""
        share = self.codec.windows(self.model.feature_shape, self.slice).share_sent
        return {"slice_ratio": self.slice.ratio, "window": self.slice.window, "share_sent": share}

    @property
    def payload_bytes(self) -> int:
        """Bytes that leave for one image."""
        return self.codec.payload_bytes(self.model.feature_shape, self.slice)

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W); the feature stays on the device."""
        feature = self.model.device_part(images)
        return replace(self.codec.compress(feature, self.slice), local={"feature": feature})

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Decode what arrived and let the edge part answer."""
        feature = self.codec.decompress(arrival, self.model.feature_shape, self.slice)
        return Received(self.model.edge_part(feature), feature)


def model_number(codec: SemanticCodec, slice: Slice = WHOLE) -> int:
    """Return the eight bits by which device and edge know that they mean the same codec and slice, from its weights."""
    return hashlib.sha256(f"{fingerprint(codec)} {slice}".encode()).digest()[0]
