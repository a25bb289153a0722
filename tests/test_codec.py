"""The codec's contract: training's way and the real bytes' way agree, at any size, ratio and damage."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.payload import pack
from semanticnn_core.codec.slicing import sliced_length
from semanticnn_core.config import CodecConfig

RESNET = {"feature_channels": 64, "feature_range": (0.0, math.inf), "code_channels": 32}


def tiny(seed: int = 0, **settings) -> SemanticCodec:
    """Return a codec for 4-channel features in float64 (so that batching rounds nothing visible), calibrated."""
    torch.manual_seed(seed)
    defaults = {"feature_channels": 4, "code_channels": 4, "kernel": 2, "stride": 2, "decoder_widths": (8,)}
    codec = SemanticCodec(CodecConfig(**defaults | settings)).double().eval()
    codec.calibrate(features(8))
    codec.set_code_order()
    return codec


def features(count: int = 3, height: int = 8, width: int = 8, channels: int = 4) -> Tensor:
    return 6 * torch.rand(count, channels, height, width, dtype=torch.float64) ** 2


class KnownFlips:
    """A channel that flips the same given bits of code words (B, symbols), packed or not."""

    def __init__(self, pattern: Tensor, bits: int, ber: float) -> None:
        self.pattern, self.bits, self.ber = pattern, bits, ber

    def on_symbols(self, symbols: Tensor, bits: int) -> Tensor:
        return symbols ^ self.pattern.view(symbols.shape)

    def __call__(self, payload: Tensor) -> Tensor:
        return payload ^ pack(self.pattern.byte(), self.bits)


class Latent(nn.Module):
    """Stands in for the decoder and returns what it is given."""

    def forward(self, latent: Tensor, ber: float, height: int, width: int) -> Tensor:
        return latent


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
@pytest.mark.parametrize("order", ["optimal", "random"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_without_errors_forward_is_decompress_of_compress(dequantizer, order, ratio):
    codec, x = tiny(dequantizer=dequantizer, code_order=order), features()
    forward = codec(x, BinarySymmetric(0.0), ratio).feature
    assert torch.allclose(codec.decompress(codec.compress(x, ratio), 0.0, x.shape[1:], ratio), forward)


@settings(max_examples=50, deadline=None)
@given(
    centers=st.sampled_from([2, 8, 32]),
    ber=st.floats(0, 0.5),
    ratio=st.floats(0.01, 1),
    size=st.tuples(st.integers(2, 11), st.integers(2, 11)),
    seed=st.integers(0, 1000),
)
def test_the_same_flips_give_the_same_feature_on_both_ways(centers, ber, ratio, size, seed):
    codec = tiny(seed, centers=centers, code_order="gray")
    x = features(3, *size)
    symbols = math.prod(codec.code_shape(x.shape[1:], ratio))
    channel = KnownFlips(torch.randint(centers, (3, symbols)), codec.quantizer.bits, ber)
    received = codec.decompress(channel(codec.compress(x, ratio)), ber, x.shape[1:], ratio)
    assert torch.allclose(received, codec(x, channel, ratio).feature)


@pytest.mark.parametrize(
    ("config", "shape", "code", "expected"),
    [
        (CodecConfig(), (32, 32, 32), (16, 8, 8), 384),
        (CodecConfig(**RESNET, kernel=2, stride=2), (64, 16, 16), (32, 8, 8), 768),
        (CodecConfig(**RESNET), (64, 56, 56), (32, 14, 14), 2352),
        (CodecConfig(feature_channels=24, code_channels=12), (24, 112, 112), (12, 28, 28), 3528),
        (CodecConfig(code_channels=8), (32, 32, 32), (8, 8, 8), 192),
    ],
)
def test_the_published_payloads(config, shape, code, expected):
    codec = SemanticCodec(config).eval()
    assert codec.code_shape(shape) == code and codec.payload_bytes(shape) == expected
    payload = codec.compress(torch.rand(1, *shape))
    assert payload.shape == (1, expected) and payload.dtype == torch.uint8
    assert codec.decompress(payload, 0.01, shape).shape == (1, *shape)


@settings(max_examples=30, deadline=None)
@given(
    stride=st.sampled_from([1, 2, 4, 8]),
    overlap=st.integers(0, 3),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    ratio=st.floats(0.01, 1),
)
def test_any_feature_comes_back_in_its_shape_and_range(stride, overlap, height, width, ratio):
    codec = tiny(stride=stride, kernel=stride + overlap, decoder_widths=(6, 5), feature_range=(0.5, 0.7))
    x = features(2, height, width)
    code = (4, *(sliced_length(-(-side // stride), ratio) for side in (height, width)))
    payload = codec.compress(x, ratio)
    assert codec.code_shape((4, height, width), ratio) == code
    assert payload.shape == (2, -(-math.prod(code) * 3 // 8)) == (2, codec.payload_bytes((4, height, width), ratio))
    received = codec.decompress(payload, 0.02, (4, height, width), ratio)
    assert received.shape == x.shape and 0.5 <= float(received.min()) and float(received.max()) <= 0.7
    assert codec(x, BinarySymmetric(0.02), ratio).symbols.shape == (2, *code)


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
    assert codec.compress(x)[0].tolist() == list(number.to_bytes(24, "little"))


@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_an_image_alone_or_in_any_company_gives_the_same_bytes(ratio):
    codec, x = tiny(kernel=3), features(4)
    x[1:] *= torch.tensor([0.0, 5.0, 100.0])[:, None, None, None]
    together = codec.compress(x, ratio)
    assert all(torch.equal(codec.compress(x[i : i + 1], ratio)[0], together[i]) for i in range(4))


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
        assert torch.allclose(codec.decompress(codec.compress(x), 0.0, x.shape[1:]), torch.full_like(x, expected))


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
    together = codec.decompress(payload, rates, x.shape[1:])
    for i, rate in enumerate(rates.tolist()):
        assert torch.allclose(together[i : i + 1], codec.decompress(payload[i : i + 1], rate, x.shape[1:]))
    assert not torch.allclose(together[2], codec.decompress(payload, 0.0, x.shape[1:])[2])


@pytest.mark.parametrize("centers", [8, 32])
@pytest.mark.parametrize("received", [0, 1, 2, 7, 13, None])
def test_what_is_missing_becomes_the_mean_symbol(centers, received):
    codec, x = tiny(centers=centers), features(2)
    codec.quantizer.prior.copy_(torch.linspace(1, 2, centers) / torch.linspace(1, 2, centers).sum())
    payload = codec.compress(x)
    cut = payload if received is None else payload[:, :received]
    assert codec.decompress(cut, 0.01, x.shape[1:], received=received).isfinite().all()
    codec.decoder = Latent()
    whole = codec.decompress(payload, 0.01, x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    got = codec.decompress(cut, 0.01, x.shape[1:], received=received).permute(0, 2, 3, 1).flatten(1)
    complete = cut.shape[1] * 8 // codec.quantizer.bits
    assert torch.equal(got[:, :complete], whole[:, :complete])
    mean = codec.quantizer.prior @ codec.quantizer.levels
    assert torch.allclose(got[:, complete:], mean.expand(2, whole.shape[1] - complete))


@pytest.mark.parametrize("length", [0, 23, 25])
def test_a_wrong_length_is_refused_naming_both(length):
    with pytest.raises(ValueError, match=rf"24 bytes.*\(1, {length}\)"):
        tiny().decompress(torch.zeros(1, length, dtype=torch.uint8), 0.0, (4, 8, 8))


@pytest.mark.parametrize(("length", "received"), [(10, 11), (25, 25), (24, 10)])
def test_a_wrong_number_of_received_bytes_is_refused_naming_all(length, received):
    with pytest.raises(ValueError, match=rf"24 bytes, of which {received} .*\(1, {length}\)"):
        tiny().decompress(torch.zeros(1, length, dtype=torch.uint8), 0.0, (4, 8, 8), received=received)


def test_what_does_not_fit_is_refused_by_name():
    codec, payload = tiny(), torch.zeros(1, 24, dtype=torch.uint8)
    for wrong in (torch.rand(1, 5, 8, 8), torch.rand(4, 8, 8)):
        with pytest.raises(ValueError, match=r"features must be \(B, 4, H, W\)"):
            codec.compress(wrong)
    with pytest.raises(ValueError, match=r"4 channels.*\(5, 8, 8\)"):
        codec.decompress(payload, 0.0, (5, 8, 8))
    with pytest.raises(ValueError, match="ber must be in"):
        codec.decompress(payload, 0.6, (4, 8, 8))
    with pytest.raises(ValueError, match="slice_ratio must be in"):
        codec.compress(features(), 1.5)
    with pytest.raises(ValueError, match="uint8"):
        codec.decompress(payload.float(), 0.0, (4, 8, 8))


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
