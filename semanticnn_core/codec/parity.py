"""A systematic low-density parity-check code that a microcontroller encodes with rotations and exclusive-ors.

Data and parity are 32-bit words, little-endian as the payload is. Each data word is rotated and added to a few rows of
checks; the parity words are the running sums of the rows (an irregular repeat-accumulate code: Jin, Khandekar &
McEliece, 2000; quasi-cyclic, so that one rotation serves 32 checks).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

WORD = 32
"""Bits that are rotated together."""
DEGREES = (3, 3, 6)
"""How many checks a data word's bits meet, word after word: a third of them many, which starts the decoding off."""
TRIES = 60
"""Draws a word is given to find a place without short cycles."""


@dataclass(frozen=True)
class ParityCode:
    """The code of so many data and parity bytes; the same on every machine.

    parity_bytes is a multiple of 4; data_bytes need not be: what a last word lacks counts as zeros that are not sent.
    """

    data_bytes: int
    parity_bytes: int

    @property
    def words(self) -> int:
        """Data words."""
        return -(-self.data_bytes // 4)

    @property
    def rows(self) -> int:
        """Parity words."""
        return self.parity_bytes // 4

    @cached_property
    def edges(self) -> Tensor:
        """Which rows each word is added to, after which rotation to the left: int64 (edges, 3) of word, row, shift."""
        return torch.tensor(_edges(self.words, self.rows))

    def encode(self, data: Tensor) -> Tensor:
        """Return the parity bytes, uint8 (B, parity_bytes), of data bytes uint8 (B, data_bytes)."""
        words = F.pad(data, (0, 4 * self.words - self.data_bytes)).contiguous().view(torch.int32)
        words = words.long() & 0xFFFFFFFF
        word, row, shift = self.edges.to(data.device).T
        turned = words[:, word] << shift
        turned = (turned | turned >> WORD) & 0xFFFFFFFF
        sums = words.new_zeros(len(data), self.rows)
        for each in range(self.rows):  # an exclusive-or has no scatter
            sums[:, each] = _sum(turned[:, row == each])
            if each:
                sums[:, each] ^= sums[:, each - 1]
        carry = sums[:, -1:] << 1  # into the first row, from the last row's lower bits
        for step in (1, 2, 4, 8, 16):
            carry ^= carry << step
        return (sums ^ carry).to(torch.int32).view(torch.uint8)

    @cached_property
    def checks(self) -> tuple[Tensor, Tensor]:
        """The code as a graph: for every edge the bit and the check it joins, int64 (E,) each, by check.

        Bits 0 … 32·words − 1 are the data's, then come the parity's; check c is the one that parity bit c closes.
        """
        word, row, shift = self.edges.T[:, :, None]
        bit = torch.arange(WORD)
        data, rows = WORD * self.words, WORD * self.rows
        parity = torch.arange(rows)
        before = parity - WORD  # the bit of the row before; from the first row back to the last, one bit lower
        before[:WORD] = rows - WORD - 1 + bit
        bits = [(word * WORD + bit).flatten(), data + parity, data + before[1:]]
        checks = [(row * WORD + (bit + shift) % WORD).flatten(), parity, parity[1:]]
        order = torch.cat(checks).argsort(stable=True)
        return torch.cat(bits)[order], torch.cat(checks)[order]


@lru_cache(maxsize=64)
def parity_code(data_bytes: int, parity_bytes: int) -> ParityCode:
    """Return the code of so many bytes, made once."""
    return ParityCode(data_bytes, parity_bytes)


def _sum(words: Tensor) -> Tensor:
    """Return the exclusive-or of words (B, n), (B,)."""
    total = words.new_zeros(len(words))
    for word in words.T:
        total ^= word
    return total


def _edges(words: int, rows: int) -> list[tuple[int, int, int]]:
    """Return (word, row, shift) for every edge, rows evenly filled, cycles of four edges avoided where they can be.

    Random's floats alone are the same in every version of Python, so only they are drawn.
    """
    random, load, edges = Random(f"{words} {rows}"), [0] * rows, []
    met = {(row, row + 1): {0} for row in range(rows - 1)} | {(0, rows - 1): {WORD - 1}}  # by the parity bits
    for word in range(words):
        degree = min(DEGREES[word % len(DEGREES)], rows)
        chosen, fewest = [], None
        for _ in range(TRIES):
            order = sorted(range(rows), key=lambda row: load[row] + random.random())
            places = sorted((row, int(random.random() * WORD)) for row in order[:degree])
            pairs = [((a, b), (to - at) % WORD) for i, (b, to) in enumerate(places) for a, at in places[:i]]
            cycles = sum(turn in met.get(rows_, ()) for rows_, turn in pairs)
            if fewest is None or cycles < fewest:
                chosen, fewest, best = places, cycles, pairs
            if not cycles:
                break
        for rows_, turn in best:
            met.setdefault(rows_, set()).add(turn)
        for row, shift in chosen:
            load[row] += 1
            edges.append((word, row, shift))
    return edges
