"""A stand-in for NeuroMessenger (Wang & Zhang, INFOCOM 2022), of which no mechanism and no code is published.

As the paper describes it: the whole feature leaves, neither quantised further nor coded, in packets that are sent again
while what matters in them is damaged. Here: 8 bits a value, packets of 192 bytes, a CRC-32 over the two most
significant bits of each value, up to four tries; errors in the other bits are accepted. Capped: after `size` bytes
nothing more is sent, and what is missing is zero.
"""

import zlib
from dataclasses import dataclass

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
        sums = [[list(_checksum(packet)) for packet in each] for each in packets.tolist()]
        once = torch.cat([packets, torch.tensor(sums, dtype=torch.uint8, device=packets.device)], 2)
        return Payload(once[:, :, None].expand(-1, -1, TRIES, -1).reshape(len(images), -1))

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Take of each packet the first try whose checksum is right, or the last one, as far as the bytes reach."""
        tries = arrival.payload.data.view(len(arrival.payload), -1, TRIES, PACKET + CHECKSUM)
        values = tries.new_zeros(len(tries), -(-self._feature_bytes // PACKET), PACKET)
        sent = torch.zeros(len(tries), dtype=torch.int64)
        for row, packets in enumerate(tries.tolist()):
            for number, packet in enumerate(packets):
                left = (self.size - int(sent[row])) // (PACKET + CHECKSUM) if self.size else TRIES
                if left < 1:
                    break
                chosen = _first_right(packet[:left])
                values[row, number] = tries[row, number, chosen, :PACKET]
                sent[row] += (chosen + 1) * (PACKET + CHECKSUM)
        data = values.flatten(1)[:, : self._feature_bytes]
        received = Raw(self.model, "feature").receive(Arrival(Payload(data.contiguous()), ber=arrival.ber))
        return Received(received.outputs, sent=sent)

    @property
    def _feature_bytes(self) -> int:
        channels, height, width = self.model.feature_shape
        return channels * height * width

    def _affordable(self, packets: int) -> int:
        return min(packets, self.size // (PACKET + CHECKSUM)) if self.size else packets


def _checksum(packet: list[int]) -> bytes:
    return zlib.crc32(bytes(each & MATTERS for each in packet)).to_bytes(CHECKSUM)


def _first_right(tries: list[list[int]]) -> int:
    right = (_checksum(each[:PACKET]) == bytes(each[PACKET:]) for each in tries)
    return next((number for number, good in enumerate(right) if good), len(tries) - 1)
