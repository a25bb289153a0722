"""Radio links against exact formulas, published points and simulated symbols."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import i0e

from semanticnn_core.channels import Payload
from semanticnn_core.channels.lorawan import LORAWAN_OVERHEAD, REGIONS, energy, lora_time_on_air, lorawan_time_on_air
from semanticnn_core.channels.radio import BITS_PER_SYMBOL, LoRa, WiFi, lora_ber, qam_ber, rayleigh_bpsk_ber


def exact_lora_ber(snr: float, factor: int) -> float:
    """Return the rate of 2^factor orthogonal signals received without phase, by the integral over the right one."""
    signals = 2**factor
    energy_ratio = 10 ** (snr / 10) * signals

    def right(x: float) -> float:  # density of the right envelope's power x, times the chance that all others are below
        root = np.sqrt(energy_ratio * x)
        density = np.exp(-x - energy_ratio + 2 * root) * i0e(2 * root)
        return density * -np.expm1((signals - 1) * np.log1p(-np.exp(-x)))

    wrong, _ = quad(right, 0, energy_ratio + 40 * np.sqrt(energy_ratio + 1), limit=400)
    return wrong * signals / 2 / (signals - 1)


@pytest.mark.parametrize("factor", range(7, 13))
@pytest.mark.parametrize("target", [1e-3, 1e-2, 5e-2])
def test_lora_lies_within_a_third_of_a_decibel_of_orthogonal_signals(factor, target):
    near = brentq(lambda snr: lora_ber(snr, factor) - target, -30, 0)
    assert exact_lora_ber(near + 0.3, factor) < target < exact_lora_ber(near - 0.3, factor)


def test_published_points_of_lora():
    assert lora_ber(-9.52, 7) == pytest.approx(0.01, rel=0.02)
    assert lora_ber(-20.41, 11) == pytest.approx(0.01, rel=0.03)
    assert lora_ber(-40, 7) < 0.5 and lora_ber(0, 12) < 1e-12


def test_time_on_air_is_semtech_s():
    assert lora_time_on_air(13, 9) == pytest.approx(0.164864, abs=1e-12)
    assert lora_time_on_air(192, 7) == pytest.approx(0.30746, abs=5e-6)
    assert lora_time_on_air(64, 12) == pytest.approx(2.793, abs=5e-4)
    assert lora_time_on_air(235, 7) == pytest.approx(0.3689, abs=5e-5)
    assert lorawan_time_on_air(384, 5) == pytest.approx(0.651, abs=1e-3)
    assert lorawan_time_on_air(384, 0) == pytest.approx(21.5, abs=0.1)  # at one per cent an image in 36 minutes
    assert lorawan_time_on_air(384, 0) / REGIONS["EU868"].duty_cycle / 60 == pytest.approx(36, abs=0.5)
    assert energy(0.615, 0.029) == pytest.approx(0.059, abs=1e-3)


@pytest.mark.parametrize(
    ("modulation", "snr", "ber"),
    [("BPSK", 4.32, 0.01), ("QPSK", 7.33, 0.01), ("16-QAM", 13.90, 0.01), ("64-QAM", 19.74, 0.01), ("BPSK", 1.31, 0.05),
     ("64-QAM", 24.30, 1e-4)],
)  # fmt: skip
def test_modulations_at_known_points(modulation, snr, ber):
    assert qam_ber(snr, modulation) == pytest.approx(ber, rel=0.02)


@pytest.mark.parametrize("modulation", BITS_PER_SYMBOL)
def test_modulations_against_simulated_symbols(modulation):
    bits, generator, count = BITS_PER_SYMBOL[modulation], np.random.default_rng(0), 200_000
    axes = 1 if bits == 1 else 2
    each = bits // axes
    levels = 2.0 * np.arange(2**each) - (2**each - 1)
    gray = np.arange(2**each) ^ np.arange(2**each) >> 1
    sent = generator.integers(0, 2**each, (count, axes))
    noise_density = axes * np.mean(levels**2) / 10 ** (9.0 / 10)
    received = levels[sent] + generator.normal(0, np.sqrt(noise_density / 2), sent.shape)
    decided = np.clip(np.round((received + 2**each - 1) / 2), 0, 2**each - 1).astype(int)
    wrong = np.bitwise_count(gray[sent] ^ gray[decided]).sum() / (count * bits)
    spread = np.sqrt(wrong / (count * bits)) * 2
    assert qam_ber(9.0, modulation) == pytest.approx(wrong, abs=3 * spread)


def test_fading_is_the_mean_over_gains():
    gains = np.random.default_rng(0).exponential(10 ** (9.66 / 10), 40_000)
    mean = np.mean([qam_ber(10 * np.log10(each), "BPSK") for each in gains])
    assert rayleigh_bpsk_ber(9.66) == pytest.approx(mean, rel=0.03) == pytest.approx(0.025, rel=0.03)


@pytest.mark.parametrize("link", [LoRa(-10.21, 7), WiFi(12.26, "16-QAM")])
def test_links_flip_at_their_rate(link):
    arrived = link.channel(0)(Payload(torch.zeros(200, 384, dtype=torch.uint8)))
    flipped = torch.tensor([int(each).bit_count() for each in arrived.payload.data.flatten().tolist()]).sum()
    assert float(flipped) / (200 * 384 * 8) == pytest.approx(0.025, rel=0.05) and arrived.ber == link.settings["ber"]
    again = link.channel(0)(Payload(torch.zeros(200, 384, dtype=torch.uint8)))
    assert torch.equal(again.payload.data, arrived.payload.data)


def test_what_is_no_link_is_refused():
    with pytest.raises(ValueError, match="spreading factor must be 7 to 12, got 6"):
        LoRa(0, 6)
    with pytest.raises(ValueError, match="got 'FM'"):
        WiFi(0, "FM")
    with pytest.raises(ValueError, match="0 to 255 bytes"):
        lora_time_on_air(256, 7)
    with pytest.raises(ValueError, match="data_rate must be 0 to 5 in EU868, got 6"):
        lorawan_time_on_air(10, 6)
    with pytest.raises(ValueError, match="data_rate must be 2 to 5 in AS923, got 1"):
        lorawan_time_on_air(10, 1, "AS923")
    with pytest.raises(ValueError, match="one of EU868, US915, AS923, got 'Mars'"):
        lorawan_time_on_air(10, 1, "Mars")


@pytest.mark.parametrize("region", REGIONS)
def test_the_largest_frame_of_each_data_rate_is_allowed(region):
    rules = REGIONS[region]
    for rate in rules.rates.values():
        assert lora_time_on_air(rate.bytes + LORAWAN_OVERHEAD, rate.spreading_factor) <= rules.dwell
