"""What crosses a channel, and the binary symmetric one against the binomial distribution and itself on packed bytes."""

import math

import numpy as np
import pytest
import torch

from semanticnn_core.channels import Arrival, BinarySymmetric, BitErrors, Payload
from semanticnn_core.channels.base import ASSUMED_BER, check_ber
from semanticnn_core.channels.bits import derived_seed, random_ber
from semanticnn_core.codec.payload import pack, unpack
from semanticnn_core.draws import Draws

SIGMAS = 4
CPU = torch.device("cpu")


def assert_share(hits: torch.Tensor | float, total: int, chance: float) -> None:
    """Check that `hits` of `total` agree with a probability within four standard deviations."""
    deviation = math.sqrt(chance * (1 - chance) / total)
    gap = (torch.as_tensor(hits, dtype=torch.float64) / total - chance).abs().max()
    assert gap <= SIGMAS * deviation, f"{gap / deviation:.1f} standard deviations off {chance:g}"


def sent(channel: BinarySymmetric, data: torch.Tensor) -> torch.Tensor:
    """Return the bytes that arrive of payload bytes uint8 (B, n)."""
    return channel(Payload(data)).payload.data


def bit_counts(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Return for each of `bits` positions how many words have that bit set."""
    return torch.stack([((words.long() >> bit) & 1).sum() for bit in range(bits)])


@pytest.mark.parametrize("ber", [1e-3, 0.01, 0.05, 0.5])
def test_every_bit_of_a_byte_flips_at_the_rate(ber):
    flips = sent(BinarySymmetric(ber, 0), torch.zeros(200, 500, dtype=torch.uint8))
    assert_share(bit_counts(flips, 8), flips.numel(), ber)


@pytest.mark.parametrize("ber", [0.0, 0.01, 0.05, 0.5])
def test_training_meets_wrong_bits_at_the_rate_each_on_its_own(ber):
    wrong = BinarySymmetric(ber, 1).wrong_bits(100, 3000, CPU)
    assert wrong.dtype == torch.bool and wrong.shape == (100, 3000)
    assert_share(wrong.sum(), wrong.numel(), ber)
    both = wrong[:, 1:] & wrong[:, :-1]
    assert_share(both.sum(), both.numel(), ber**2)


@pytest.mark.parametrize("ber", [1e-3, 0.01, 0.05])
def test_symbol_error_rate_of_three_bits(ber):
    symbols = torch.randint(8, (100, 1000), generator=torch.Generator().manual_seed(0))
    chance = 1 - (1 - ber) ** 3
    received = unpack(sent(BinarySymmetric(ber, 2), pack(symbols.byte(), 3)), 3, 1000)
    assert_share((received != symbols).sum(), symbols.numel(), chance)


@pytest.mark.parametrize("ber", [0.02, 0.2, 0.5])
def test_patterns_of_wrong_bits_in_training_and_on_packed_bytes_are_the_same_distribution(ber):
    bits, n = 3, 1000
    symbols = torch.randint(2**bits, (100, n), generator=torch.Generator().manual_seed(0))
    wrong = BinarySymmetric(ber, 3).wrong_bits(100, bits * n, CPU).view(100, n, bits)
    direct = (wrong << torch.arange(bits)).sum(2)
    packed = unpack(sent(BinarySymmetric(ber, 4), pack(symbols.byte(), bits)), bits, n).long() ^ symbols
    for patterns in (direct, packed):
        counts = patterns.flatten().bincount(minlength=2**bits)
        for pattern, count in enumerate(counts.tolist()):
            ones = pattern.bit_count()
            assert_share(count, symbols.numel(), ber**ones * (1 - ber) ** (bits - ones))


def test_errors_do_not_depend_on_what_is_sent_or_on_their_neighbours():
    words = torch.randint(256, (200, 500), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    zeros = torch.zeros_like(words)
    flips = sent(BinarySymmetric(0.1, 5), zeros)
    assert torch.equal(sent(BinarySymmetric(0.1, 5), words) ^ words, flips)
    assert torch.equal(BinarySymmetric(0.1, 5).flips(Payload(words)), flips)
    both = (flips[:, 1:] & flips[:, :-1]) & 1  # neighbouring bytes hit in the same bit
    assert_share(both.sum(), both.numel(), 0.1**2)


def test_each_sample_has_its_own_rate():
    rates = torch.tensor([0.0, 0.01, 0.1, 0.5])
    flips = sent(BinarySymmetric(rates, 0), torch.zeros(4, 20_000, dtype=torch.uint8))
    wrong = BinarySymmetric(rates, 0).wrong_bits(4, 60_000, CPU)
    assert not flips[0].any() and not wrong[0].any()
    for row, rate in enumerate(rates.tolist()):
        assert_share(bit_counts(flips[row], 8), 20_000, rate)
        assert_share(wrong[row].sum(), 60_000, rate)


def test_without_errors_nothing_changes():
    payload = torch.arange(256, dtype=torch.uint8).repeat(4, 50)
    channel = BinarySymmetric(0.0)
    assert torch.equal(sent(channel, payload), payload)


def test_a_seed_fixes_the_errors_and_the_input_stays_as_it_was():
    payload = torch.zeros(4, 1000, dtype=torch.uint8)
    first, second = BinarySymmetric(0.1, 7), BinarySymmetric(0.1, torch.Generator().manual_seed(7))
    once = sent(first, payload)
    assert torch.equal(once, sent(second, payload))
    assert not torch.equal(once, sent(first, payload)), "a channel goes on drawing"
    assert not torch.equal(once, sent(BinarySymmetric(0.1, 8), payload))
    assert not payload.any()


@pytest.mark.parametrize("ber", [-0.01, 0.51, math.nan, torch.tensor([0.1, 0.7])])
def test_a_rate_out_of_range_is_refused_by_name(ber):
    with pytest.raises(ValueError, match=r"ber must be in \[0, 0.5\]"):
        BinarySymmetric(ber)


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"ber.*\(2, 3\)"):
        BinarySymmetric(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="3 rates for 4 samples"):
        BinarySymmetric(torch.zeros(3))(Payload(torch.zeros(4, 5, dtype=torch.uint8)))
    for payload in (torch.zeros(4, 5), torch.zeros(5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"payload must be uint8 \(B, n\)"):
            BinarySymmetric(0.1)(Payload(payload))


def test_random_rates_are_log_uniform():
    rates = random_ber(1e-4, 5e-2, 20_000, Draws(0))
    assert rates.shape == (20_000,) and float(rates.min()) >= 1e-4 and float(rates.max()) <= 5e-2
    for share in (0.1, 0.5, 0.9):
        assert_share((rates < 1e-4 * 500**share).sum(), len(rates), share)


def bytes_of(*lengths: int, most: int = 6) -> Payload:
    """Return a payload of samples with these lengths, its bytes all ones where they count."""
    data = torch.zeros(len(lengths), most, dtype=torch.uint8)
    for row, length in zip(data, lengths, strict=True):
        row[:length] = 255
    return Payload(data, torch.tensor(lengths))


def test_a_payload_counts_all_its_bytes_or_those_of_each_sample():
    assert Payload(torch.zeros(3, 5, dtype=torch.uint8)).length.tolist() == [5, 5, 5]
    payload = bytes_of(0, 2, 6)
    assert len(payload) == 3 and payload.length.tolist() == [0, 2, 6]
    assert torch.equal(payload.used, payload.data == 255)
    assert Payload(torch.zeros(2, 0, dtype=torch.uint8)).length.tolist() == [0, 0]


@pytest.mark.parametrize("length", [[1, 2], [1, 2, 7], [1, -1, 2], [[1, 2, 3]], []])
def test_lengths_that_are_no_payloads_are_refused(length):
    with pytest.raises(ValueError, match=r"length must hold 3 numbers of bytes in \[0, 6\], got"):
        Payload(torch.zeros(3, 6, dtype=torch.uint8), torch.tensor(length, dtype=torch.long))


@pytest.mark.parametrize("ber", [0.5, torch.tensor([0.5, 0.1, 0.3])])
def test_no_bit_flips_behind_a_samples_length(ber):
    channel, payload = BinarySymmetric(ber, 0), bytes_of(0, 400, 1000, most=1000)
    arrival = channel(payload)
    assert not arrival.payload.data[~payload.used].any()
    assert arrival.payload.length is payload.length
    flips = BinarySymmetric(ber, 0).flips(payload)
    assert torch.equal(arrival.payload.data, payload.data ^ flips) and not flips[~payload.used].any()
    for row, length in ((1, 400), (2, 1000)):
        rate = float(torch.as_tensor(ber).expand(3)[row])
        assert_share(bit_counts(flips[row, :length], 8), length, rate)
    whole = BinarySymmetric(ber, 0).flips(Payload(payload.data))
    assert torch.equal(whole * payload.used, flips), "a length changes no other sample's errors"


def test_a_channel_keeps_what_stays_on_the_device_and_the_receiver_knows_its_rate():
    local, rates = {"feature": torch.ones(2, 1)}, torch.tensor([0.1, 0.2])
    arrival = BinarySymmetric(rates, 0)(Payload(torch.zeros(2, 9, dtype=torch.uint8), local=local))
    assert arrival.payload.local is local and arrival.present is None
    assert arrival.ber is rates and arrival.estimated_ber is rates


def test_a_receiver_that_knows_no_rate_assumes_one():
    assert Arrival(bytes_of(6)).ber is None and Arrival(bytes_of(6)).estimated_ber == ASSUMED_BER == 0.01
    assert Arrival(bytes_of(6), ber=0.0).estimated_ber == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ber": 0.6}, r"ber must be in \[0, 0.5\], got 0.6"),
        ({"ber": math.nan}, r"ber must be in \[0, 0.5\], got nan"),
        ({"ber": torch.tensor([0.1, 0.2, 0.3])}, "one for each of 2 payloads, got 3"),
        ({"ber": torch.zeros(2, 1)}, r"shape \(2, 1\)"),
        ({"present": torch.ones(2, 5, dtype=torch.bool)}, r"payload's shape \(2, 6\), got \(2, 5\)"),
        ({"present": torch.ones(6, dtype=torch.bool)}, r"payload's shape \(2, 6\), got \(6,\)"),
    ],
)
def test_what_is_no_arrival_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Arrival(bytes_of(6, 3), **settings)


def test_rates_are_one_or_one_a_payload():
    for ber in (0.1, torch.tensor(0.1), torch.tensor([0.1]), torch.tensor([0.1, 0.2])):
        check_ber(ber, 2)
        assert Arrival(bytes_of(6, 3), ber=ber).ber is ber
    check_ber(torch.rand(7) / 2)


def test_an_arrival_is_cut_at_its_tail():
    arrival = Arrival(bytes_of(6, 6), ber=0.02)
    for length in range(7):
        cut = arrival.cut(length)
        assert cut.present.tolist() == [[place < length for place in range(6)]] * 2
        assert cut.payload is arrival.payload and cut.ber == 0.02 and arrival.present is None
    present = torch.tensor([[True, False, True, True, True, True], [True] * 6])
    twice = Arrival(bytes_of(6, 6), present).cut(4).cut(5)
    assert twice.present.tolist() == [[True, False, True, True, False, False], [True] * 4 + [False] * 2]


@pytest.mark.parametrize("length", [-1, 7])
def test_an_arrival_cannot_be_cut_beyond_its_ends(length):
    with pytest.raises(ValueError, match=rf"length must be in \[0, 6\], the bytes that were sent; got {length}"):
        Arrival(bytes_of(6, 6)).cut(length)


def test_a_link_draws_its_channel_again_for_every_seed():
    link, payload = BitErrors(0.1), Payload(torch.zeros(2, 500, dtype=torch.uint8))
    assert link.settings == {"ber": 0.1}
    first, again, other = (link.channel(seed)(payload).payload.data for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first, sent(BinarySymmetric(0.1, derived_seed(3, 0.1)), payload.data))
    with pytest.raises(ValueError, match=r"ber must be in \[0, 0.5\], got 0.7"):
        BitErrors(0.7)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_processes_draw_together_what_one_would(parts):
    alone, own = Draws(7), [Draws(7, part, parts) for part in range(parts)]
    for draw, shape in (("uniform", ()), ("normal", (3, 2)), ("uniform", (5,))):
        together = torch.cat([getattr(each, draw)(4, *shape) for each in own])
        assert torch.equal(together, getattr(alone, draw)(4 * parts, *shape))
    shared = alone.shared(2)
    assert shared.shape == (2,) and all(torch.equal(each.shared(2), shared) for each in own)
    together = torch.cat([random_ber(1e-4, 5e-2, 4, each) for each in own])
    assert torch.equal(together, random_ber(1e-4, 5e-2, 4 * parts, alone))


@pytest.mark.parametrize("parts", [2, 4])
def test_processes_together_meet_the_errors_that_one_would(parts):
    """Flips of bytes and wrong bits: each process has its part of the batch, and every part its own errors."""
    data = torch.zeros(8, 300, dtype=torch.uint8)
    alone = BinarySymmetric(0.1, 5)
    own = [BinarySymmetric(0.1, Draws(5, part, parts)) for part in range(parts)]
    together = torch.cat([sent(channel, part) for channel, part in zip(own, data.chunk(parts), strict=True)])
    assert torch.equal(together, sent(alone, data))
    together = [channel.wrong_bits(8 // parts, 900, CPU) for channel in own]
    assert torch.equal(torch.cat(together), alone.wrong_bits(8, 900, CPU))
    assert not torch.equal(together[0], together[1])


def test_draws_of_draws_go_on_with_the_same_numbers():
    first = Draws(3, 1, 2)
    second = Draws(first)
    assert second.generator is first.generator and (second.part, second.parts) == (1, 2)
    generator = torch.Generator().manual_seed(9)
    assert Draws(generator).generator is generator and Draws(generator).device.type == "cpu"


@pytest.mark.parametrize("seed", [0, 5, -3, 2**62, np.int64(5), np.uint8(5), np.int32(-3)])
def test_a_seed_is_any_integer(seed):
    assert torch.equal(Draws(seed).uniform(4), Draws(int(seed)).uniform(4))
    assert torch.equal(Draws(seed).uniform(4), torch.rand(4, generator=torch.Generator().manual_seed(int(seed))))


@pytest.mark.parametrize("seed", [True, False, None, "3", 1.0, np.float64(2), np.bool_(True), 2**64, -(2**70)])
def test_what_is_no_seed_is_refused_by_name(seed):
    for make in (Draws, lambda seed: BinarySymmetric(0.1, seed), BitErrors(0.1).channel):
        with pytest.raises(ValueError, match="a seed must be an integer of at most 64 bits, got "):
            make(seed)
