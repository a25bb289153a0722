"""Frames: a payload in packets, each behind a header of 16 bytes that survives what the payload does.

A header says version, model, sequence number and part: 29 bits with a checksum, in the second-order Reed–Muller
(128, 29) code, whose words differ in at least 32 bits. It is decoded by Plotkin's construction, the nearest word of the
first-order code at each leaf. What follows it is the payload's own bytes, uncoded and in an order that spreads
neighbours over the packets, so that a lost one leaves no hole. `snn_frame.c` of the firmware writes the same frames.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from semanticnn_core.channels.base import Payload

HEADER = 16
"""Bytes of a header."""
ORDER = 7
"""The code has 2^7 bits."""
FIELDS = {"version": 2, "model": 8, "sequence": 8, "part": 5, "check": 6}
"""Bits of each field."""
VERSION = 1
HASH = 2_654_435_761
"""2^32 over the golden ratio."""
DISTANCE = 32
"""Bits in which any two headers differ at least."""
PARTS = 1 << FIELDS["part"]
"""Most parts of a payload."""
LARGEST = 1400
"""Most bytes of a frame: what fits a packet of an ordinary network."""


@dataclass(frozen=True)
class Header:
    """What a frame says of itself. model: which network and slice; sequence: which image; part: which packet of it."""

    model: int
    sequence: int
    part: int


@dataclass(frozen=True)
class Framing:
    """What both ends agree on.

    model: the codec and slice's number, eight bits. size: bytes of a payload. packet: bytes of a frame, header and
    payload together. key: words that only the two ends know; frames of others are dropped.
    Raises ValueError where a payload would take more parts than a header can count.
    """

    model: int
    size: int
    packet: int = 222
    key: str = ""

    def __post_init__(self) -> None:
        if not HEADER < self.packet <= LARGEST:
            raise ValueError(f"packet must be {HEADER + 1} to {LARGEST} bytes, got {self.packet}")
        if self.parts > PARTS:
            raise ValueError(
                f"{self.size} bytes in packets of {self.packet} take {self.parts} parts, a header counts {PARTS}; "
                "give a larger packet"
            )

    @property
    def share(self) -> int:
        """Bytes of payload in a frame."""
        return self.packet - HEADER

    @property
    def parts(self) -> int:
        """Frames of a payload."""
        return -(-self.size // self.share)

    def frames(self, payload: bytes, sequence: int) -> list[bytes]:
        """Return the frames of a payload."""
        if len(payload) != self.size:
            raise ValueError(f"the payload must have {self.size} bytes, got {len(payload)}")
        spread = np.frombuffer(payload, np.uint8)[spread_order(self.size)].tobytes()
        pieces = [spread[start : start + self.share] for start in range(0, self.size, self.share)]
        headers = [Header(self.model, sequence % 256, part) for part in range(len(pieces))]
        return [protected(header, self.key) + piece for header, piece in zip(headers, pieces, strict=True)]

    def nearest(self, received: bytes) -> tuple[Header, int] | None:
        """Return the header of one of these frames, and how many of its 128 bits arrived wrong: at once, by comparison.

        None where none of them lies within half the code's distance; `recovered` reads those of others too.
        """
        if len(received) < HEADER:
            return None
        differing = _own_words(self) ^ np.frombuffer(received[:HEADER], np.uint64)
        wrong = np.bitwise_count(differing).sum(1)
        best = int(wrong.argmin())
        if wrong[best] >= DISTANCE // 2:
            return None
        return Header(self.model, *divmod(best, self.parts)), int(wrong[best])

    def length(self, part: int) -> int:
        """Return the bytes of payload in a part."""
        return min(self.share, self.size - part * self.share)


@lru_cache(maxsize=8)
def _own_words(framing: Framing) -> np.ndarray:
    """Return all headers of a framing's frames, uint64 (256 · parts, 2), part by part of each sequence number."""
    headers = (Header(framing.model, sequence, part) for sequence in range(256) for part in range(framing.parts))
    words = b"".join(protected(each, framing.key) for each in headers)
    return np.frombuffer(words, np.uint64).reshape(-1, 2)


