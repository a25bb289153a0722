"""What cannot become firmware is refused before anything is written, by name, with what to do about it."""

import math

import pytest
import torch
from stm32_models import calibration, model_of, photos, quantized, small_codec, small_firmware, small_model
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import Slice
from semanticnn_core.stm32.project import expected_costs
from semanticnn_core.stm32.quantize import ExportError, check_sizes, quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems.checkpoints import CheckpointError
from semanticnn_core.tasks.split import PixelNormalize, SplitModel


@pytest.fixture
def model() -> SplitModel:
    return small_model()


@pytest.fixture
def codec(model) -> SemanticCodec:
    return small_codec(model)


def stem(*arguments, channels: int = 8, **options) -> list[nn.Module]:
    """Return a device part whose convolution has these settings."""
    return [PixelNormalize(), nn.Conv2d(3, channels, *arguments, **options), nn.BatchNorm2d(channels), nn.ReLU6()]


LAYERS = {
    "no batch norm": (
        lambda: [PixelNormalize(), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6()],
        "cut the network after its first",
    ),
    "a sigmoid": (lambda: [*stem(3, 2, 1)[:3], nn.Sigmoid()], "PixelNormalize, Conv2d, BatchNorm2d, Sigmoid"),
    "a second layer": (lambda: [*stem(3, 2, 1), nn.Conv2d(8, 8, 1)], "ReLU6, Conv2d; the firmware has code for"),
    "six layers": (lambda: [*stem(3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Identity()], "MaxPool2d, Identity; the firmware"),
    "another normalisation": (lambda: [nn.Identity(), PixelNormalize(), *stem(3, 2, 1)[1:]], "device part is Identity"),
    "stride 1": (lambda: stem(3, 1, 1), "square convolution of stride 2 over RGB, got Conv2d"),
    "stride 4": (lambda: stem(5, 4, 1), "square convolution of stride 2 over RGB, got Conv2d"),
    "groups": (lambda: stem(3, 2, 1, groups=3, channels=12), "got Conv2d.*groups=3"),
    "dilation": (lambda: stem(3, 2, 2, dilation=2), r"got Conv2d.*dilation=\(2, 2\)"),
    "reflected borders": (lambda: stem(3, 2, 1, padding_mode="reflect"), "got Conv2d.*padding_mode=reflect"),
    "an oblong kernel": (lambda: stem((3, 5), 2, (1, 2)), r"got Conv2d.*kernel_size=\(3, 5\)"),
    "an oblong padding": (lambda: stem(3, 2, (1, 0)), r"got Conv2d.*padding=\(1, 0\)"),
    "too little padding": (lambda: stem(3, 2, 0), r"features \(15, 15\) of 32 px.*halves the size exactly, got 0"),
    "too much padding": (lambda: stem(3, 2, 2), r"features \(17, 17\) of 32 px.*halves the size exactly, got 2"),
    "another pool": (lambda: [*stem(3, 2, 1), nn.MaxPool2d(2)], "3×3 with stride 2 and padding 1, got MaxPool2d"),
    "no statistics": (
        lambda: [*stem(3, 2, 1)[:2], nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU6()],
        "no running statistics",
    ),
    "six channels": (lambda: stem(3, 2, 1, channels=6), "by fours; the device part has 6"),
}


@pytest.mark.parametrize(("layers", "said"), LAYERS.values(), ids=LAYERS)
@pytest.mark.slow
def test_a_device_part_without_code_in_the_firmware_is_refused(layers, said):
    model = model_of(layers())
    with pytest.raises(ExportError, match=said):
        quantized(model, small_codec(model))


def test_a_device_part_that_is_no_sequence_is_refused_by_its_name():
    model = SplitModel(PixelNormalize(), nn.Flatten(), 32)
    with pytest.raises(ExportError, match="the device part is PixelNormalize; the firmware has code for"):
        quantized(model, small_codec(model))


@pytest.mark.parametrize(
    "images",
    [torch.rand(2, 3, 32, 32), photos(1)[0], photos(1)[:0], photos(1)[:, :1]],
    ids=["floats", "one image", "none", "grey"],
)
def test_calibration_images_of_another_kind_are_refused(images, model, codec):
    with pytest.raises(ExportError, match=r"must be uint8 \(B, 3, H, W\), got torch\.\w+ \("):
        quantize_encoder(model, codec, images)


def test_a_codec_of_another_network_is_refused_naming_both_numbers_of_channels(model):
    with pytest.raises(ExportError, match="features of 12 channels, the device part has 8"):
        quantized(model, small_codec(small_model(channels=12)))


@pytest.mark.parametrize(
    ("size", "pool", "stride", "near"), [(34, False, 2, 32), (44, True, 4, 48), (32, True, 16, 64)]
)
def test_an_image_size_that_is_no_whole_number_of_strides_is_refused_naming_one_that_is(size, pool, stride, near):
    model = small_model(size=size, pool=pool)
    codec = small_codec(model, kernel=stride, stride=stride)
    for refused in (
        lambda: quantized(model, codec),
        lambda: check_sizes(model, codec.config),
        lambda: expected_costs(model, codec.config),
    ):
        with pytest.raises(ExportError, match=f"images of {size} px are no .*use {near} px"):
            refused()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda codec: codec.quantizer.centers[2:4].fill_(0.1), "centres must be finite and differ"),
        (lambda codec: codec.quantizer.centers[2].fill_(math.nan), "centres must be finite and differ"),
        (lambda codec: codec.encoder.prelu.log_slope[1].fill_(-math.inf), "slopes must be > 0"),
        (lambda codec: codec.encoder.prelu.log_slope[1].fill_(math.nan), "slopes must be > 0"),
        (lambda codec: codec.encoder.scale.fill_(0), "scale must be one positive number"),
        (lambda codec: codec.encoder.scale.fill_(math.nan), "scale must be one positive number"),
        (lambda codec: codec.quantizer.code[0].copy_(codec.quantizer.code[1]), "every code word once"),
    ],
    ids=["equal centres", "a centre of nan", "slope 0", "slope nan", "scale 0", "scale nan", "a code word twice"],
)
def test_a_codec_that_no_device_can_run_is_refused(spoil, said, model, codec):
    spoil(codec)
    with pytest.raises(CheckpointError, match=said):
        quantized(model, codec)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda model, codec: model.device_part[1].weight[0].fill_(math.nan), "the stem's weights are not finite"),
        (lambda model, codec: model.device_part[2].running_var[0].fill_(math.nan), "the stem's weights are not finite"),
        (lambda model, codec: codec.encoder.conv.weight[0].fill_(math.nan), "the encoder's weights are not finite"),
        (lambda model, codec: codec.encoder.conv.bias[0].fill_(math.inf), "the encoder's weights are not finite"),
        (lambda model, codec: codec.encoder.gdn.raw_gamma[0].fill_(math.nan), "not finite"),
        (lambda model, codec: codec.encoder.gdn.raw_beta[0].fill_(math.nan), "not finite"),
        (
            lambda model, codec: codec.encoder.prelu.log_slope[0].fill_(-25),
            "too far for 32 bits; the smallest slope is",
        ),
    ],
    ids=["stem", "statistics", "encoder", "encoder's bias", "GDN's weights", "GDN's constants", "a tiny slope"],
)
def test_diverged_weights_are_refused(spoil, said, model, codec):
    spoil(model, codec)
    with pytest.raises(ExportError, match=said):
        quantized(model, codec)


