"""What the tests of the STM32 export share: small networks, codecs and images, and projects made of them."""

import shutil
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig, Slice, Window
from semanticnn_core.stm32.integer import IntegerEncoder
from semanticnn_core.stm32.project import SOURCES, write_model
from semanticnn_core.stm32.quantize import quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.tasks.split import PixelNormalize, SplitModel

RESNET = {"channels": 16, "kernel": 7, "pool": True, "six": False}
"""A stem built as ResNet's is."""
K1, K3, K4, K5 = ({"kernel": kernel, "stride": stride} for kernel, stride in ((1, 1), (3, 2), (4, 4), (5, 4)))
CASES = {
    "mobilenet": ({"channels": 32}, K4 | {"code_channels": 16}, 1, "center"),
    "resnet": (RESNET, K3 | {"code_channels": 8}, 1, "center"),
    "resnet, sliced": (RESNET | {"size": 64}, K5 | {"code_channels": 6}, 0.5, "center"),
    "resnet, adaptive": (RESNET | {"size": 64, "six": True}, K5 | {"centers": 64}, 0.5, "importance"),
    "odd code": ({"size": 36, "kernel": 5}, K3 | {"code_channels": 5, "centers": 4}, 0.5, "center"),
    "odd code, adaptive": ({"size": 36, "six": False}, K3 | {"code_channels": 5, "centers": 2}, 0.2, "importance"),
    "wide": ({"size": 48, "channels": 12}, {"kernel": 9, "stride": 2, "code_channels": 7}, 0.2, "center"),
    "every pixel": ({"kernel": 2, "bias": True}, K1 | {"code_channels": 1, "centers": 2}, 0.5, "importance"),
    "one place": ({"kernel": 7, "pool": True}, {"kernel": 16, "stride": 8, "code_channels": 2}, 0.01, "center"),
    "pooled, overlapping": ({"size": 40, "pool": True, "channels": 4}, {"kernel": 4, "stride": 1}, 0.5, "center"),
    "long step": ({"size": 24, "channels": 508}, {"kernel": 4, "stride": 4, "code_channels": 2}, 1, "center"),
    "even stem": ({"size": 56, "kernel": 6}, {"kernel": 7, "stride": 4, "code_channels": 13}, 0.7, "importance"),
}
CASES |= {
    "parity": ({"channels": 32}, K4 | {"code_channels": 14, "centers": 4, "parity": 5 / 12}, 1, "center"),
    "parity, odd bytes": ({"size": 36}, K3 | {"code_channels": 5, "centers": 4, "parity": 0.3}, 0.5, "center"),
    "parity, adaptive": (RESNET | {"size": 64}, K5 | {"centers": 8, "parity": 0.5}, 0.5, "importance"),
}
"""Network, codec, slice ratio and window of firmwares of many shapes."""
FILES = """
CMakeLists.txt MISRA.md README.md cmake/arm-none-eabi.cmake examples/freertos_task.c examples/stubs/FreeRTOS.h
examples/stubs/task.h examples/stubs/zephyr/kernel.h examples/zephyr_thread.c library.json library.properties
onnx/device_float.onnx onnx/device_int8.onnx onnx/reference.npz platformio.ini port/measure.h port/memory.c
port/startup.c port/stm32h750.ld src/snn.c src/snn.h src/snn_arith.h src/snn_bits.h src/snn_camera.c
src/snn_camera.h src/snn_frame.c src/snn_frame.h src/snn_helium.h src/snn_model.c src/snn_model.h src/snn_selftest.c
src/snn_selftest.h src/snn_selftest_payload.h test/emulator_main.c test/host_main.c test/semihosting_main.c
test/send_vectors.py test/uart_main.c vectors/frames.bin vectors/images.bin vectors/payloads.bin vectors/sizes.txt
zephyr/CMakeLists.txt zephyr/Kconfig zephyr/module.yml
"""
"""Everything in a project folder."""


