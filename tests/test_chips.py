"""What chips' own codes leave of errors, and fading, against closed forms."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from semanticnn_core.channels import Payload
from semanticnn_core.channels.chips import GENERATORS, LoRaChip, WiFiChip, hamming_errors, viterbi
from semanticnn_core.channels.fading import Faded
from semanticnn_core.channels.radio import lora_ber, qam_ber, rayleigh_bpsk_ber
from semanticnn_core.draws import Draws

ZEROS = Payload(torch.zeros(400, 384, dtype=torch.uint8))


def bits(data: torch.Tensor) -> torch.Tensor:
    """Return the bits of bytes (B, n), bool (B, 8n), the lowest first."""
    return (data[..., None] >> torch.arange(8) & 1).bool().flatten(1)


def encoded(message: torch.Tensor) -> torch.Tensor:
    """Return the word of Wi-Fi's convolutional code, bool (B, n, 2), of messages (B, n)."""
    past = torch.cat([torch.zeros(len(message), 6, dtype=torch.bool), message], 1).unfold(1, 7, 1).flip(2)
    taps = torch.tensor([[mask >> 6 - place & 1 for place in range(7)] for mask in GENERATORS]).bool()
    return (past[:, :, None] & taps).sum(3) % 2 == 1  # the newest bit first


def test_one_wrong_bit_is_corrected_where_the_code_can():
    for coding_rate in (3, 4):
        assert not any(int(hamming_errors(coding_rate)[1 << bit]) for bit in range(4 + coding_rate))
    for coding_rate in (1, 2):
        assert [int(hamming_errors(coding_rate)[1 << bit]) for bit in range(4)] == [1, 2, 4, 8]


def test_two_wrong_bits_are_never_corrected_to_three_more_by_the_longest_code():
    left = hamming_errors(4)
    pairs = [(1 << i) | (1 << j) for i in range(8) for j in range(i)]
    assert all(int(left[each]) == each & 15 for each in pairs)  # distance four: two errors are seen, not guessed at


@pytest.mark.parametrize("coding_rate", [1, 2, 3, 4])
@pytest.mark.parametrize("factor", [7, 10])
@pytest.mark.slow
def test_what_lora_s_code_leaves_is_what_the_closed_form_says(coding_rate, factor):
    snr = brentq(lambda level: lora_ber(level, factor) - 0.05, -30, 0)
    link = LoRaChip(snr, factor, coding_rate)
    wrong = bits(link.channel(0)(ZEROS).payload.data).float().mean(1)
    assert float(wrong.mean()) == pytest.approx(link.ber, abs=3 * float(wrong.std()) / math.sqrt(len(wrong)))
    if coding_rate < 3:
        assert link.ber == pytest.approx(0.05)
    else:
        assert link.ber < 0.02


def test_errors_behind_lora_s_code_come_in_half_bytes():
    snr = brentq(lambda level: lora_ber(level, 9) - 0.05, -30, 0)
    link = LoRaChip(snr, 9, 4)
    nibbles = bits(link.channel(0)(ZEROS).payload.data).unflatten(1, (-1, 4))
    hit = nibbles.any(2)
    assert float(nibbles.float().sum(2)[hit].mean()) > 1.15  # independent bits would give 1.02
    together = (hit[:, 1:] & hit[:, :-1]).float().mean() / hit.float().mean() ** 2
    assert together > 1.5  # a wrong chirp hits a whole block


def test_viterbi_returns_what_was_sent_and_corrects_scattered_bits():
    random = torch.Generator().manual_seed(0)
    message = torch.cat([torch.rand(8, 94, generator=random) < 0.5, torch.zeros(8, 6, dtype=torch.bool)], 1)
    coded = encoded(message)
    assert torch.equal(viterbi(coded, Draws(0)), message)
    coded[:, 10::25, 0] ^= True  # far apart: the free distance of 10 corrects each
    assert torch.equal(viterbi(coded, Draws(0)), message)


@pytest.mark.slow
def test_what_is_left_does_not_depend_on_what_is_sent():
    """Ties are broken by a coin, so that decoding errors alone is as good as decoding sent words with them."""
    random = torch.Generator().manual_seed(0)
    message = torch.cat([torch.rand(150, 394, generator=random) < 0.5, torch.zeros(150, 6, dtype=torch.bool)], 1)
    coded = encoded(message)
    errors = torch.rand(coded.shape, generator=random) < 0.09
    alone = viterbi(errors, Draws(1)).float().mean(1)
    sent = (viterbi(coded ^ errors, Draws(2)) ^ message).float().mean(1)
    assert float(alone.mean()) == pytest.approx(float(sent.mean()), rel=0.15) and float(sent.mean()) > 0.01


@pytest.mark.slow
def test_what_wifi_s_code_leaves_comes_in_runs():
    snr = brentq(lambda level: qam_ber(level, "BPSK") - 0.08, -5, 10)
    left = bits(WiFiChip(snr).channel(0)(Payload(torch.zeros(60, 200, dtype=torch.uint8))).payload.data)
    rate = float(left.float().mean())
    assert 0.002 < rate < 0.08
    after = float((left[:, 1:] & left[:, :-1]).float().mean()) / rate
    assert after > 5 * rate  # a wrong bit has wrong neighbours
    good = WiFiChip(snr + 4).channel(0)(Payload(torch.zeros(20, 200, dtype=torch.uint8)))
    assert not good.payload.data.any()


@pytest.mark.parametrize("snr", [3.0, 9.66, 20.0])
def test_rayleigh_s_mean_is_its_closed_form(snr):
    assert Faded(partial(qam_ber, modulation="BPSK"), snr).mean == pytest.approx(rayleigh_bpsk_ber(snr), rel=0.01)


@pytest.mark.parametrize("m", [2, 4])
def test_nakagami_s_mean_is_its_closed_form(m):
    g = 10 ** (6 / 10)
    mu = math.sqrt(g / (m + g))
    exact = ((1 - mu) / 2) ** m * sum(math.comb(m - 1 + k, k) * ((1 + mu) / 2) ** k for k in range(m))
    assert Faded(partial(qam_ber, modulation="BPSK"), 6.0, m).mean == pytest.approx(exact, rel=0.01)


def test_fading_spreads_the_errors_over_payloads():
    link = Faded(partial(lora_ber, spreading_factor=7), -7.0)
    arrival = link.channel(1)(ZEROS)
    wrong = bits(arrival.payload.data).float().mean(1)
    assert float(wrong.mean()) == pytest.approx(link.mean, abs=4 * float(wrong.std()) / math.sqrt(len(wrong)))
    assert np.corrcoef(wrong, arrival.ber)[0, 1] > 0.99 and float((wrong == 0).float().mean()) > 0.3
    assert Faded(link.rate, -7.0, 1e6).mean == pytest.approx(lora_ber(-7.0, 7), rel=0.05)


@pytest.mark.parametrize("link", [LoRaChip(-10.5), WiFiChip(-1.0), Faded(partial(lora_ber, spreading_factor=8), -10.0)])
def test_the_same_seed_gives_the_same_errors(link):
    few = Payload(torch.zeros(3, 40, dtype=torch.uint8))
    one, other = link.channel(5)(few), link.channel(5)(few)
    assert torch.equal(one.payload.data, other.payload.data)
    assert not torch.equal(link.channel(6)(few).payload.data, one.payload.data)


def test_what_is_no_chip_is_refused():
    with pytest.raises(ValueError, match="coding_rate must be 1 to 4"):
        LoRaChip(0.0, 7, 5)
    with pytest.raises(ValueError, match="at least 0.5, got 0.2"):
        Faded(abs, 0.0, 0.2)
