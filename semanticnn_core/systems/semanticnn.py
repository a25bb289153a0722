"""SemanticNN itself: device part, codec, channel, edge part, with the real bytes in between."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.channels.bits import Channel
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import Window
from semanticnn_core.systems.base import Offload
from semanticnn_core.tasks.split import SplitModel


@dataclass
class SemanticNN:
    """A task network and its codec at one slice ratio, window and order (see `SemanticCodec.compress`)."""

    model: SplitModel
    codec: SemanticCodec
    slice_ratio: float = 1.0
    name: str = "SemanticNN"
    window: Window = "center"
    progressive: bool = False

    @torch.no_grad()
    def infer(self, images: Tensor, channel: Channel) -> Offload:
        """Send images uint8 (B, 3, H, W) through the channel; the receiver is told the channel's error rate."""
        feature = self.model.device(images)
        way = self.slice_ratio, self.window, self.progressive
        payload = self.codec.compress(feature, *way)
        received = self.codec.decompress(channel(payload), channel.ber, feature.shape[1:], *way)
        sent = torch.full((len(images),), payload.shape[1])
        return Offload(self.model.edge(received), sent, received)