@cache
def photo() -> Tensor:
    """Return a photograph, uint8 (3, H, W), that scikit-learn brings along."""
    from sklearn.datasets import load_sample_image

    return torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)


def photos(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Return crops of the photograph, uint8 (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    corners = [torch.randint(0, side - 2 * size, (count,), generator=generator).tolist() for side in photo().shape[1:]]
    places = zip(*corners, strict=True)
    return torch.stack([photo()[:, top : top + 2 * size : 2, left : left + 2 * size : 2] for top, left in places])


def small_model(
    size: int = 32, channels: int = 8, kernel: int = 3, pool: bool = False, six: bool = True, bias: bool = False
) -> SplitModel:
    """Return a network of random weights whose device part is built as MobileNetV2's is."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, channels, kernel, 2, (kernel - 1) // 2, bias=bias), nn.BatchNorm2d(channels)
    with torch.no_grad():
        for values, low, high in ((norm.weight, 0.5, 2), (norm.bias, -0.5, 1), (norm.running_mean, -0.3, 0.3)):
            values.uniform_(low, high)
        norm.running_var.uniform_(0.1, 0.6)
    layers = [PixelNormalize(), conv, norm, nn.ReLU6() if six else nn.ReLU(), *[nn.MaxPool2d(3, 2, 1)] * pool]
    return model_of(layers, size)


def model_of(layers: list[nn.Module], size: int = 32) -> SplitModel:
    """Return a network whose device part are these layers; its edge takes a feature of any shape."""
    return SplitModel(nn.Sequential(*layers), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), size).frozen()


@torch.no_grad()
def small_codec(model: SplitModel, importance: bool = False, **settings) -> SemanticCodec:
    """Return a calibrated codec for a network's feature, its GDN and PReLU as uneven as a trained codec's."""
    torch.manual_seed(0)
    defaults = {"code_channels": 4, "centers": 4, "kernel": 2, "stride": 2}
    defaults |= {"decoder_widths": (4, 4, 4), "code_order": "random"}
    config = CodecConfig(model.feature_shape[0], model.feature_range, **defaults | settings)
    codec = SemanticCodec(config).eval().requires_grad_(False)
    gdn, prelu = codec.encoder.gdn, codec.encoder.prelu
    for values, spread in ((gdn.raw_beta, 1), (gdn.raw_gamma, 1), (prelu.log_slope, 0.5)):
        values.add_(spread * torch.randn_like(values))
    codec.calibrate(model.device_part(calibration(model)))
    if importance:
        codec.importance.random_(-127, 128)
    return codec


def calibration(model: SplitModel) -> Tensor:
    return photos(48, model.image_size, seed=1)


def quantized(model: SplitModel, codec: SemanticCodec) -> IntegerEncoder:
    return quantize_encoder(model, codec, calibration(model))


def small_firmware(
    model: SplitModel, codec: SemanticCodec, slice_ratio: float = 1.0, window: Window = "center"
) -> Firmware:
    return Firmware(quantized(model, codec), codec, model.feature_shape, Slice(slice_ratio, window))


def case(settings: tuple) -> Firmware:
    """Return the firmware of one of the CASES."""
    model_settings, codec_settings, slice_ratio, window = settings
    model = small_model(**model_settings)
    codec = small_codec(model, importance=window == "importance", **codec_settings)
    return small_firmware(model, codec, slice_ratio, window)


def small_project(firmware: Firmware, folder: Path) -> Path:
    """Write what compilers need of a project; return the folder."""
    for part in ("src", "test", "port", "examples"):
        shutil.copytree(SOURCES / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    write_model(firmware, folder / "src")
    return folder


def patched(path: Path, before: str, after: str) -> None:
    """Replace a stretch of a source file, which must be in it once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{before!r} is {text.count(before)} times in {path}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a project, less what was compiled in it."""
    found = (path for path in folder.rglob("*") if path.is_file() and "build" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
