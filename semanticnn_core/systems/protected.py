"""Any system behind an error-correcting code, or behind a checksum with retransmission; every byte counts.

`Protected` corrects with the package's own systematic repeat-accumulate code and belief propagation, which carries what
5G's low-density parity-check code carries (data/results/codes.csv): of 384 bytes 208 are data at 5 % bit errors, 304 at
1 %, and hardly a message is lost. What it decides is taken at face value, also where it fails.
`Retransmitted` sends again until a checksum is right, up to a number of times.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.codec.belief import CERTAIN, beliefs
from semanticnn_core.codec.parity import ParityCode, parity_code
from semanticnn_core.systems.base import OffloadSystem, Received
from semanticnn_core.tasks.split import SplitModel

BELIEVED = 1e-5
"""The bit error rate that the system inside decodes with after correction."""
CHECKSUM = 4
"""Bytes of a CRC-32."""


@dataclass(frozen=True)
class Around:
    """A system around another one, whose network and settings it has."""

    inner: OffloadSystem

    @property
    def model(self) -> SplitModel:
        """The network of the system inside."""
        return self.inner.model

    @property
    def settings(self) -> Mapping[str, object]:
        """Those of the system inside."""
        return self.inner.settings


@dataclass(frozen=True)
class Protected(Around):
    """A system whose bytes, at most `data_bytes`, leave with parity: `size` bytes in all, the same for every image.

    A system whose payloads are shorter must bear zeros behind them, as a JPEG decoder does.
    """

    data_bytes: int
    size: int
    name: str

    def __post_init__(self) -> None:
        parity = self.size - self.data_bytes
        if self.data_bytes < 1 or parity < 4 or parity % 4:
            raise ValueError(f"size less data_bytes must be 4, 8, 12, … bytes of parity, got {parity}")

    @property
    def code(self) -> ParityCode:
        """The error-correcting code."""
        return parity_code(self.data_bytes, self.size - self.data_bytes)

    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W) with their parity."""
        payload = self.inner.send(images)
        if payload.data.shape[1] > self.data_bytes:
            raise ValueError(f"{self.inner.name} sends {payload.data.shape[1]} bytes, only {self.data_bytes} fit")
        data = torch.nn.functional.pad(payload.data, (0, self.data_bytes - payload.data.shape[1]))
        return Payload(torch.cat([data, self.code.encode(data)], 1), local=payload.local)

    def receive(self, arrival: Arrival) -> Received:
        """Correct what arrived, and let the system inside answer; of shorter payloads it gets zeros at the end."""
        decided = corrected(self.code, arrival.payload.data, arrival.estimated_ber, arrival.present)
        return self.inner.receive(Arrival(Payload(decided, local=arrival.payload.local), ber=BELIEVED))


@dataclass(frozen=True)
class Retransmitted(Around):
    """A system whose bytes leave with a CRC-32, again and again until it is right; the last try is taken as it is."""

    name: str
    tries: int = 8

    def send(self, images: Tensor) -> Payload:
        """Return `tries` copies of the bytes of images, each with its checksum; `Received.sent` says what was used."""
        payload = self.inner.send(images)
        rows = zip(payload.data.tolist(), payload.length.tolist(), strict=True)
        sums = torch.tensor([list(_checksum(row[:length])) for row, length in rows], dtype=torch.uint8)
        sums = sums.to(payload.data.device)
        once = torch.cat([payload.data, sums], 1)
        return Payload(once.repeat(1, self.tries), local={**payload.local, "length": payload.length})

    def receive(self, arrival: Arrival) -> Received:
        """Take the first copy whose checksum is right, or the last one."""
        local = dict(arrival.payload.local)
        length = local.pop("length")
        copies = arrival.payload.data.unflatten(1, (self.tries, -1))
        rows = zip(copies.tolist(), length.tolist(), strict=True)
        chosen = torch.tensor([self._first_right(row, size) for row, size in rows])
        data = copies[torch.arange(len(copies)), chosen, :-CHECKSUM].contiguous()
        received = self.inner.receive(Arrival(Payload(data, length, local), ber=arrival.ber))
        return replace(received, sent=(chosen + 1) * (length + CHECKSUM))

    def _first_right(self, copies: list[list[int]], size: int) -> int:
        right = (_checksum(each[:size]) == bytes(each[-CHECKSUM:]) for each in copies)
        return next((number for number, good in enumerate(right) if good), self.tries - 1)


def _checksum(data: list[int]) -> bytes:
    return zlib.crc32(bytes(data)).to_bytes(CHECKSUM)


def corrected(code: ParityCode, received: Tensor, ber: float | Tensor, present: Tensor | None = None) -> Tensor:
    """Return the data bytes, uint8 (B, data_bytes), that belief propagation decides for received bytes (B, n).

    ber: the rate that the receiver believes in. present: which bytes arrived, bool (B, n); all when left out.
    """
    shifts = torch.arange(8, device=received.device)
    ones = (received[:, :, None] >> shifts & 1).bool()
    rate = torch.as_tensor(ber, device=received.device, dtype=torch.float32).reshape(-1, 1, 1)
    odds = (torch.log1p(-rate) - rate.log()).clamp(-CERTAIN, CERTAIN)
    llr = torch.where(ones, -odds, odds)
    llr = llr if present is None else llr * present[:, :, None]
    filled = llr.new_full((len(received), 4 * code.words - code.data_bytes, 8), CERTAIN)
    whole = torch.cat([llr[:, : code.data_bytes], filled, llr[:, code.data_bytes :]], 1)
    decided = beliefs(code, received.device)(whole.flatten(1))[:, : 8 * code.data_bytes] < 0
    return (decided.unflatten(1, (-1, 8)) << shifts).sum(-1).byte()
