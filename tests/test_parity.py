"""The parity code against its own checks, and belief propagation against brute force and the limit."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from semanticnn_core.channels.base import ASSUMED_BER
from semanticnn_core.codec.belief import CERTAIN, Beliefs, beliefs
from semanticnn_core.codec.parity import DEGREES, ParityCode, parity_code
from semanticnn_core.codec.payload import unpack

CODE = parity_code(224, 160)


def words_of(code: ParityCode, data: torch.Tensor) -> torch.Tensor:
    """Return all bits of messages, bool (B, bits), the last word filled up."""
    whole = torch.cat([F.pad(data, (0, 4 * code.words - code.data_bytes)), code.encode(data)], 1)
    return unpack(whole, 1, 8 * whole.shape[1]).bool()


def some_bytes(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (count, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def heard(bits: torch.Tensor, ber: float, seed: int = 0) -> torch.Tensor:
    """Return the log-likelihood ratios of bits, (B, n), behind a binary symmetric channel."""
    flips = torch.rand(bits.shape, generator=torch.Generator().manual_seed(seed)) < ber
    return torch.where(bits ^ flips, -1.0, 1.0) * math.log((1 - ber) / ber)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 20), st.integers(0, 1000))
def test_every_message_satisfies_all_checks(data_bytes, rows, seed):
    code = ParityCode(data_bytes, 4 * rows)
    bits = words_of(code, some_bytes(3, data_bytes, seed))
    bit, check = code.checks
    sums = torch.zeros(3, 32 * rows, dtype=torch.long).index_add(1, check, bits[:, bit].long())
    assert not (sums % 2).any()


def test_parity_is_linear():
    one, two = some_bytes(4, 224, 1), some_bytes(4, 224, 2)
    assert torch.equal(CODE.encode(one) ^ CODE.encode(two), CODE.encode(one ^ two))
    assert not CODE.encode(torch.zeros_like(one)).any()


def test_parity_as_a_device_computes_it_word_by_word():
    """Rotate, add, run the sums through the rows: plain integers, the order of the firmware."""
    data = some_bytes(1, 224)
    words = [int.from_bytes(bytes(data[0, at : at + 4].tolist()), "little") for at in range(0, 224, 4)]
    sums = [0] * CODE.rows
    for word, row, shift in CODE.edges.tolist():
        sums[row] ^= (words[word] << shift | words[word] >> (32 - shift)) & 0xFFFFFFFF
    sums = list(itertools.accumulate(sums, lambda a, b: a ^ b))
    carry = 0
    for bit in range(31):  # bit i of the last row goes on in bit i + 1 of the first
        carry |= ((carry >> bit ^ sums[-1] >> bit) & 1) << (bit + 1)
    expected = b"".join((each ^ carry).to_bytes(4, "little") for each in sums)
    assert bytes(CODE.encode(data)[0].tolist()) == expected


def test_the_graph_is_even_and_has_few_short_cycles():
    words, rows = Counter(CODE.edges[:, 0].tolist()), Counter(CODE.edges[:, 1].tolist())
    assert [words[word] for word in range(CODE.words)] == [DEGREES[word % 3] for word in range(CODE.words)]
    assert max(rows.values()) - min(rows.values()) <= 1
    bit, check = CODE.checks
    table = torch.zeros(32 * CODE.rows, int(bit.max()) + 1)
    table[check, bit] = 1
    assert table.sum() == len(bit), "no edge twice"
    common = (table @ table.T).triu(1)
    assert (common > 1).sum() <= 0.01 * (common > 0).sum(), "pairs of checks that share two bits"


def test_the_code_is_the_same_everywhere():
    """A code that changed would make published firmware and decoders disagree."""
    assert CODE.edges[:6].tolist() == [[0, 10, 25], [0, 33, 5], [0, 37, 15], [1, 14, 11], [1, 18, 14], [1, 21, 2]]
    parity = CODE.encode(torch.arange(224, dtype=torch.uint8)[None])[0]
    assert parity[:8].tolist() == [18, 49, 194, 225, 239, 57, 229, 51]


@pytest.mark.parametrize("ber", [0.0, 0.02, 0.045])
def test_all_errors_are_corrected_below_the_limit(ber):
    bits = words_of(CODE, some_bytes(24, 224))
    belief = beliefs(CODE)(heard(bits, max(ber, 1e-6)))
    assert torch.equal(belief, torch.where(bits, -CERTAIN, CERTAIN))


def test_beyond_the_limit_beliefs_are_as_sure_as_they_are_right():
    bits = words_of(CODE, some_bytes(48, 224))
    belief = beliefs(CODE)(heard(bits, 0.075))
    left = float(((belief < 0) != bits).float().mean())
    claimed = float(torch.sigmoid(-belief.abs()).mean())
    assert 0.01 < left < 0.075 and claimed == pytest.approx(left, rel=0.15)


def test_lost_bytes_are_recovered():
    bits = words_of(CODE, some_bytes(8, 224))
    llr = heard(bits, 1e-6)
    llr[:, 300:940] = 0  # 80 bytes in a row
    assert torch.equal(beliefs(CODE)(llr) < 0, bits)


@pytest.mark.parametrize("ber", [0.003, 0.02, 0.05, 0.1])
def test_violated_checks_tell_the_error_rate(ber):
    bits = words_of(CODE, some_bytes(40, 224))
    llr, known = heard(bits, ber), torch.ones_like(bits)
    known[20:, 100:500] = False
    rate = beliefs(CODE).error_rate(llr < 0, known)
    assert rate[:20].mean() == pytest.approx(ber, rel=0.1) and rate[20:].mean() == pytest.approx(ber, rel=0.25)
    assert beliefs(CODE).error_rate(llr < 0, known & False).tolist() == pytest.approx([ASSUMED_BER] * 40)


def test_where_nothing_arrived_nothing_is_believed():
    assert not beliefs(CODE)(torch.zeros(2, 8 * 384)).any()


def test_beliefs_of_a_small_code_decide_as_brute_force_does():
    code = ParityCode(1, 4)
    decoder = Beliefs(code)
    llr = heard(words_of(code, some_bytes(6, 1)), 0.2, 3)
    llr[:, 8:32] = CERTAIN
    messages = torch.arange(256, dtype=torch.uint8)[:, None]
    words = words_of(code, messages)
    logs = torch.where(words[:, None], -llr / 2, llr / 2).sum(2)  # (256, B)
    posterior = logs.softmax(0)
    ones = (posterior[:, :, None] * words[:, None]).sum(0)
    exact = torch.log1p(-ones) - ones.log()
    mine = decoder(llr, 200)
    assert ((mine < 0) == (exact < 0))[:, :8].float().mean() > 0.9


def test_what_is_believed_does_not_depend_on_the_message():
    """So training may send zeros."""
    bits = words_of(CODE, some_bytes(6, 224))
    zeros = torch.zeros_like(bits)
    sent, nothing = (beliefs(CODE)(heard(each, 0.06, 5)) for each in (bits, zeros))
    assert torch.allclose(torch.where(bits, -sent, sent), nothing, atol=1e-2)
