"""From the trained float encoder to integers: folding, calibration, rounding, and the proof that nothing overflows."""

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.stm32.extremes import flat_and_loud
from semanticnn_core.stm32.integer import LARGEST_FEATURE, LARGEST_LATENT, IntegerEncoder, IntegerLayer
from semanticnn_core.stm32.rounding import round_together
from semanticnn_core.systems.checkpoints import check_exportable
from semanticnn_core.tasks.split import PixelNormalize, SplitModel, evaluating

CALIBRATION_IMAGES = 256
HEADROOM = 1.25
"""How far beyond the largest value met in calibration a latent may lie before it saturates."""
POOL = [(3, 3), (2, 2), (1, 1)]
"""Kernel, stride and padding of the max-pool that the firmware has code for."""
WORD = 2**31 - 1
"""Largest number of a signed 32-bit register."""


class ExportError(ValueError):
    """This network or codec cannot become firmware; the message says why, and what to do."""


@dataclass(frozen=True)
class FloatStem:
    """The float device part, taken to pieces and folded: pixel less zero point → convolution → activation → pool."""

    normalize: PixelNormalize
    conv: nn.Conv2d
    weight: Tensor
    bias: Tensor
    top: float
    pool: bool


@dataclass(frozen=True)
class Ranges:
    """The largest values that calibration met: of the feature, and of the encoder's convolution either way."""

    feature: float
    latent: float


