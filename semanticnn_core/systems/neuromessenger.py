"""A stand-in for NeuroMessenger (Wang & Zhang, INFOCOM 2022), of which no mechanism and no code is published.

As the paper describes it: the whole feature leaves, neither quantised further nor coded, in packets that are sent again
while what matters in them is damaged. Here: 8 bits a value, a CRC-32 over the two most significant bits of each value
of a packet, up to four tries, of which the receiver keeps all (`protected.combined`); errors in the other bits are
accepted. Whole: packets of 192 values. Capped: the feature is averaged over squares until it fits four packets and one
more try among `size` bytes, the edge enlarges it again, and what is still missing when the bytes are spent is zero.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.systems.base import Received
from semanticnn_core.systems.protected import CHECKSUM, combined
from semanticnn_core.systems.raw import Raw, from_bytes, to_bytes
from semanticnn_core.tasks.split import SplitModel

PACKET, CAPPED_PACKETS, TRIES = 192, 4, 4
MATTERS = 0b11000000


@dataclass(frozen=True)
class NeuroMessenger:
    """The 8-bit feature in packets with checksums over their most significant bits."""

    model: SplitModel
    size: int | None = None
    """Bytes after which nothing more is sent; None sends the whole feature."""

    def __post_init__(self) -> None:
        if self.size and not self._side:
            least = (CAPPED_PACKETS + 1) * (-(-self.model.feature_shape[0] // CAPPED_PACKETS) + CHECKSUM)
            raise ValueError(f"{self.name} needs {least} bytes for one value a channel, got {self.size}; allow more")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "NeuroMessenger-style" + (f", {self.size} B" if self.size else "")

    @property
    def settings(self) -> dict[str, object]:
        """None."""
        return {}

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return all tries of all packets; `Received.sent` says what was used."""
        feature = self.model.device_part(images)
        feature = F.adaptive_avg_pool2d(feature, self._side) if self.size else feature
        data = to_bytes(feature, self._top).flatten(1)
        packets = F.pad(data, (0, -data.shape[1] % self._packet)).unflatten(1, (-1, self._packet))
        once = torch.cat([packets, _checksums(packets)], 2)
        return Payload(once[:, :, None].expand(-1, -1, TRIES, -1).reshape(len(images), -1))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Take of each packet what `combined` takes, as far as the bytes reach, and answer."""
        length, (channels, *shape) = self._packet + CHECKSUM, self.model.feature_shape
        tries = arrival.payload.data.view(len(arrival.payload), -1, TRIES, length)
        values = tries.new_zeros(len(tries), tries.shape[1], self._packet)
        sent = torch.zeros(len(tries), dtype=torch.int64)
        for number in range(tries.shape[1]):
            left = ((self.size - sent) // length).clamp_max(TRIES) if self.size else torch.full_like(sent, TRIES)
            for most in left[left > 0].unique().tolist():
                some = (left == most).nonzero()[:, 0]
                taken, used = combined(tries[some.to(tries.device), number, :most], self._right)
                values[some.to(tries.device), number] = taken[:, : self._packet]
                sent[some] += used * length
        side = (self._side, self._side) if self.size else shape
        data = values.flatten(1)[:, : channels * math.prod(side)]
        feature = from_bytes(data, self._top).view(-1, channels, *side)
        if self.size:
            feature = F.interpolate(feature, shape, mode="bilinear")
        return Received(self.model.edge_part(feature), sent=sent)

    @property
    def _top(self) -> float:
        return Raw(self.model, "feature").top

    @property
    def _packet(self) -> int:
        """Values of a packet."""
        return self.size // (CAPPED_PACKETS + 1) - CHECKSUM if self.size else PACKET

    @property
    def _side(self) -> int:
        """Rows and columns of the averaged feature that fits."""
        return math.isqrt(max(CAPPED_PACKETS * self._packet // self.model.feature_shape[0], 0))

    def _right(self, packets: Tensor) -> Tensor:
        return (_checksums(packets[:, : self._packet]) == packets[:, self._packet :]).all(-1).cpu()


def _checksums(packets: Tensor) -> Tensor:
    """Return the CRC-32 over what matters of each packet, uint8 (..., n) to (..., 4)."""
    rows = (packets & MATTERS).flatten(0, -2).cpu().contiguous().numpy()
    sums = np.array([zlib.crc32(row) for row in rows], ">u4").view(np.uint8)
    return torch.from_numpy(sums).view(*packets.shape[:-1], CHECKSUM).to(packets.device)
