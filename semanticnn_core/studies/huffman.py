"""Codes of words that need no separator: Huffman's, and the fixed-length one that the codec uses."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class PrefixCode:
    """One word of `0` and `1` for every symbol, none the beginning of another."""

    words: tuple[str, ...]

    def encode(self, symbols: Sequence[int]) -> str:
        """Return the words of symbols in a row."""
        return "".join([self.words[symbol] for symbol in symbols])

    def decode(self, bits: str) -> list[int]:
        """Return the symbols of bits, damaged or not; a word cut off at the end is dropped."""
        symbols = {word: symbol for symbol, word in enumerate(self.words)}
        decoded, word = [], ""
        for bit in bits:
            word += bit
            if word in symbols:
                decoded.append(symbols[word])
                word = ""
        return decoded


def fixed_length(symbols: int) -> PrefixCode:
    """Return the code whose words all have ⌈log2 symbols⌉ bits."""
    bits = max((symbols - 1).bit_length(), 1)
    return PrefixCode(tuple(f"{symbol:0{bits}b}" for symbol in range(symbols)))


def huffman(counts: Sequence[float]) -> PrefixCode:
    """Return Huffman's code, the shortest on average, for symbols that occur this often (at least two symbols)."""
    if len(counts) < 2:
        raise ValueError(f"a code needs at least two symbols, got {len(counts)}")
    ticket = count()  # breaks ties, so that lists of symbols are never compared
    heap = [(often, next(ticket), [symbol]) for symbol, often in enumerate(counts)]
    words = [""] * len(counts)
    heapq.heapify(heap)
    while len(heap) > 1:
        rarest, second = heapq.heappop(heap), heapq.heappop(heap)
        for bit, (_, _, symbols) in zip("01", (rarest, second), strict=True):
            for symbol in symbols:
                words[symbol] = bit + words[symbol]
        heapq.heappush(heap, (rarest[0] + second[0], next(ticket), rarest[2] + second[2]))
    return PrefixCode(tuple(words))
