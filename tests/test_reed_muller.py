"""The word of a window's number: distances, correction and failure rate against the code's own theory."""

import itertools
import math

import pytest
import torch

from semanticnn_core.channels import BinarySymmetric, Payload
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
@pytest.mark.slow
def test_it_fails_as_rarely_as_counting_says(ber):
    """A pattern is decoded rightly when it is its coset's chosen leader; the share of such patterns is exact."""
    patterns = torch.arange(2**16)
    received = torch.stack([patterns & 255, patterns >> 8], 1).byte()
    flips = sum(patterns >> bit & 1 for bit in range(16)).double()
    chance = ber**flips * (1 - ber) ** (16 - flips)
    fails = float(chance[recover(received) != 0].sum())  # word 0 was sent
    assert fails <= sum(math.comb(16, k) * ber**k * (1 - ber) ** (16 - k) for k in range(4, 17))
    numbers = torch.zeros(20_000, dtype=torch.long)
    arrived = BinarySymmetric(ber, 0)(Payload(protect(numbers))).payload.data
    measured = float((recover(arrived) != 0).double().mean())
    assert measured == pytest.approx(fails, abs=4 * math.sqrt(fails / len(numbers)))
    if ber == 0.05:
        assert fails < 0.0071
        assert 1 - (1 - ber) ** 16 > 0.55  # what two bare bytes would suffer


@pytest.mark.parametrize("lost", [0, 1])
def test_of_one_byte_alone_the_nearest_word_is_taken_and_the_other_does_not_count(lost):
    sent, present = protect(ALL), torch.ones(32, 2, dtype=torch.bool)
    present[:, lost] = False
    kept, got = sent[:, 1 - lost], {}
    for garbage in (0, 7, 255):
        damaged = sent.clone()
        damaged[:, lost] = garbage
        got[garbage] = recover(damaged, present)
        assert torch.equal(got[garbage], got[0])
    assert torch.equal(protect(got[0])[:, 1 - lost], kept), "a word that has this very byte"
    firsts = [min(number for number in range(32) if kept[number] == byte) for byte in kept.tolist()]
    assert got[0].tolist() == firsts


def test_where_nothing_arrived_the_first_number_is_taken_and_samples_are_on_their_own():
    received = torch.tensor([[255, 255], [255, 255]], dtype=torch.uint8)
    present = torch.tensor([[False, False], [True, True]])
    assert recover(received, present).tolist() == [0, 1]
    assert torch.equal(recover(received, torch.ones(2, 2, dtype=torch.bool)), recover(received))
