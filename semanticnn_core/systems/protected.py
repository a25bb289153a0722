"""Any system behind an error-correcting code, or behind a checksum with retransmission; every byte counts.

`Protected` corrects with the package's own systematic repeat-accumulate code and belief propagation, which carries what
5G's low-density parity-check code carries (data/results/codes.csv): of 384 bytes 208 are data at 5 % bit errors, 304 at
1 %, and hardly a message is lost. What it decides is taken at face value, also where it fails.
`Retransmitted` sends again until a checksum is right, up to a number of times. Its receiver keeps what came before: the
majority of three or more copies may be right where none of them is (Sindhu, 1977, retransmission with memory).
"""

import zlib
from collections.abc import Callable, Mapping
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
    """A system whose bytes leave with a CRC-32, again and again until it is right; at last the majority is taken."""

    name: str
    tries: int = 7
    """How often, at most: the usual limit of a Wi-Fi station."""

    def send(self, images: Tensor) -> Payload:
        """Return `tries` copies of the bytes of images, each with its checksum; `Received.sent` says what was used."""
        payload = self.inner.send(images)
        rows = zip(payload.data.tolist(), payload.length.tolist(), strict=True)
        sums = torch.tensor([list(_checksum(row[:length])) for row, length in rows], dtype=torch.uint8)
        sums = sums.to(payload.data.device)
        once = torch.cat([payload.data, sums], 1)
        return Payload(once.repeat(1, self.tries), local={**payload.local, "length": payload.length})

    def receive(self, arrival: Arrival) -> Received:
        """Take the first bytes whose checksum is right, one copy's or the majority's, or else the majority of all."""
        local = dict(arrival.payload.local)
        length = local.pop("length")

        def right(rows: Tensor) -> Tensor:
            """Return which of rows (B, n) end with the checksum of what they carry."""
            sized = zip(rows.tolist(), length.tolist(), strict=True)
            return torch.tensor([_checksum(row[:size]) == bytes(row[-CHECKSUM:]) for row, size in sized])

        taken, used = combined(arrival.payload.data.unflatten(1, (self.tries, -1)), right)
        data = taken[:, :-CHECKSUM].contiguous()
        received = self.inner.receive(Arrival(Payload(data, length, local), ber=arrival.ber))
        return replace(received, sent=used * (length + CHECKSUM))


def combined(copies: Tensor, right: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return what a receiver takes of copies of the same bytes, uint8 (B, k, n) to (B, n), and after how many (B,).

    It asks after each copy whether that is right, and after an odd number of them whether their majority is. Where
    nothing ever is, it takes the majority of all, of an even number the first ones'.
    right: says of bytes (B, n) which are right, bool (B,).
    """
    most = copies.shape[1]
    taken = majority(copies[:, : most - 1 + most % 2])
    used = torch.full((len(copies),), most, dtype=torch.int64)
    for count in range(most, 0, -1):
        candidates = [majority(copies[:, :count])] * (count % 2) + [copies[:, count - 1]] * (count > 1)
        for each in candidates:
            good = right(each)
            taken = torch.where(good.to(taken.device)[:, None], each, taken)
            used = torch.where(good, count, used)
    return taken, used


def majority(copies: Tensor) -> Tensor:
    """Return the bytes, uint8 (B, n), each of whose bits most of an odd number of copies (B, k, n) have."""
    shifts = torch.arange(8, device=copies.device)
    votes = (copies[..., None] >> shifts & 1).sum(1)  # (B, n, 8)
    return ((2 * votes > copies.shape[1]).long() << shifts).sum(-1).byte()


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
