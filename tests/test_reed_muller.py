"""The place word: distances, correction and failure rate against the code's own theory."""

import itertools
import math

import pytest
import torch

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec.reed_muller import WORDS, protect, recover

ALL = torch.arange(32)


def test_any_two_words_differ_in_eight_bits_or_all():
    distances = {int((a != b).sum()) for a, b in itertools.combinations(WORDS, 2)}
    assert distances == {8, 16}


def test_sums_of_words_are_words():
    words = {tuple(word.tolist()) for word in WORDS}
    assert all(tuple((a ^ b).tolist()) in words for a, b in itertools.combinations(WORDS, 2))


def test_three_flips_of_sixteen_are_corrected_wherever_they_fall():
    sent = protect(ALL)
    assert sent.shape == (32, 2) and sent.dtype == torch.uint8
    for flips in range(4):
        for places in itertools.combinations(range(16), flips):
            mask = sum(1 << place for place in places)
            damaged = sent ^ torch.tensor([mask & 255, mask >> 8], dtype=torch.uint8)
            assert torch.equal(recover(damaged), ALL), places


@pytest.mark.parametrize("ber", [0.05, 0.1])
def test_it_fails_as_rarely_as_counting_says(ber):
    """A pattern is decoded rightly when it is its coset's chosen leader; the share of such patterns is exact."""
    patterns = torch.arange(2**16)
    received = torch.stack([patterns & 255, patterns >> 8], 1).byte()
    flips = sum(patterns >> bit & 1 for bit in range(16)).double()
    chance = ber**flips * (1 - ber) ** (16 - flips)
    fails = float(chance[recover(received) != 0].sum())  # word 0 was sent
    assert fails <= sum(math.comb(16, k) * ber**k * (1 - ber) ** (16 - k) for k in range(4, 17))
    numbers = torch.zeros(20_000, dtype=torch.long)
    measured = float((recover(BinarySymmetric(ber, 0)(protect(numbers))) != 0).double().mean())
    assert measured == pytest.approx(fails, abs=4 * math.sqrt(fails / len(numbers)))
    if ber == 0.05:
        assert fails < 0.0071
        assert 1 - (1 - ber) ** 16 > 0.55  # what two bare bytes would suffer
