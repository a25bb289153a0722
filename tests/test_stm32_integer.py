"""The integer encoder: every layer is the float network's, rounded once; nothing overflows, whatever the image."""

import copy
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stm32_models import RESNET, calibration, photos, quantized, small_codec, small_model
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.datasets import load_dataset
from semanticnn_core.stm32.extremes import flat_and_loud
from semanticnn_core.stm32.integer import IntegerLayer
from semanticnn_core.stm32.quantize import ExportError, quantize_encoder
from semanticnn_core.systems import load_checkpoint

MODELS = [
    ({}, {}),
    ({"kernel": 5, "six": False, "bias": True}, {"kernel": 3, "code_channels": 5}),
    (RESNET, {"kernel": 5, "stride": 4, "centers": 4}),
    ({"channels": 32}, {"kernel": 4, "stride": 4, "code_channels": 16, "centers": 16}),
]
WORD = 2**31 - 1


@pytest.fixture(params=MODELS, ids=["mobilenet", "relu", "resnet", "fine"])
def parts(request):
    """A network, its codec, and the integer encoder of both."""
    model_settings, codec_settings = request.param
    model = small_model(**model_settings)
    codec = small_codec(model, **codec_settings)
    return model, codec, quantized(model, codec)


def patches(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return what a kernel sees of integers (B, C, H, W) at every place, (B, h, w, C, k, k)."""
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride).permute(0, 2, 3, 1, 4, 5)


def summed(layer: IntegerLayer, x: Tensor) -> Tensor:
    """Return a layer's sums in int64 all the way."""
    seen = patches(x, layer.weight.shape[-1], layer.stride)
    return torch.einsum("bhwcij,ocij->bohw", seen, layer.weight) + layer.bias[:, None, None]


def rounding(layer: IntegerLayer, inputs: Tensor, most: float = 0.5) -> Tensor:
    """Return how far a layer's output can be from the float network's, in steps: its own rounding and its weights'.

    most: how far a weight is moved, in steps of its own.
    """
    kernel = layer.weight.shape[-1]
    magnitude = F.conv2d(
        inputs.abs().double().sum(1, True), torch.ones(1, 1, kernel, kernel).double(), None, layer.stride
    )
    return 0.51 + (most * magnitude + 1) * (layer.multiplier.double() / 2.0**layer.shift)[:, None, None]


@pytest.mark.slow
def test_the_feature_is_within_half_a_step_of_the_float_network_s(parts):
    model, _, encoder = parts
    images = torch.cat([photos(16), flat_and_loud(32)])
    wanted = (model.device_part(images).double() / encoder.stem.step).clamp(0, 255)
    allowed = rounding(encoder.stem, F.pad(encoder.pixels(images), (encoder.stem_padding,) * 4))
    allowed = F.max_pool2d(allowed, 3, 2, 1) if encoder.pool else allowed
    error = (encoder.feature(images) - wanted).abs()
    assert (error <= allowed).all() and float(allowed.max()) < 0.6
    top = min(model.feature_range[1], float(model.device_part(calibration(model)).max()))
    assert top == pytest.approx(255 * encoder.stem.step), "all 255 steps are used"


def test_the_latent_is_the_float_convolution_s_but_for_rounding(parts):
    model, codec, encoder = parts
    feature = encoder.feature(torch.cat([photos(16), flat_and_loud(32)]))
    float_encoder = copy.deepcopy(codec.encoder).double()
    wanted = float_encoder.conv(float_encoder.padded(feature.double() * encoder.stem.step)) / encoder.code.step
    latent, wanted = encoder.latent(feature), wanted.clamp(-32768, 32767)
    assert ((latent - wanted).abs() <= rounding(encoder.code, F.pad(feature, encoder.margin * 2), 1)).all()
    assert float((latent - wanted).std() / wanted.std()) < 0.02


@pytest.mark.slow
def test_most_symbols_are_the_float_network_s_and_all_others_one_step_away(parts):
    model, codec, encoder = parts
    images = photos(32)
    off = (encoder(images) - codec.quantizer.assign(codec.encoder(model.device_part(images)))).abs()
    assert float((off > 0).double().mean()) < 0.003 * max(8, codec.config.centers) and int(off.max()) <= 1


@pytest.mark.slow
def test_the_shipped_checkpoint_keeps_99_percent_of_its_symbols():
    checkpoint = load_checkpoint()
    data = load_dataset("scene_digits", "data", checkpoint.model.image_size)
    encoder = quantize_encoder(checkpoint.model, checkpoint.codec, data.train.first(256)["image"])
    images = data.test.first(48)["image"]
    wanted = checkpoint.codec.quantizer.assign(checkpoint.codec.encoder(checkpoint.model.device_part(images)))
    off = (encoder(images) - wanted).abs()
    assert float((off == 0).double().mean()) >= 0.99 and int(off.max()) == 1
    assert encoder.macs == 32**2 * 32 * 27 + 8**2 * 16 * 32 * 16


@given(sum_=st.integers(-WORD - 1, WORD), multiplier=st.integers(0, WORD), shift=st.integers(33, 62))
def test_requantizing_rounds_the_exact_product_once_and_half_upwards(sum_, multiplier, shift):
    one = torch.ones(1, 1, 1, 1, dtype=torch.int64)
    layer = IntegerLayer(one, one.flatten(), torch.tensor([multiplier]), shift, 1, 1.0)
    wanted = math.floor(Fraction(sum_ * multiplier, 2**shift) + Fraction(1, 2))
    assert layer.requantize(torch.tensor([[[[sum_]]]])).item() == wanted


def test_sums_are_exact_and_reach_the_worst_case_which_fits_31_bits(parts):
    _, _, encoder = parts
    low, high = -encoder.zero_point[:, None, None], 255 - encoder.zero_point[:, None, None]
    full = torch.zeros_like(encoder.code.weight[0, :, :1, :1])
    for layer, lowest, highest in ((encoder.stem, low, high), (encoder.code, full, full + 255)):
        reached, calculated = [], []
        for sign in (1, -1):
            worst = torch.where(sign * layer.weight > 0, highest, lowest)  # (outputs, inputs, k, k): one image for each
            sums = layer.accumulate(worst)[..., 0, 0]
            assert torch.equal(sums, summed(layer, worst)[..., 0, 0])
            by_hand = (layer.weight * worst).sum((1, 2, 3)) + layer.bias
            assert torch.equal(sums.diag(), by_hand)
            reached, calculated = [*reached, sums.abs().max()], [*calculated, by_hand.abs().max()]
        assert max(reached) == max(calculated) <= WORD


def test_the_numbers_fit_the_types_that_hold_them_in_c(parts):
    _, _, encoder = parts
    for layer, limit in ((encoder.stem, 32767), (encoder.code, 127)):
        assert int(layer.weight.abs().max()) == limit and int(layer.bias.abs().max()) <= WORD
        assert 33 <= layer.shift <= 62 and 0 <= int(layer.multiplier.min()) and int(layer.multiplier.max()) <= WORD
    assert 0 <= int(encoder.gamma.min()) and int(encoder.gamma.max()) == 65535 and 0 < int(encoder.beta.min())
    assert (encoder.thresholds.diff() > 0).all() and int(encoder.thresholds.abs().max()) <= WORD
    largest = [sum(row) * 2**30 + beta for row, beta in zip(encoder.gamma.tolist(), encoder.beta.tolist(), strict=True)]
    assert max(largest) < 2**63 and max(largest) >> encoder.norm_shift <= WORD
    assert 0 <= encoder.square_shift <= 32  # 2^30 · 2^32 is a signed 64-bit number


@pytest.mark.slow
def test_symbols_are_those_of_gdn_prelu_and_nearest_centre(parts):
    _, codec, encoder = parts
    precise = copy.deepcopy(codec).double()
    gdn, count = precise.encoder.gdn, codec.config.code_channels
    latent = (torch.randn(40, count, 9, 9) * 2.0 ** torch.randint(4, 15, (40, 1, 1, 1))).long().clamp(-32768, 32767)
    latent[0], latent[1], latent[2] = 0, -32768, 32767
    x = latent.double() * encoder.code.step
    wanted = precise.quantizer.assign(precise.encoder.prelu(gdn(x)) * precise.encoder.scale)
    off = (encoder.quantize(latent) - wanted).abs()
    # a tie is what the rounding of γ to 16 bits, and of norm and thresholds to 31, can decide
    levels = precise.quantizer.levels
    limits = (levels[1:] + levels[:-1]) / 2 / precise.encoder.scale
    limits = torch.where(limits < 0, limits / precise.encoder.prelu.slope[:, None], limits)
    limits = (limits * limits.abs())[:, None, None]  # (K, 1, 1, n − 1)
    norm = F.conv2d(x * x, gdn.gamma[:, :, None, None], gdn.beta)
    energy = (x * x).sum(1, True)
    doubt = (0.51 / 65535 * gdn.gamma.amax(1)[:, None, None] * energy + 2.0**-29 * norm.max()) / norm
    margin = limits.abs() * doubt[..., None] + 2.0**-30 * limits.abs().amax(-1, True)
    tie = (((x * x.abs() / norm)[..., None] - limits).abs() <= margin).any(-1)
    assert not off[~tie].any() and int(off.max()) <= 1 and float(tie.double().mean()) < 0.02
    assert set(encoder.quantize(latent).unique().tolist()) == set(range(codec.config.centers))


@pytest.mark.slow
def test_a_latent_beyond_calibration_saturates():
    model = small_model(channels=32)
    codec = small_codec(model, code_channels=16, kernel=8, stride=8)
    encoder = quantize_encoder(model, codec, photos(8) // 16 + 60)  # of little contrast
    feature = encoder.feature(flat_and_loud(32))
    wanted = codec.encoder.conv(feature * encoder.stem.step) / encoder.code.step
    beyond = wanted.abs() > 33000
    assert beyond.any() and torch.equal(encoder.latent(feature)[beyond], wanted[beyond].clamp(-32768, 32767).long())


@pytest.mark.parametrize(("weight", "bias"), [(0.0, 0.0), (0.0, -1.0), (0.0, 2.0), (1.0, 1e4), (1.0, -1e4)])
def test_a_dead_or_constant_channel_disturbs_no_other(weight, bias):
    model = small_model()
    codec = small_codec(model)
    model.device_part[2].weight[3], model.device_part[2].bias[3] = weight, bias
    encoder, images = quantized(model, codec), photos(16)
    feature, wanted = encoder.feature(images), model.device_part(images)
    assert float((feature * encoder.stem.step - wanted).abs().max()) < 0.6 * encoder.stem.step
    off = encoder(images) - codec.quantizer.assign(codec.encoder(wanted))
    assert float((off == 0).double().mean()) > 0.95


def test_a_stem_that_needs_steps_coarser_than_the_feature_s_is_right_or_refused():
    model = small_model()
    codec = small_codec(model)
    model.device_part[2].bias[3] = -3e7
    try:
        encoder = quantized(model, codec)
    except ExportError as error:
        assert "stem" in str(error)
    else:
        wanted = codec.quantizer.assign(codec.encoder(model.device_part(photos(16))))
        assert float((encoder(photos(16)) == wanted).double().mean()) > 0.95


def test_a_huge_bias_of_the_encoder_is_right():
    model = small_model()
    codec = small_codec(model)
    codec.encoder.conv.bias[1] = 100.0
    wanted = codec.quantizer.assign(codec.encoder(model.device_part(photos(16))))
    assert float((quantized(model, codec)(photos(16)) == wanted).double().mean()) > 0.95


def test_the_smallest_thresholds_leave_squares_in_64_bits():
    model = small_model()
    codec = small_codec(model)
    codec.encoder.scale.mul_(3e4)
    encoder, images = quantized(model, codec), photos(16)
    wanted = codec.quantizer.assign(codec.encoder(model.device_part(images)))
    assert encoder.square_shift == 32 and float((encoder(images) == wanted).double().mean()) > 0.99


def test_centres_in_any_order_give_the_same_encoder():
    model = small_model()
    codec = small_codec(model)
    first = quantized(model, codec)
    codec.quantizer.centers.copy_(codec.quantizer.centers.flip(0))
    assert torch.equal(first.thresholds, quantized(model, codec).thresholds)
