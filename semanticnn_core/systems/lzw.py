"""LZW (Welch, 1984): a stream of symbols as codes of growing width, with a dictionary that both sides build alike."""

from collections.abc import Sequence


def lzw_codes(symbols: Sequence[int], alphabet: int) -> list[int]:
    """Return the bits, lowest first within a code, that stand for symbols in [0, alphabet)."""
    table = {(each,): each for each in range(alphabet)}
    bits: list[int] = []
    known: tuple[int, ...] = ()
    for symbol in symbols:
        longer = (*known, symbol)
        if longer in table:
            known = longer
            continue
        bits += _bits(table[known], len(table))
        table[longer] = len(table)
        known = (symbol,)
    return bits + (_bits(table[known], len(table)) if known else [])


def lzw_symbols(bits: Sequence[int], alphabet: int, count: int) -> list[int]:
    """Return up to `count` symbols of a stream; it ends early where a damaged code makes no sense."""
    table = [(each,) for each in range(alphabet)]
    symbols: list[int] = []
    before: tuple[int, ...] = ()
    place = 0
    while len(symbols) < count:
        entries = len(table) + bool(before)  # the encoder is one entry ahead
        width = (entries - 1).bit_length()
        if place + width > len(bits):
            break
        code = sum(bit << at for at, bit in enumerate(bits[place : place + width]))
        place += width
        if code < len(table):
            word = table[code]
        elif code == len(table) and before:
            word = (*before, before[0])
        else:
            break
        if before:
            table.append((*before, word[0]))
        symbols += word
        before = word
    return symbols[:count]


def _bits(code: int, entries: int) -> list[int]:
    return [code >> at & 1 for at in range((entries - 1).bit_length())]
