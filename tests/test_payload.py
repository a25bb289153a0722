"""Symbols to bytes and back, held against Python's own integers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanticnn_core.codec.payload import pack, payload_bytes, unpack


@st.composite
def batches(draw) -> tuple[int, torch.Tensor]:
    """Return bits and a batch of symbols uint8 (B, n) of that many bits."""
    bits, count, n = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 70))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return bits, torch.randint(2**bits, (count, n), generator=generator, dtype=torch.uint8)


def slowly_packed(symbols: list[int], bits: int) -> list[int]:
    """Write symbol k into bits b·k … b·k + b − 1 of one long little-endian number."""
    number = sum(symbol << bits * k for k, symbol in enumerate(symbols))
    return list(number.to_bytes(-(-len(symbols) * bits // 8), "little"))


@settings(max_examples=150, deadline=None)
@given(batches())
def test_layout_and_round_trip(batch):
    bits, symbols = batch
    payload = pack(symbols, bits)
    assert payload.dtype == torch.uint8
    assert payload.tolist() == [slowly_packed(row, bits) for row in symbols.tolist()]
    assert torch.equal(unpack(payload, bits, symbols.shape[1]), symbols)


@pytest.mark.parametrize("bits", range(1, 7))
def test_extreme_symbols_at_every_length(bits):
    for n in range(1, 26):
        symbols = torch.full((2, n), 2**bits - 1, dtype=torch.uint8)
        payload = pack(symbols, bits)
        assert payload.shape == (2, payload_bytes(n, bits))
        assert payload.long().sum() == 2 * sum(slowly_packed([2**bits - 1] * n, bits)), "the last byte's rest is zero"
        assert torch.equal(unpack(payload, bits, n), symbols)


@pytest.mark.parametrize(
    ("symbols", "bits", "expected"),
    [(1024, 3, 384), (2048, 3, 768), (6272, 3, 2352), (9408, 3, 3528), (102_400, 3, 38_400), (1, 1, 1), (9, 1, 2)],
)
def test_lengths_of_the_published_codes(symbols, bits, expected):
    assert payload_bytes(symbols, bits) == expected
    assert pack(torch.zeros(1, symbols, dtype=torch.uint8), bits).shape == (1, expected)


def test_strides_do_not_matter():
    symbols = torch.randint(8, (16, 6), dtype=torch.uint8)
    payload = pack(symbols.T, 3)
    assert torch.equal(payload, pack(symbols.T.contiguous(), 3))
    transposed = payload.T.contiguous().T
    assert not transposed.is_contiguous() and torch.equal(unpack(transposed, 3, 16), symbols.T)


@pytest.mark.parametrize("bits", range(1, 7))
def test_a_symbol_out_of_range_is_refused(bits):
    symbols = torch.zeros(2, 11, dtype=torch.uint8)
    symbols[1, 10] = 2**bits
    with pytest.raises(ValueError, match=rf"\[0, {2**bits}\), got {2**bits}"):
        pack(symbols, bits)


@pytest.mark.parametrize("symbols", [torch.zeros(2, 8), torch.zeros(2, 8).long(), torch.zeros(8, dtype=torch.uint8)])
def test_symbols_of_another_kind_are_refused(symbols):
    with pytest.raises(ValueError, match=r"symbols must be uint8 \(B, n\)"):
        pack(symbols, 3)


@pytest.mark.parametrize("payload", [torch.zeros(2, 3), torch.zeros(3, dtype=torch.uint8)])
def test_payloads_of_another_kind_are_refused(payload):
    with pytest.raises(ValueError, match=r"payload must be uint8 \(B, 3\)"):
        unpack(payload, 3, 8)


@pytest.mark.parametrize("length", [2, 4])
def test_a_wrong_length_is_refused_naming_both(length):
    with pytest.raises(ValueError, match=rf"\(B, 3\).*\(1, {length}\)"):
        unpack(torch.zeros(1, length, dtype=torch.uint8), 3, 8)