@pytest.mark.parametrize(("value", "said"), [(math.nan, "not finite"), (0.0, "the stem is dead")])
def test_a_stem_of_open_range_that_gives_nothing_says_why(value, said):
    model = small_model(six=False)
    codec = small_codec(model)
    model.device_part[2].weight.fill_(value)
    model.device_part[2].bias.fill_(-1.0)
    with pytest.raises(ExportError, match=said):
        quantized(model, codec)


def test_windows_without_code_or_table_are_refused(model, codec):
    with pytest.raises(ExportError, match="energy is there for comparison only"):
        small_firmware(model, codec, 0.5, "energy")
    with pytest.raises(ExportError, match="no table of importance; make one with fit_importance"):
        small_firmware(model, codec, 0.5, "importance")
    assert Firmware(quantized(model, codec), codec, model.feature_shape, Slice(0.5)).places is None


@pytest.mark.slow
def test_a_stride_that_no_load_can_look_over_is_refused():
    model = small_model(size=16, channels=256)
    codec = small_codec(model, code_channels=1, kernel=8, stride=8)
    for refused in (lambda: small_firmware(model, codec), lambda: expected_costs(model, codec.config)):
        with pytest.raises(ExportError, match="2048, more than the 2044 numbers"):
            refused()


def test_calibration_changes_nothing_in_the_network(model, codec):
    before = {name: value.clone() for part in (model, codec) for name, value in part.state_dict().items()}
    model.train()
    quantize_encoder(model, codec, calibration(model))
    after = {name: value for part in (model, codec) for name, value in part.state_dict().items()}
    assert model.training and [name for name, value in after.items() if not torch.equal(value, before[name])] == []


def test_images_of_another_size_are_refused():
    encoder = quantized(model := small_model(), small_codec(model))
    for images in (photos(1, 48), photos(1)[0], photos(1).float()):
        with pytest.raises(ValueError, match=r"images must be uint8 \(B, \(3, 32, 32\)\)"):
            encoder(images)


def test_a_batch_norm_without_weights_is_refused_and_a_pool_given_in_pairs_is_not():
    model = small_model(pool=True)
    layers = list(model.device_part)
    layers[4] = nn.MaxPool2d((3, 3), (2, 2), (1, 1))
    quantized(pairs := model_of(layers), small_codec(pairs))
    layers[2] = nn.BatchNorm2d(8, affine=False)
    with pytest.raises(ExportError, match="no weights to fold"):
        quantized(bare := model_of(layers), small_codec(bare))
