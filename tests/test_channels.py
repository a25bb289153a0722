"""The binary symmetric channel, held against the binomial distribution and against itself on packed bytes."""

import math

import pytest
import torch

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.channels.bits import random_ber
from semanticnn_core.codec.payload import pack, unpack

SIGMAS = 4


def assert_share(hits: torch.Tensor | float, total: int, chance: float) -> None:
    """Check that `hits` of `total` agree with a probability within four standard deviations."""
    deviation = math.sqrt(chance * (1 - chance) / total)
    gap = (torch.as_tensor(hits, dtype=torch.float64) / total - chance).abs().max()
    assert gap <= SIGMAS * deviation, f"{gap / deviation:.1f} standard deviations off {chance:g}"


def bit_counts(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Return for each of `bits` positions how many words have that bit set."""
    return torch.stack([((words.long() >> bit) & 1).sum() for bit in range(bits)])


@pytest.mark.parametrize("ber", [1e-3, 0.01, 0.05, 0.5])
def test_every_bit_of_a_byte_flips_at_the_rate(ber):
    flips = BinarySymmetric(ber, 0)(torch.zeros(200, 500, dtype=torch.uint8))
    assert_share(bit_counts(flips, 8), flips.numel(), ber)


@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("ber", [0.01, 0.05, 0.5])
def test_every_bit_of_a_code_word_flips_at_the_rate(bits, ber):
    flips = BinarySymmetric(ber, 1).on_symbols(torch.zeros(100, 10, 50, dtype=torch.long), bits)
    assert_share(bit_counts(flips, bits), flips.numel(), ber)
    assert int(flips.max()) < 2**bits


@pytest.mark.parametrize("ber", [1e-3, 0.01, 0.05])
def test_symbol_error_rate_of_three_bits(ber):
    symbols = torch.randint(8, (100, 1000), generator=torch.Generator().manual_seed(0))
    chance = 1 - (1 - ber) ** 3
    assert_share((BinarySymmetric(ber, 2).on_symbols(symbols, 3) != symbols).sum(), symbols.numel(), chance)
    received = unpack(BinarySymmetric(ber, 2)(pack(symbols.byte(), 3)), 3, 1000)
    assert_share((received != symbols).sum(), symbols.numel(), chance)


@pytest.mark.parametrize("ber", [0.02, 0.2, 0.5])
def test_flip_patterns_on_symbols_and_on_packed_bytes_are_the_same_distribution(ber):
    bits, n = 3, 1000
    symbols = torch.randint(2**bits, (100, n), generator=torch.Generator().manual_seed(0))
    direct = BinarySymmetric(ber, 3).on_symbols(symbols, bits) ^ symbols
    packed = unpack(BinarySymmetric(ber, 4)(pack(symbols.byte(), bits)), bits, n).long() ^ symbols
    for patterns in (direct, packed):
        counts = patterns.flatten().bincount(minlength=2**bits)
        for pattern, count in enumerate(counts.tolist()):
            ones = pattern.bit_count()
            assert_share(count, symbols.numel(), ber**ones * (1 - ber) ** (bits - ones))


def test_errors_do_not_depend_on_what_is_sent_or_on_their_neighbours():
    words = torch.randint(256, (200, 500), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    zeros = torch.zeros_like(words)
    flips = BinarySymmetric(0.1, 5)(zeros)
    assert torch.equal(BinarySymmetric(0.1, 5)(words) ^ words, flips)
    both = (flips[:, 1:] & flips[:, :-1]) & 1  # neighbouring bytes hit in the same bit
    assert_share(both.sum(), both.numel(), 0.1**2)


def test_each_sample_has_its_own_rate():
    rates = torch.tensor([0.0, 0.01, 0.1, 0.5])
    flips = BinarySymmetric(rates, 0)(torch.zeros(4, 20_000, dtype=torch.uint8))
    on_symbols = BinarySymmetric(rates, 0).on_symbols(torch.zeros(4, 20_000, dtype=torch.long), 3)
    assert not flips[0].any() and not on_symbols[0].any()
    for row, rate in enumerate(rates.tolist()):
        assert_share(bit_counts(flips[row], 8), 20_000, rate)
        assert_share(bit_counts(on_symbols[row], 3), 20_000, rate)


def test_without_errors_nothing_changes():
    payload = torch.arange(256, dtype=torch.uint8).repeat(4, 50)
    channel = BinarySymmetric(0.0)
    assert torch.equal(channel(payload), payload)
    assert torch.equal(channel.on_symbols(payload.long() % 64, 6), payload.long() % 64)


def test_a_seed_fixes_the_errors_and_the_input_stays_as_it_was():
    payload = torch.zeros(4, 1000, dtype=torch.uint8)
    first, second = BinarySymmetric(0.1, 7), BinarySymmetric(0.1, torch.Generator().manual_seed(7))
    once = first(payload)
    assert torch.equal(once, second(payload))
    assert not torch.equal(once, first(payload)), "a channel goes on drawing"
    assert not torch.equal(once, BinarySymmetric(0.1, 8)(payload))
    assert not payload.any()


@pytest.mark.parametrize("ber", [-0.01, 0.51, math.nan, torch.tensor([0.1, 0.7])])
def test_a_rate_out_of_range_is_refused_by_name(ber):
    with pytest.raises(ValueError, match=r"ber must be in \[0, 0.5\]"):
        BinarySymmetric(ber)


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"ber.*\(2, 3\)"):
        BinarySymmetric(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="3 rates for 4 samples"):
        BinarySymmetric(torch.zeros(3))(torch.zeros(4, 5, dtype=torch.uint8))
    for payload in (torch.zeros(4, 5), torch.zeros(5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"payload must be uint8 \(B, n\)"):
            BinarySymmetric(0.1)(payload)


def test_random_rates_are_log_uniform():
    rates = random_ber(1e-4, 5e-2, 20_000, torch.Generator().manual_seed(0))
    assert rates.shape == (20_000,) and float(rates.min()) >= 1e-4 and float(rates.max()) <= 5e-2
    for share in (0.1, 0.5, 0.9):
        assert_share((rates < 1e-4 * 500**share).sum(), len(rates), share)