@torch.no_grad()
def measure_ranges(model: SplitModel, codec: SemanticCodec, images: Tensor) -> Ranges:
    """Return the ranges on images uint8 (B, 3, H, W), a few hundred like those the device will see.

    Raises ExportError for anything else.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or len(images) == 0 or images.shape[1] != 3:
        raise ExportError(f"calibration images must be uint8 (B, 3, H, W), got {images.dtype} {tuple(images.shape)}")
    feature, latent, encoder = 0.0, 0.0, codec.encoder
    with evaluating(model):
        for part in images.split(64):
            seen = model.device_part(part.to(model.device))
            feature = max(feature, float(seen.max()))
            latent = max(latent, float(encoder.conv(encoder.padded(seen)).abs().max()))
    return Ranges(feature, latent)


@torch.no_grad()
def quantize_encoder(model: SplitModel, codec: SemanticCodec, calibration: Tensor | Ranges) -> IntegerEncoder:
    """Return the integer encoder of a task network's device part and a codec.

    calibration: the ranges of feature (where its activation leaves it open) and latent, or images to measure them on.
    Raises ExportError for what no firmware can be made of, and when a sum could overflow.
    """
    check_exportable(codec)
    stem, encoder = check_sizes(model, codec.config), codec.encoder
    _check_finite("encoder", encoder.conv.weight, encoder.conv.bias, encoder.gdn.gamma, encoder.gdn.beta)
    if not isinstance(calibration, Ranges):
        calibration = measure_ranges(model, codec, calibration)
    top = stem.top if math.isfinite(stem.top) else calibration.feature
    if not top > 0:
        raise ExportError("the feature is zero for every calibration image: the stem is dead; train the network first")
    feature_step = top / LARGEST_FEATURE
    zero_point = stem.normalize.zero_point.double().flatten().round().long().cpu()
    span = torch.maximum(zero_point, 255 - zero_point).double()
    stem_layer = _layer(stem.weight, stem.bias, span, LARGEST_LATENT, feature_step, stem.conv.stride[0], "stem")
    if stem_layer.step != feature_step:
        raise ExportError(
            f"the stem's weights are too large for an activation that ends at {top:g}: 8-bit steps of the feature are "
            f"{feature_step:.2g}, its sums are resolved to {stem_layer.step:.2g}; train it with weight decay"
        )
    weight, bias = encoder.conv.weight.double().cpu() * feature_step, encoder.conv.bias.double().cpu()
    inputs = torch.full((weight.shape[1],), float(LARGEST_FEATURE), dtype=torch.float64)
    code_step = HEADROOM * calibration.latent / LARGEST_LATENT
    layer = partial(_layer, weight, bias, inputs, 127, code_step, encoder.stride, "encoder")
    plain = IntegerEncoder(
        image_size=model.image_size,
        zero_point=zero_point,
        stem=stem_layer,
        stem_padding=stem.conv.padding[0],
        pool=stem.pool,
        code=layer(),
        margin=encoder.margin,
        **_quantizer(codec, layer().step),
    )
    seen = F.pad(plain.feature(flat_and_loud(model.image_size)), encoder.margin * 2)  # images that need no data set
    return replace(plain, code=layer(seen))


def float_stem(model: SplitModel) -> FloatStem:
    """Take the device part to pieces; refuse what the firmware has no code for."""
    layers = list(model.device_part.children()) if isinstance(model.device_part, nn.Sequential) else [model.device_part]
    pool = len(layers) == 5
    wanted = (PixelNormalize, nn.Conv2d, nn.BatchNorm2d, (nn.ReLU, nn.ReLU6), nn.MaxPool2d)[: max(4, len(layers))]
    if len(layers) not in (4, 5) or not all(map(isinstance, layers, wanted)):
        found = ", ".join(type(layer).__name__ for layer in layers)
        raise ExportError(
            f"the device part is {found}; the firmware has code for PixelNormalize, Conv2d, BatchNorm2d, ReLU or ReLU6 "
            "and perhaps MaxPool2d: cut the network after its first layer"
        )
    normalize, conv, norm, activation = layers[:4]
    square = conv.kernel_size[0] == conv.kernel_size[1] and conv.padding == (conv.padding[0],) * 2
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    if not (square and plain and conv.stride == (2, 2) and conv.in_channels == 3):
        raise ExportError(f"the firmware's first layer is a square convolution of stride 2 over RGB, got {conv}")
    if pool and [_pair(getattr(layers[4], name)) for name in ("kernel_size", "stride", "padding")] != POOL:
        raise ExportError(f"the firmware's max-pool is 3×3 with stride 2 and padding 1, got {layers[4]}")
    if norm.running_var is None or not norm.affine:
        raise ExportError("the batch norm has no running statistics or no weights to fold; train it with both")
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * gain + (0 if conv.bias is None else conv.bias * gain)
    weight = conv.weight * gain[:, None, None, None] / normalize.std  # (C, 3, k, k) · (3, 1, 1)
    top = 6.0 if isinstance(activation, nn.ReLU6) else math.inf
    _check_finite("stem", weight, bias)
    return FloatStem(normalize, conv, weight.double().cpu(), bias.double().cpu(), top, pool)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _check_finite(name: str, *values: Tensor) -> None:
    if not all(each.isfinite().all() for each in values):
        raise ExportError(f"the {name}'s weights are not finite: the training diverged; train again, more slowly")


def check_sizes(model: SplitModel, config: CodecConfig) -> FloatStem:
    """Refuse, before any training, a device part, image size and codec that do not fit the firmware's code.

    Returns the device part as `float_stem` takes it to pieces. Raises ExportError.
    """
    stem = float_stem(model)
    conv, stride = stem.conv, max(4, 2 * (2 if stem.pool else 1) * config.stride)  # columns come in pairs
    if config.feature_channels != conv.out_channels:
        raise ExportError(
            f"the codec is for features of {config.feature_channels} channels, the device part has "
            f"{conv.out_channels}; export a codec with the network that it was trained on"
        )
    if conv.out_channels % 4:
        raise ExportError(f"the firmware reads channels by fours; the device part has {conv.out_channels}")
    if model.image_size % stride:
        near = max(round(model.image_size / stride), 1) * stride
        raise ExportError(
            f"images of {model.image_size} px are no whole number of strides of {stride} px (stem, pool and encoder "
            f"together, 4 at least); use {near} px"
        )
    if model.feature_shape[1:] != (model.image_size // (4 if stem.pool else 2),) * 2:
        raise ExportError(
            f"the stem makes features {model.feature_shape[1:]} of {model.image_size} px; the firmware needs a padding "
            f"that halves the size exactly, got {conv.padding[0]} for a kernel of {conv.kernel_size[0]}"
        )
    return stem


def _layer(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    limit: int,
    step: float,
    stride: int,
    name: str,
    seen: Tensor | None = None,
) -> IntegerLayer:
    """Round a convolution, float64 (outputs, inputs, k, k), over whole-number inputs, to integers.

    inputs: largest magnitude of each input channel; limit: largest weight; step: worth of an output step, the finest
    that is wanted; seen: whole-number inputs (B, inputs, H, W) for whose sums the weights are rounded together, each to
    its nearest number when left out. No sum can exceed 31 bits: a channel whose bias or weights would make it so gets
    coarser steps.
    """
    reach = (weight.abs() * inputs[:, None, None]).sum((1, 2, 3)) + bias.abs()  # largest sum in the float network
    rounding = float(inputs.sum()) * weight[0, 0].numel() + 1
    steps = torch.maximum(weight.abs().amax((1, 2, 3)) / limit, reach / (WORD - rounding)).clamp_min(1e-30)
    step = max(step, 4.01 * float(steps.max()))  # ratios below 1/4 leave room for a shift above 32
    scaled, constant = weight / steps[:, None, None, None], (bias / steps).round().long()
    whole = scaled.round().long() if seen is None else round_together(scaled, seen, stride, limit)
    bound = (whole.abs() * inputs.long()[:, None, None]).sum((1, 2, 3)) + constant.abs()
    ratio = steps / step
    shift = min(62, math.floor(math.log2(WORD / float(ratio.max()))))
    multiplier = (ratio * 2.0**shift).round().long()
    if rounding >= WORD or int(bound.max()) > WORD or int(whole.abs().max()) > limit:
        raise ExportError(f"a sum of the {name} could reach {int(bound.max())}, beyond 31 bits; use a smaller kernel")
    if not 33 <= shift <= 62 or int(multiplier.max()) > WORD:
        raise ExportError(f"the {name}'s outputs need a shift of {shift}, outside 33 to 62; retrain the codec")
    return IntegerLayer(whole, constant, multiplier, shift, stride, step)


def _quantizer(codec: SemanticCodec, step: float) -> dict[str, Tensor | int]:
    """Return GDN, PReLU and thresholds in integers, for a latent in steps, by IntegerEncoder's names.

    Each channel's norm has units of its own (fine enough for 16-bit weights, coarse enough to stay below 2^53), which
    its thresholds make up for.
    """
    gdn, encoder = codec.encoder.gdn, codec.encoder
    gamma, beta = gdn.gamma.double().cpu() * step**2, gdn.beta.double().cpu()
    slope, levels = encoder.prelu.slope.double().cpu()[:, None], codec.quantizer.levels.double().cpu()
    largest = (LARGEST_LATENT + 1) ** 2
    unit = torch.maximum(gamma.amax(1) / 65535, (beta + gamma.sum(1) * largest) / 2**52)
    weights, constants = (gamma / unit[:, None]).round().long(), (beta / unit).round().long()
    bound = int((weights.sum(1) * largest + constants).max())
    norm_shift = max(0, bound.bit_length() - 31)
    limits = (levels[1:] + levels[:-1]) / 2 / float(encoder.scale)  # (n − 1,)
    limits = torch.where(limits < 0, limits / slope, limits)  # (K, n − 1)
    exact = limits * limits.abs() * (unit * 2.0**norm_shift / step**2)[:, None]
    square_shift = min(32, math.floor(math.log2((WORD - 1) / float(exact.abs().max().clamp_min(1e-9)))))
    thresholds = (exact * 2.0**square_shift).round().long()
    if bound >= 2**63 or square_shift < 0 or int(thresholds.abs().max()) > WORD:
        raise ExportError(
            f"the thresholds between centres reach {float(limits.abs().max()):g} before PReLU, too far for 32 bits; "
            f"the smallest slope is {float(slope.min()):g}: train longer, or with another seed"
        )
    shifts = {"norm_shift": norm_shift, "square_shift": square_shift}
    return {"gamma": weights, "beta": constants, "thresholds": thresholds, **shifts}
