"""The codec's contract: training's way and the real bytes' way agree, at any size, ratio and damage."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from semanticnn_core.channels import Arrival, BinarySymmetric, Payload
from semanticnn_core.channels.base import ASSUMED_BER
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.payload import pack, unpack
from semanticnn_core.codec.slicing import center_out, nested, sliced_length
from semanticnn_core.config import PAPER, WHOLE, CodecConfig, Slice

RESNET = {"feature_channels": 64, "feature_range": (0.0, math.inf), "code_channels": 32}


def tiny(seed: int = 0, **settings) -> SemanticCodec:
    """Return a codec for 4-channel features in float64 (so that batching rounds nothing visible), calibrated."""
    torch.manual_seed(seed)
    defaults = {"feature_channels": 4, "code_channels": 4, "kernel": 2, "stride": 2, "decoder_widths": (8,)}
    defaults |= {"code_order": "optimal", "dequantizer": "posterior"}
    codec = SemanticCodec(replace(PAPER, **defaults | settings)).double().eval()
    codec.calibrate(features(8))
    codec.set_code_order()
    return codec


def features(count: int = 3, height: int = 8, width: int = 8, channels: int = 4) -> Tensor:
    return 6 * torch.rand(count, channels, height, width, dtype=torch.float64) ** 2


class KnownFlips:
    """A channel that flips the same bits of symbols and parity, bool (B, bits) each, in training and packed."""

    def __init__(self, symbols: Tensor, parity: Tensor, ber: float) -> None:
        self.symbols, self.parity, self.ber = symbols, parity, ber

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        return torch.cat([self.symbols, self.parity], 1).view(count, bits)

    def __call__(self, payload: Payload) -> Arrival:
        flips = torch.cat([pack(each.byte(), 1) for each in (self.symbols, self.parity)], 1)
        return Arrival(Payload(payload.data ^ flips), ber=self.ber)


def code_shape(codec: SemanticCodec, feature_shape: tuple[int, int, int], slice: Slice = WHOLE) -> tuple[int, int, int]:
    """Return channels, rows and columns of the code that is sent."""
    windows = codec.windows(feature_shape, slice)
    return codec.config.code_channels, windows.rows, windows.columns


def perfect(payload: Payload) -> Arrival:
    return Arrival(payload, ber=0.0)


class Latent(nn.Module):
    """Stands in for the decoder and returns the latent that it is given."""

    def forward(self, latent: Tensor, spread: Tensor, ber: float, height: int, width: int) -> Tensor:
        return latent


def worth(codec: SemanticCodec, word: int, known: int, ber: float) -> float:
    """Return the mean centre of a code word of which only some bits arrived, by brute force; known: a mask."""
    total = mean = 0.0
    quantizer = codec.quantizer
    for share, level, each in zip(quantizer.prior, quantizer.levels, quantizer.code, strict=True):
        flips = ((int(each) ^ word) & known).bit_count()
        weight = float(share) * ber**flips * (1 - ber) ** (known.bit_count() - flips)
        total, mean = total + weight, mean + weight * level.item()
    return mean / total


def sent_words(codec: SemanticCodec, payload: Payload) -> list[list[int]]:
    """Return the code words of each payload, in the order they were sent."""
    bits = codec.quantizer.bits
    return unpack(payload.data, bits, payload.data.shape[1] * 8 // bits).tolist()


def arrived_mask(codec: SemanticCodec, symbol: int, lost: list[int]) -> int:
    """Return which bits of a symbol arrived, as a mask, when the bytes `lost` did not."""
    bits = codec.quantizer.bits
    return sum(1 << bit for bit in range(bits) if (symbol * bits + bit) // 8 not in lost)


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
@pytest.mark.parametrize("order", ["optimal", "random"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("settings", [{}, {"decoder": "residual", "decoder_widths": (8, 8), "parity": 0.4}])
@pytest.mark.slow
def test_without_errors_forward_is_decompress_of_compress(dequantizer, order, ratio, settings):
    codec, x, slice = tiny(dequantizer=dequantizer, code_order=order, **settings), features(), Slice(ratio)
    forward = codec(x, BinarySymmetric(0.0), slice).feature
    assert torch.allclose(codec.decompress(perfect(codec.compress(x, slice)), x.shape[1:], slice), forward)


@settings(max_examples=50, deadline=None)
@given(
    centers=st.sampled_from([2, 8, 32]),
    ber=st.floats(0, 0.5),
    ratio=st.floats(0.01, 1),
    size=st.tuples(st.integers(2, 11), st.integers(2, 11)),
    seed=st.integers(0, 1000),
    parity=st.sampled_from([0.0, 0.3, 0.6]),
    decoder=st.sampled_from(["residual", "transposed"]),
    lost=st.sampled_from([0.0, 0.4]),
)
@pytest.mark.slow
def test_the_same_damage_gives_the_same_feature_on_both_ways(centers, ber, ratio, size, seed, parity, decoder, lost):
    codec = tiny(seed, centers=centers, code_order="gray", parity=parity, decoder=decoder)
    x, slice = features(3, *size), Slice(ratio)
    symbols = math.prod(code_shape(codec, x.shape[1:], slice))
    code = codec.parity(x.shape[1:], slice)
    assert (code is None) == (parity == 0)
    counts = symbols * codec.quantizer.bits, 8 * code.parity_bytes if code else 0
    channel = KnownFlips(*(torch.rand(3, count) < ber for count in counts), ber)
    present = torch.rand(3, codec.payload_bytes(x.shape[1:], slice)) >= lost
    arrival = replace(channel(codec.compress(x, slice)), present=present)
    received = codec.decompress(arrival, x.shape[1:], slice)
    assert torch.allclose(received, codec(x, channel, slice, present=present if lost else None).feature)


@pytest.mark.parametrize(
    ("config", "shape", "code", "expected"),
    [
        (PAPER, (32, 32, 32), (16, 8, 8), 384),
        (replace(PAPER, **RESNET, kernel=2, stride=2), (64, 16, 16), (32, 8, 8), 768),
        (replace(PAPER, **RESNET), (64, 56, 56), (32, 14, 14), 2352),
        (replace(PAPER, feature_channels=24, code_channels=12), (24, 112, 112), (12, 28, 28), 3528),
        (replace(PAPER, code_channels=8), (32, 32, 32), (8, 8, 8), 192),
    ],
)
def test_the_published_payloads(config, shape, code, expected):
    codec = SemanticCodec(config).eval()
    assert code_shape(codec, shape) == code and codec.payload_bytes(shape) == expected
    payload = codec.compress(torch.rand(1, *shape))
    assert payload.data.shape == (1, expected) and payload.data.dtype == torch.uint8
    assert payload.length.tolist() == [expected]
    assert codec.decompress(Arrival(payload, ber=0.01), shape).shape == (1, *shape)


@settings(max_examples=30, deadline=None)
@given(
    stride=st.sampled_from([1, 2, 4, 8]),
    overlap=st.integers(0, 3),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    ratio=st.floats(0.01, 1),
)
@pytest.mark.slow
def test_any_feature_comes_back_in_its_shape_and_range(stride, overlap, height, width, ratio):
    codec = tiny(stride=stride, kernel=stride + overlap, decoder_widths=(6, 5), feature_range=(0.5, 0.7))
    x, slice = features(2, height, width), Slice(ratio)
    code = (4, *(sliced_length(-(-side // stride), ratio) for side in (height, width)))
    payload = codec.compress(x, slice)
    assert code_shape(codec, (4, height, width), slice) == code
    expected = -(-math.prod(code) * 3 // 8)
    assert payload.data.shape == (2, expected) == (2, codec.payload_bytes((4, height, width), slice))
    received = codec.decompress(Arrival(payload, ber=0.02), (4, height, width), slice)
    assert received.shape == x.shape and 0.5 <= float(received.min()) and float(received.max()) <= 0.7
    assert codec(x, BinarySymmetric(0.02), slice).symbols.shape == (2, *code)


@pytest.mark.parametrize(("share", "bytes_"), [(0.0, 224), (5 / 12, 384), (0.25, 300), (0.5, 448), (0.001, 228)])
def test_parity_is_the_share_that_is_set_in_whole_words_and_comes_last(share, bytes_):
    codec, bare = (SemanticCodec(CodecConfig(code_channels=14, centers=4, parity=each)).eval() for each in (share, 0.0))
    bare.load_state_dict(codec.state_dict())
    x = torch.rand(2, 32, 32, 32)
    payload = codec.compress(x).data
    assert payload.shape == (2, bytes_) == (2, codec.payload_bytes((32, 32, 32)))
    assert torch.equal(payload[:, :224], bare.compress(x).data)
    if share:
        assert torch.equal(payload[:, 224:], codec.parity((32, 32, 32)).encode(payload[:, :224]))


@pytest.mark.parametrize("slice", [WHOLE, Slice(0.5), Slice(0.5, "energy"), Slice(progressive=True)])
def test_parity_undoes_errors_and_losses(slice):
    """As many as the code bears: the feature is then the one that arrives unharmed."""
    codec = tiny(code_channels=8, parity=0.5, decoder="residual")
    x = features(4, 16, 16)
    payload = codec.compress(x, slice)
    clean = codec.decompress(perfect(payload), x.shape[1:], slice)
    head = codec.windows(x.shape[1:], slice).head_bytes
    damaged = BinarySymmetric(0.02, 3)(payload)
    assert torch.allclose(codec.decompress(damaged, x.shape[1:], slice), clean)
    lost = torch.ones_like(payload.data, dtype=torch.bool)
    lost[:, head + 5 : head + 15] = False
    assert torch.allclose(codec.decompress(Arrival(payload, lost, 1e-4), x.shape[1:], slice), clean)


def test_with_parity_a_receiver_that_knows_no_rate_finds_it_out():
    codec = SemanticCodec(CodecConfig(code_channels=14, decoder_widths=(8, 8), parity=5 / 12)).eval()
    x = torch.rand(8, 32, 32, 32)
    arrival = BinarySymmetric(0.045, 3)(codec.compress(x))
    clean = codec.decompress(perfect(codec.compress(x)), x.shape[1:])
    assert torch.allclose(codec.decompress(Arrival(arrival.payload), x.shape[1:]), clean)


def test_a_decoder_is_told_the_errors_that_are_left():
    class Watched(Latent):
        def forward(self, latent: Tensor, spread: Tensor, ber: Tensor, height: int, width: int) -> Tensor:
            self.ber, self.spread = ber, spread
            return latent

    x = features(4, 16, 16)
    for parity, low, high in ((0.0, 0.0199, 0.0201), (0.5, 0, 1e-6)):
        codec = tiny(code_channels=8, parity=parity)
        codec.decoder = decoder = Watched()
        codec.decompress(BinarySymmetric(0.02, 3)(codec.compress(x)), x.shape[1:])
        assert ((low <= decoder.ber) & (decoder.ber <= high)).all() and decoder.spread.shape == (4, 8, 8, 8)
        assert (decoder.spread.amax() < 0.01) == (parity > 0), "what is corrected is sure"


def test_symbols_leave_pixel_by_pixel_with_all_channels_together():
    codec, x = tiny(code_order="random"), features(1)
    latent = codec.encoder(x).detach()
    levels, code = codec.quantizer.levels.tolist(), codec.quantizer.code.tolist()
    number = position = 0
    for row in range(4):
        for column in range(4):
            for channel in range(4):
                distances = [abs(float(latent[0, channel, row, column]) - level) for level in levels]
                number |= code[distances.index(min(distances))] << 3 * position
                position += 1
    assert codec.compress(x).data[0].tolist() == list(number.to_bytes(24, "little"))


@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_an_image_alone_or_in_any_company_gives_the_same_bytes(ratio):
    codec, x, slice = tiny(kernel=3), features(4), Slice(ratio)
    x[1:] *= torch.tensor([0.0, 5.0, 100.0])[:, None, None, None]
    together = codec.compress(x, slice).data
    assert all(torch.equal(codec.compress(x[i : i + 1], slice).data[0], together[i]) for i in range(4))


def test_a_patch_changes_its_own_symbols_alone():
    codec, x = tiny(), features(1)
    brighter = x.clone()
    brighter[..., 2:4, 4:6] += 50  # the one code pixel at row 1, column 2
    before, after = (codec(each, BinarySymmetric(0.0)).symbols for each in (x, brighter))
    changed = (before != after).any(1)[0].nonzero().tolist()
    assert changed == [[1, 2]], "a row-streaming device never has the whole image to normalise by"


def test_features_are_restored_beyond_one_and_cut_at_their_range():
    six, free = tiny(feature_range=(0.0, 6.0)), tiny(feature_range=(0.0, math.inf))
    x = features(1)
    for codec, bias, expected in ((six, 3.0, 3.0), (six, 500.0, 6.0), (free, 500.0, 500.0), (free, -500.0, 0.0)):
        with torch.no_grad():
            codec.decoder.output.weight.zero_()
            codec.decoder.output.bias.fill_(bias)
        received = codec.decompress(perfect(codec.compress(x)), x.shape[1:])
        assert torch.allclose(received, torch.full_like(x, expected))


def test_every_parameter_learns_through_the_channel():
    codec = tiny(feature_range=(-math.inf, math.inf), decoder_widths=(16,)).train()
    x = features(8)
    ((codec(x, BinarySymmetric(torch.full((8,), 0.02, dtype=torch.float64))).feature - x) ** 2).mean().backward()
    silent = [name for name, each in codec.named_parameters() if each.grad is None or not each.grad.any()]
    assert not silent
    assert (codec.quantizer.centers.grad != 0).all() and (codec.encoder.conv.weight.grad != 0).all()


def test_occupancy_is_differentiable():
    codec = tiny().train()
    (codec(features(), BinarySymmetric(0.0)).occupancy ** 2).sum().backward()
    assert codec.encoder.conv.weight.grad.any() and codec.quantizer.centers.grad.any()


def test_the_receiver_believes_a_rate_for_each_sample():
    codec, x = tiny(), features(3)
    rates = torch.tensor([0.0, 0.01, 0.3], dtype=torch.float64)
    payload = codec.compress(x)
    together = codec.decompress(Arrival(payload, ber=rates), x.shape[1:])
    for i, rate in enumerate(rates.tolist()):
        alone = Arrival(Payload(payload.data[i : i + 1]), ber=rate)
        assert torch.allclose(together[i : i + 1], codec.decompress(alone, x.shape[1:]))
    assert not torch.allclose(together[2], codec.decompress(perfect(payload), x.shape[1:])[2])


def test_a_receiver_that_knows_no_rate_assumes_one():
    codec, x = tiny(), features(3)
    payload = codec.compress(x)
    assumed = codec.decompress(Arrival(payload), x.shape[1:])
    assert torch.equal(assumed, codec.decompress(Arrival(payload, ber=ASSUMED_BER), x.shape[1:]))
    assert not torch.allclose(assumed, codec.decompress(perfect(payload), x.shape[1:]))


@pytest.mark.parametrize("centers", [8, 32])
@pytest.mark.parametrize("received", [0, 1, 2, 7, 13, None])
@pytest.mark.slow
def test_what_is_missing_becomes_the_mean_symbol(centers, received):
    codec, x = tiny(centers=centers), features(2)
    codec.quantizer.prior.copy_(torch.linspace(1, 2, centers) / torch.linspace(1, 2, centers).sum())
    arrival = Arrival(codec.compress(x), ber=0.01)
    length = arrival.payload.data.shape[1] if received is None else received
    cut = arrival if received is None else arrival.cut(received)
    assert codec.decompress(cut, x.shape[1:]).isfinite().all()
    codec.decoder = Latent()
    whole = codec.decompress(arrival, x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    got = codec.decompress(cut, x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    complete, lost = length * 8 // codec.quantizer.bits, list(range(length, arrival.payload.data.shape[1]))
    assert torch.equal(got[:, :complete], whole[:, :complete])
    mean = codec.quantizer.prior @ codec.quantizer.levels
    assert torch.allclose(got[:, complete + 1 :], mean.expand(2, max(whole.shape[1] - complete - 1, 0)))
    if complete < whole.shape[1]:  # a symbol that came in part is worth what that part says
        known = arrived_mask(codec, complete, lost)
        expected = [worth(codec, words[complete], known, 0.01) for words in sent_words(codec, arrival.payload)]
        assert got[:, complete].tolist() == pytest.approx(expected)


def with_lost(payload: Payload, lost: list[list[int]]) -> Arrival:
    """Return an errorless arrival that lacks some bytes of each sample; what stands in their place is noise."""
    present = torch.ones_like(payload.data, dtype=torch.bool)
    for row, places in enumerate(lost):
        present[row, places] = False
    noise = torch.randint(256, payload.data.shape, dtype=torch.uint8)
    return Arrival(Payload(torch.where(present, payload.data, noise)), present, ber=0.0)


@pytest.mark.parametrize("centers", [8, 32])
def test_bytes_lost_in_the_middle_take_their_own_symbols_alone(centers):
    codec, x = tiny(centers=centers), features(3)
    codec.quantizer.prior.copy_(torch.linspace(1, 2, centers) / torch.linspace(1, 2, centers).sum())
    codec.decoder, payload = Latent(), codec.compress(x)
    lost = [[5, 6], [0, payload.data.shape[1] - 1], []]
    whole = codec.decompress(perfect(payload), x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    got = codec.decompress(with_lost(payload, lost), x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    for row, (words, places) in enumerate(zip(sent_words(codec, payload), lost, strict=True)):
        for symbol in range(whole.shape[1]):
            known = arrived_mask(codec, symbol, places)
            untouched = known == 2**codec.quantizer.bits - 1
            expected = float(whole[row, symbol]) if untouched else worth(codec, words[symbol], known, 1e-9)
            assert float(got[row, symbol]) == pytest.approx(expected, rel=1e-6, abs=1e-6), (row, symbol)


@pytest.mark.parametrize("side", [4, 6])
def test_in_progressive_order_bytes_lost_in_the_middle_are_mirrored_from_within(side):
    """Pixels that came stay; others are mirrored from the largest central window that came before the first loss."""
    codec, x, slice = tiny(), features(4, 2 * side, 2 * side), Slice(progressive=True)
    codec.decoder, shape = Latent(), x.shape[1:]
    payload = codec.compress(x, slice)
    lost = [[7], [7, 8, payload.data.shape[1] - 1], [payload.data.shape[1] - 2], []]
    whole = codec.decompress(perfect(payload), shape, slice)
    got = codec.decompress(with_lost(payload, lost), shape, slice)
    order, bits = center_out(side, side).tolist(), 4 * codec.quantizer.bits  # bits of a pixel
    for row, places in enumerate(lost):
        came = [
            not any(number * bits // 8 <= place <= (number * bits + bits - 1) // 8 for place in places)
            for number in range(side**2)
        ]
        before = came.index(False) if places else side**2
        windows = [each for each in nested(side, side) if each[2] * each[3] <= before]
        top, left, high, wide = windows[-1]
        inside = whole[row, :, top : top + high, left : left + wide]
        for number, pixel in enumerate(order):
            i, j = divmod(pixel, side)
            if came[number]:
                expected = whole[row, :, i, j]
            else:
                expected = inside[:, mirrored(i - top, high), mirrored(j - left, wide)]
            assert torch.equal(got[row, :, i, j], expected), (row, i, j)


def mirrored(place: int, length: int) -> int:
    """Return which of `length` places one beyond their ends mirrors, by walking back and forth."""
    walk = [*range(length), *range(length - 2, 0, -1)] or [0]
    return walk[place % len(walk)]


def test_in_progressive_order_without_any_whole_window_lost_symbols_are_the_mean():
    codec, x, slice = tiny(), features(2), Slice(progressive=True)
    codec.decoder, payload = Latent(), codec.compress(x, slice)
    got = codec.decompress(with_lost(payload, [[0], list(range(24))]), x.shape[1:], slice)
    whole = codec.decompress(perfect(payload), x.shape[1:], slice)
    mean = codec.quantizer.prior @ codec.quantizer.levels
    i, j = divmod(int(center_out(4, 4)[0]), 4)
    assert torch.allclose(got[0, :2, i, j], mean.expand(2)), "byte 0 holds the first two symbols and part of the third"
    expected = worth(codec, sent_words(codec, payload)[0][2], 0b100, 1e-9)
    assert float(got[0, 2, i, j]) == pytest.approx(expected, abs=1e-6)
    assert torch.equal(got[0, 3, i, j], whole[0, 3, i, j])
    others = torch.ones(4, 4, dtype=torch.bool)
    others[i, j] = False
    assert torch.equal(got[0][:, others], whole[0][:, others])
    assert torch.allclose(got[1], mean.expand(4, 4, 4))


def test_what_is_behind_a_samples_length_counts_as_lost_where_presence_is_known():
    codec, x = tiny(), features(2)
    codec.decoder, payload = Latent(), codec.compress(x)
    short = Payload(payload.data, torch.tensor([24, 6]))
    got = codec.decompress(Arrival(short, torch.ones_like(payload.data, dtype=torch.bool), 0.0), x.shape[1:])
    assert torch.equal(got[0], codec.decompress(perfect(payload), x.shape[1:])[0])
    assert torch.equal(got[1], codec.decompress(perfect(payload).cut(6), x.shape[1:])[1])


@pytest.mark.parametrize("length", [0, 23, 25])
def test_a_wrong_length_is_refused_naming_both(length):
    with pytest.raises(ValueError, match=rf"24 bytes.*\(1, {length}\)"):
        tiny().decompress(perfect(Payload(torch.zeros(1, length, dtype=torch.uint8))), (4, 8, 8))


@pytest.mark.parametrize(("length", "received"), [(10, 10), (10, 3), (25, 25), (25, 24)])
def test_a_wrong_length_is_refused_however_much_of_it_arrived(length, received):
    with pytest.raises(ValueError, match=rf"24 bytes.*\(1, {length}\)"):
        arrival = perfect(Payload(torch.zeros(1, length, dtype=torch.uint8)))
        tiny().decompress(arrival.cut(received), (4, 8, 8))


def test_what_does_not_fit_is_refused_by_name():
    codec, payload = tiny(), Payload(torch.zeros(1, 24, dtype=torch.uint8))
    for wrong in (torch.rand(1, 5, 8, 8), torch.rand(4, 8, 8)):
        with pytest.raises(ValueError, match=r"features must be \(B, 4, H, W\)"):
            codec.compress(wrong)
    with pytest.raises(ValueError, match=r"features must be \(B, 4, H, W\), got \(B, 5, 8, 8\)"):
        codec.decompress(perfect(payload), (5, 8, 8))
    with pytest.raises(ValueError, match="ber must be in"):
        codec.decompress(Arrival(payload, ber=0.6), (4, 8, 8))
    with pytest.raises(ValueError, match="ratio must be in"):
        codec.compress(features(), Slice(1.5))
    with pytest.raises(ValueError, match="uint8"):
        codec.decompress(perfect(Payload(payload.data.float())), (4, 8, 8))


def test_calibration_spreads_latents_over_equally_used_centers():
    codec, x = tiny(), features(64)
    codec.calibrate(x)
    latent = codec.encoder(x)
    before = codec.encoder.conv(codec.encoder.padded(x))
    assert torch.allclose(before.mean((0, 2, 3)), torch.zeros(4, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(before.std((0, 2, 3)), torch.full((4,), 2.0, dtype=torch.float64), atol=1e-4)
    assert float(latent.std().detach()) == pytest.approx(1, abs=1e-4)
    share = codec.quantizer.assign(latent.contiguous()).flatten().bincount(minlength=8) / latent.numel()
    assert float(share.min()) > 0.06, "all of 8 centres are used from the start"


def test_configured_orders_are_set_and_optimal_needs_no_seed():
    assert tiny(code_order="gray").quantizer.code.tolist() == [0, 1, 3, 2, 6, 7, 5, 4]
    codec = tiny(code_order="random")
    codec.set_code_order(seed=5)
    first = codec.quantizer.code.tolist()
    codec.set_code_order(seed=6)
    assert first != codec.quantizer.code.tolist()
    assert tiny().quantizer.code.tolist() == tiny().quantizer.code.tolist()


@pytest.mark.parametrize("progressive", [False, True])
def test_bytes_behind_a_sample_s_length_are_lost_and_not_zeros(progressive):
    codec, x, slice = tiny(), features(2), Slice(progressive=progressive)
    data = codec.compress(x, slice).data
    data[1, 10:] = 0
    short = Arrival(Payload(data, torch.tensor([data.shape[1], 10])), ber=0.01)
    got = codec.decompress(short, x.shape[1:], slice)
    cut = codec.decompress(Arrival(Payload(data[1:]), ber=0.01).cut(10), x.shape[1:], slice)
    torch.testing.assert_close(got[1:], cut, rtol=0, atol=1e-12)  # a batch of another size may add up otherwise
    assert not torch.allclose(cut, codec.decompress(Arrival(Payload(data[1:]), ber=0.01), x.shape[1:], slice))
