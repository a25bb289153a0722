"""What crosses a channel, and what every channel offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

INDEPENDENT = "independent"
"""What tables with a column `link` call links whose bits flip on their own, at a rate that is known."""
ASSUMED_BER = 0.01
"""The bit error rate that a receiver believes in when nothing is known of it: the middle of what codecs train for."""


@dataclass(frozen=True)
class Payload:
    """What leaves the device for a batch of images.

    data: uint8 (B, n), filled with zeros behind each sample's own length.
    length: bytes used by each sample, int64 (B,); all n when left out.
    local: what stays on the device (a feature, local logits), by name; carried along in simulations, never counted.
    Raises ValueError on another type or shape.
    """

    data: Tensor
    length: Tensor | None = None
    local: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data.dtype != torch.uint8 or self.data.dim() != 2:
            raise ValueError(f"payload must be uint8 (B, n), got {self.data.dtype} {tuple(self.data.shape)}")
        count, most = self.data.shape
        if self.length is None:
            object.__setattr__(self, "length", torch.full((count,), most))
        elif self.length.shape != (count,) or ((self.length < 0) | (self.length > most)).any():
            raise ValueError(f"length must hold {count} numbers of bytes in [0, {most}], got {self.length.tolist()}")

    def __len__(self) -> int:
        return len(self.data)

    @property
    def used(self) -> Tensor:
        """Which bytes belong to the payload, bool (B, n)."""
        return torch.arange(self.data.shape[1], device=self.data.device) < self.length.to(self.data.device)[:, None]


@dataclass(frozen=True)
class Arrival:
    """What reaches the edge of a payload, and what the receiver knows of the way it came.

    payload: the bytes, damaged or not.
    present: which bytes arrived at all, bool (B, n); None means all. What is lost is unknown, not zero.
    ber: the bit error rate that the receiver believes in, a number or one a sample (B,); None where it must do without.
    """

    payload: Payload
    present: Tensor | None = None
    ber: float | Tensor | None = None

    def __post_init__(self) -> None:
        if self.ber is not None:
            check_ber(self.ber, len(self.payload))
        if self.present is not None and self.present.shape != self.payload.data.shape:
            shapes = tuple(self.present.shape), tuple(self.payload.data.shape)
            raise ValueError(f"present must have the payload's shape {shapes[1]}, got {shapes[0]}")

    @property
    def estimated_ber(self) -> float | Tensor:
        """The rate to decode with: the known one, or `ASSUMED_BER`."""
        return ASSUMED_BER if self.ber is None else self.ber

    def cut(self, length: int) -> "Arrival":
        """Return the arrival of which only the first `length` bytes came: the tail is lost."""
        most = self.payload.data.shape[1]
        if not 0 <= length <= most:
            raise ValueError(f"length must be in [0, {most}], the bytes that were sent; got {length}")
        came = (torch.arange(most, device=self.payload.data.device) < length).expand_as(self.payload.data)
        return replace(self, present=came if self.present is None else self.present & came)


class Channel(Protocol):
    """Bytes in, damaged bytes out."""

    def __call__(self, payload: Payload) -> Arrival: ...


class BitChannel(Protocol):
    """A channel that training can use: it says which bits arrive wrong, with the same statistics."""

    @property
    def ber(self) -> float | Tensor:
        """The rate that the receiver believes in."""
        ...

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        """Return which of so many bits of each of `count` payloads arrive wrong, bool (count, bits)."""
        ...


@dataclass(frozen=True)
class Mistaken:
    """A channel, for training, of whose rate the receiver has another idea: `ber`, one a sample (B,)."""

    channel: BitChannel
    ber: Tensor

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        """Return which bits arrive wrong, as the channel itself has them."""
        return self.channel.wrong_bits(count, bits, device)


class Link(Protocol):
    """A kind of channel that can be drawn again and again: one point of a sweep.

    settings: its columns in tables, for instance {"ber": 0.01}.
    """

    @property
    def settings(self) -> Mapping[str, object]: ...

    def channel(self, seed: int) -> Channel: ...


@dataclass(frozen=True)
class Believed:
    """A link of which sender and receiver believe that it has another rate."""

    link: Link
    ber: float = ASSUMED_BER

    @property
    def settings(self) -> dict[str, object]:
        return {**self.link.settings, "link": "rate unknown"}

    def channel(self, seed: int) -> Channel:
        """Return the link's own channel of a seed, whose arrivals carry the believed rate."""
        channel = self.link.channel(seed)
        return lambda payload: replace(channel(payload), ber=self.ber)


def check_ber(ber: float | Tensor, count: int | None = None) -> None:
    """Refuse a bit error rate outside [0, 0.5]; a tensor must hold one rate per sample, (B,), of `count` samples."""
    values = torch.as_tensor(ber)
    if values.dim() > 1:
        raise ValueError(f"ber must be a number or one number per sample (B,), got shape {tuple(values.shape)}")
    wrong = values[~((values >= 0) & (values <= 0.5))]
    if wrong.numel():
        raise ValueError(f"ber must be in [0, 0.5], got {float(wrong.flatten()[0]):g}")
    if count is not None and values.numel() not in (1, count):
        raise ValueError(f"ber must be a number or one for each of {count} payloads, got {values.numel()}")