@lru_cache(maxsize=64)
def spread_order(size: int) -> np.ndarray:
    """Return which byte of a payload leaves at each place: steps of about 0.618 of its length, round and round."""
    step = max((618 * size + 500) // 1000, 1)
    while math.gcd(step, size) > 1:
        step += 1
    return np.arange(size) * step % size


def protected(header: Header, key: str = "") -> bytes:
    """Return a header's 16 bytes."""
    number, used = 0, 0
    values = {"version": VERSION, "model": header.model, "sequence": header.sequence, "part": header.part}
    for name, value in values.items():
        if not 0 <= value < 1 << FIELDS[name]:
            raise ValueError(f"{name} must be in [0, {(1 << FIELDS[name]) - 1}], got {value}")
        number |= value << used
        used += FIELDS[name]
    number |= _check(number) << used
    message = np.array([number >> place & 1 for place in range(sum(FIELDS.values()))], dtype=np.uint8)
    word = np.packbits(_encode(message, ORDER), bitorder="little")
    return (word ^ _pad(key)).tobytes()


def recovered(received: bytes, key: str = "") -> tuple[Header, int] | None:
    """Return the header of a frame, and how many of its 128 bits arrived wrong; None where it is nobody's."""
    if len(received) < HEADER:
        return None
    bits = np.unpackbits(np.frombuffer(received[:HEADER], np.uint8) ^ _pad(key), bitorder="little")
    message, word = _decode(1.0 - 2.0 * bits[None], ORDER)
    number = int(sum(int(bit) << place for place, bit in enumerate(message[0])))
    values, rest = {}, number
    for name, width in FIELDS.items():
        values[name], rest = rest & ((1 << width) - 1), rest >> width
    known = number & ((1 << (sum(FIELDS.values()) - FIELDS["check"])) - 1)
    if values["check"] != _check(known) or values["version"] != VERSION:
        return None
    wrong = int(((word[0] < 0) != bits.astype(bool)).sum())
    return Header(values["model"], values["sequence"], values["part"]), wrong


@lru_cache(maxsize=16)
def _pad(key: str) -> np.ndarray:
    return np.frombuffer(mask(key), np.uint8)


def mask(key: str) -> bytes:
    """Return the 16 bytes that a header is masked with: zeros without a key."""
    return hashlib.sha256(key.encode()).digest()[:HEADER] if key else bytes(HEADER)


def _check(number: int) -> int:
    """Return the check bits of the bits before them: the highest of a product, which no sum of code words keeps."""
    return (number * HASH & 0xFFFFFFFF) >> 32 - FIELDS["check"]


@lru_cache(maxsize=8)
def _words(order: int) -> np.ndarray:
    """Return the words of the linear functions of `order` bits, ±1, (2^order, 2^order)."""
    number = np.arange(1 << order)
    return 1.0 - 2.0 * (np.bitwise_count(number[:, None] & number) & 1)


def _encode(message: np.ndarray, order: int) -> np.ndarray:
    """Return the word, bits (2^order,), of the second-order code: halves u and u ⊕ v, v of the first-order code."""
    if order == 2:
        return message
    v, u = message[:order], _encode(message[order:], order - 1)
    return np.concatenate([u, u ^ _encode_first(v, order - 1)])


def _encode_first(message: np.ndarray, order: int) -> np.ndarray:
    """Return the word of the first-order code: a constant, then a factor for each bit of the place."""
    place = int(sum(int(bit) << number for number, bit in enumerate(message[1:])))
    return (_words(order)[place] < 0).astype(np.uint8) ^ message[0]


def _decode(soft: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return messages and words, ±1, of received values (B, 2^order), positive for 0."""
    if order == 2:
        bits = (soft < 0).astype(np.uint8)
        return bits, 1.0 - 2.0 * bits
    one, other = np.split(soft, 2, axis=1)
    v, v_word = _decode_first(np.sign(one * other) * np.minimum(abs(one), abs(other)), order - 1)
    u, u_word = _decode(one + v_word * other, order - 1)
    return np.concatenate([v, u], 1), np.concatenate([u_word, u_word * v_word], 1)


def _decode_first(soft: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return messages and words of the first-order code that lie nearest."""
    words = _words(order)
    like = soft @ words
    best = abs(like).argmax(1)
    sign = np.where(like[np.arange(len(soft)), best] < 0, -1.0, 1.0)
    message = np.concatenate([(sign < 0)[:, None], best[:, None] >> np.arange(order) & 1], 1).astype(np.uint8)
    return message, sign[:, None] * words[best]


def joined(parts: dict[int, bytes], framing: Framing) -> tuple[Payload, torch.Tensor]:
    """Return one payload of the parts that came, zeros elsewhere, and which bytes are present, bool (1, size)."""
    data, present = np.zeros(framing.size, np.uint8), np.zeros(framing.size, bool)
    for part, piece in parts.items():
        places = spread_order(framing.size)[part * framing.share :][: len(piece)]
        data[places], present[places] = np.frombuffer(piece, np.uint8), True
    return Payload(torch.from_numpy(data)[None]), torch.from_numpy(present)[None]
