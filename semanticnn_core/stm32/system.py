"""SemanticNN with its device side in integers, as a system to be measured like the others."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.channels.bits import Channel
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems.base import Offload
from semanticnn_core.tasks.split import SplitModel


@dataclass
class IntegerSemanticNN:
    """A task network whose images are encoded as the firmware does, byte for byte."""

    model: SplitModel
    firmware: Firmware
    name: str = "SemanticNN, integers"

    @torch.no_grad()
    def infer(self, images: Tensor, channel: Channel) -> Offload:
        """Send images uint8 (B, 3, H, W) through the channel; the receiver is told the channel's error rate."""
        firmware, shape = self.firmware, self.model.feature_shape
        payload = firmware.payload(images).to(self.model.place)
        arrived, way = channel(payload), (firmware.slice_ratio, firmware.window)
        received = firmware.codec.decompress(arrived, channel.ber, shape, *way)
        sent = torch.full((len(images),), payload.shape[1])
        return Offload(self.model.edge(received), sent, received)
