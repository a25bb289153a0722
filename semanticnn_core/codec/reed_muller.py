"""Five bits that survive: the first-order Reed–Muller (16, 5) code, decoded to the nearest code word.

Its words differ in at least 8 of 16 bits, so any 3 flips are corrected. At a bit error rate of 5 % it fails at most
0.7 % of the time, where two bare bytes would be hit 56 % of the time.
"""

import torch
from torch import Tensor

from semanticnn_core.codec.payload import pack, unpack


def _words() -> Tensor:
    message, place = torch.arange(32)[:, None], torch.arange(16)
    parity = message & 1
    for bit in range(4):
        parity = parity ^ (message >> (bit + 1) & place >> bit & 1)
    return parity


WORDS = _words()
"""The bits of the 32 code words, int64 (32, 16): bit p of word m is m₀ ⊕ m₁p₀ ⊕ m₂p₁ ⊕ m₃p₂ ⊕ m₄p₃."""


def protect(numbers: Tensor) -> Tensor:
    """Return the code words, uint8 (B, 2), of numbers (B,) in [0, 32)."""
    return pack(WORDS[numbers.cpu().long()].byte(), 1).to(numbers.device)


def recover(received: Tensor, present: Tensor | None = None) -> Tensor:
    """Return the numbers int64 (B,) whose code words are nearest to bytes uint8 (B, 2); the smaller of equals.

    present: which bytes arrived, bool (B, 2); only their bits are compared.
    """
    different = unpack(received.cpu(), 1, 16).long()[:, None] != WORDS
    if present is not None:
        different &= present.cpu().repeat_interleave(8, 1)[:, None]
    return different.sum(2).argmin(1).to(received.device)
