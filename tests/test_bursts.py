"""Errors that come in bursts, and rates that nobody knows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanticnn_core.channels import Believed, BitErrors, Bursts, GilbertElliott, Payload
from semanticnn_core.codec.payload import unpack

rates = st.floats(0.001, 0.14)


@settings(deadline=None)
@given(rates, st.floats(1, 64), st.integers(0, 2**31))
@pytest.mark.slow
def test_the_share_of_wrong_bits_is_the_rate(ber, length, seed):
    count, bits = 120, 2000
    wrong = GilbertElliott(ber, length, 0.3, seed).wrong_bits(count, bits, torch.device("cpu"))
    spread = (ber * 0.3 * 4 * length / (count * bits)) ** 0.5  # bursts make fewer independent samples
    assert wrong.float().mean() == pytest.approx(ber, abs=6 * spread + 1e-4)


def test_bursts_have_their_length():
    """Of neighbours of a wrong bit `bad` · (1 − 1/length) are wrong, more than elsewhere."""
    wrong = GilbertElliott(0.02, 16, 0.4, 0).wrong_bits(3000, 3072, torch.device("cpu"))
    both = (wrong[:, 1:] & wrong[:, :-1]).float().mean() / wrong.float().mean()
    assert both == pytest.approx(0.4 * (1 - 1 / 16), rel=0.03)
    spread = wrong.float().mean(1).std()  # of the rate over payloads: far more than with independent errors
    assert spread > 2 * (0.02 * 0.98 / 3072) ** 0.5


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 40))
@pytest.mark.slow
def test_the_same_seed_flips_the_same_bits_and_none_behind_the_end(seed, count, size):
    data = torch.zeros(count, size, dtype=torch.uint8)
    length = torch.randint(0, size + 1, (count,), generator=torch.Generator().manual_seed(seed))
    once, again = (Bursts(0.05).channel(seed)(Payload(data, length)).payload.data for _ in range(2))
    assert torch.equal(once, again)
    behind = torch.arange(size) >= length[:, None]
    assert not once[behind].any()


def test_wrong_bits_are_those_that_flip_in_payloads():
    wrong = GilbertElliott(0.05, random=3).wrong_bits(5, 80, torch.device("cpu"))
    data = torch.randint(0, 256, (5, 10), dtype=torch.uint8)
    arrived = GilbertElliott(0.05, random=3)(Payload(data)).payload.data
    assert torch.equal(unpack(arrived ^ data, 1, 80).bool(), wrong)


def test_no_errors_at_rate_zero():
    assert not GilbertElliott(0.0).wrong_bits(3, 100, torch.device("cpu")).any()


@pytest.mark.parametrize("settings", [{"ber": 0.3}, {"ber": 0.1, "bad": 0.6}, {"ber": 0.1, "length": 0.5}])
def test_impossible_bursts_are_refused(settings):
    with pytest.raises(ValueError, match="bursts need"):
        Bursts(**settings)


def test_a_believed_rate_changes_nothing_but_the_belief():
    payload = Payload(torch.zeros(4, 100, dtype=torch.uint8))
    link = BitErrors(0.05)
    true, believed = link.channel(1)(payload), Believed(link, 0.01).channel(1)(payload)
    assert torch.equal(true.payload.data, believed.payload.data)
    assert (true.ber, believed.ber) == (0.05, 0.01)
    assert Believed(link).settings == {"ber": 0.05, "link": "rate unknown"}
