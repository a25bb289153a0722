"""A stand-in for NeuroMessenger (Wang & Zhang, INFOCOM 2022), of which no mechanism and no code is published.

As the paper describes it: the whole feature leaves, neither quantised further nor coded, in packets that are sent again
while what matters in them is damaged. Here: 8 bits a value, packets of 192 bytes, a CRC-32 over the two most
significant bits of each value, up to four tries; errors in the other bits are accepted. Capped: after `size` bytes
nothing more is sent, and what is missing is zero.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.systems.base import Received
from semanticnn_core.systems.raw import Raw
from semanticnn_core.tasks.split import SplitModel

PACKET, CHECKSUM, TRIES = 192, 4, 4
MATTERS = 0b11000000


@dataclass(frozen=True)
class NeuroMessenger:
    """The 8-bit feature in packets with checksums over their most significant bits."""

    model: SplitModel
    size: int | None = None
    """Bytes after which nothing more is sent; None sends all."""

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
        data = Raw(self.model, "feature").send(images).data
        packets = torch.nn.functional.pad(data, (0, -data.shape[1] % PACKET)).unflatten(1, (-1, PACKET))
        packets = packets[:, : self._affordable(packets.shape[1])]
        once = torch.cat([packets, _checksums(packets)], 2)
        return Payload(once[:, :, None].expand(-1, -1, TRIES, -1).reshape(len(images), -1))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Take of each packet the first try whose checksum is right, or the last one, as far as the bytes reach."""
        tries = arrival.payload.data.view(len(arrival.payload), -1, TRIES, PACKET + CHECKSUM)
        right = (_checksums(tries[..., :PACKET]) == tries[..., PACKET:]).all(-1)
        first = torch.where(right.any(-1), right.int().argmax(-1), TRIES - 1)
        values = tries.new_zeros(len(tries), -(-self._feature_bytes // PACKET), PACKET)
        sent = torch.zeros(len(tries), dtype=torch.int64, device=tries.device)
        for number in range(tries.shape[1]):
            left = (self.size - sent) // (PACKET + CHECKSUM) if self.size else torch.full_like(sent, TRIES)
            used = torch.minimum(first[:, number] + 1, left)  # tries
            some = used.nonzero()[:, 0]
            values[some, number] = tries[some, number, used[some] - 1, :PACKET]
            sent += used * (PACKET + CHECKSUM)
        data = values.flatten(1)[:, : self._feature_bytes]
        received = Raw(self.model, "feature").receive(Arrival(Payload(data.contiguous()), ber=arrival.ber))
        return Received(received.outputs, sent=sent.cpu())

    @property
    def _feature_bytes(self) -> int:
        channels, height, width = self.model.feature_shape
        return channels * height * width

    def _affordable(self, packets: int) -> int:
        return min(packets, self.size // (PACKET + CHECKSUM)) if self.size else packets


def _checksums(packets: Tensor) -> Tensor:
    """Return the CRC-32 over what matters of each packet, uint8 (..., 192) to (..., 4)."""
    rows = (packets & MATTERS).flatten(0, -2).cpu().contiguous().numpy()
    sums = np.array([zlib.crc32(row) for row in rows], ">u4").view(np.uint8)
    return torch.from_numpy(sums).view(*packets.shape[:-1], CHECKSUM).to(packets.device)
