"""The firmware's claims, measured: bytes that differ, memory, instructions, symbols and accuracy.

    .venv/bin/python tests/benchmarks/firmware.py
    .venv/bin/python tests/benchmarks/firmware.py --parts bytes --images 20
    .venv/bin/python tests/benchmarks/firmware.py --out data/results

`bytes`: every core, compiler and emulator against the integer encoder: both published MobileNetV2 models on unseen
and on extreme images (CIFAR-100's must be there), ResNet-50; random models on this machine and on an emulated
Cortex-M55. `costs`: memory and instructions, ResNet-50 at 128, 224 and 448 px, MobileNetV2 at 64 px, both at their
smallest on a Cortex-M55 too. `symbols`, `accuracy`: the shipped checkpoint against its float encoder, the whole test
split. ResNet-50's weights are random, its batch norms and codec calibrated: instructions do not depend on weights.
"""

import math
import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pandas as pd
import torch
import tyro
from published import publish, this_command
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels import BitErrors
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import DEFAULT_CHECKPOINT, WHOLE, CodecConfig, Slice
from semanticnn_core.datasets import load_dataset
from semanticnn_core.evaluation import sweep
from semanticnn_core.stm32.build import BOARDS, Core, Toolchain, build, host_compilers, toolchains
from semanticnn_core.stm32.check import run_host
from semanticnn_core.stm32.emulator import MODELS, Emulator
from semanticnn_core.stm32.extremes import extreme_images
from semanticnn_core.stm32.program import Profile, Program
from semanticnn_core.stm32.project import write_sources
from semanticnn_core.stm32.qemu import has_qemu, profile_qemu, run_qemu
from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, quantize_encoder
from semanticnn_core.stm32.system import IntegerSemanticNN
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.tasks.split import PixelNormalize, SplitModel

PARTS = ("bytes", "costs", "symbols", "accuracy")
PUBLISHED = (DEFAULT_CHECKPOINT, "mobilenet_v2-cifar100")
COSTS = {
    "m7": (("mobilenet_v2", 64), ("resnet50", 128), ("resnet50", 224), ("resnet50", 448)),
    "m55": (("mobilenet_v2", 64), ("resnet50", 128)),
}
"""Networks and sizes in pixels whose costs are measured, by core."""


@dataclass(frozen=True)
class FirmwareBenchmark:
    """Measure the exported firmware."""

    parts: tuple[str, ...] = PARTS
    """Which measurements: bytes, costs, symbols, accuracy."""
    images: int = 200
    """Unseen images of the byte comparison, per model; 24 extreme ones are added."""
    encoders: tuple[str, ...] = (*PUBLISHED, "resnet50", "random")
    """Whose bytes are compared."""
    cores: tuple[Literal["m7", "m55"], ...] = ("m7", "m55")
    """Whose costs are measured."""
    size: int = 128
    """Pixels of ResNet-50's images in the byte comparison."""
    models: int = 50
    """Random models compared on this machine and on a Cortex-M55, 40 images each."""
    data_root: Path = Path("data")
    """Where data sets lie."""
    seeds: int = 5
    """Channel seeds of the accuracy."""
    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose encoder is exported."""
    out: Path | None = None
    """Folder of tables to write as firmware-PART.csv, for instance data/results; rows of other models stay in them."""

    def __call__(self) -> None:
        for part in self.parts:
            table = getattr(self, part)()
            print(f"\n{part}\n{table.to_string(index=False)}", flush=True)
            path = self.out and self.out / f"firmware-{part}.csv"
            if path and path.exists() and "model" in table:
                before = pd.read_csv(path)
                kept = before[~before["model"].isin(table["model"])]
                table = pd.concat([kept, table.assign(command=this_command())])
            if path:
                publish(path, table)

    def bytes(self) -> pd.DataFrame:
        """Return how many bytes differ from the integer encoder's, a row a model and witness."""
        rows = []
        for name in (each for each in self.encoders if each != "random"):
            model, codec, calibration, images = self.compared(name)
            firmware = firmware_of(model, codec, calibration)
            for witness, wrong, count in self.witnesses(firmware, images):
                row = {"model": f"{name}, {model.image_size} px", "witness": witness, "images": len(images)}
                rows.append(row | {"bytes": count, "differ": wrong})
                print(rows[-1], flush=True)
        draws = random.Random(0)
        found: dict[str, list[int]] = {}
        for number in range(self.models if "random" in self.encoders else 0):
            model, codec, images = random_encoder(draws, number)
            slice = Slice(draws.choice((1.0, 0.5, 0.2)), draws.choice(("center", "importance")))
            firmware = firmware_of(model, codec, images, slice)
            wanted, answers = firmware.payload(images), {}
            with TemporaryDirectory() as folder:
                project = exported(firmware, folder)
                command = list(host_compilers().values())[-1]  # with sanitizers, where there is one that has them
                answers["this machine"] = run_host(project, command, images)
                if has_qemu():
                    each = toolchains()[number % len(toolchains())]
                    answers["qemu, m55"] = run_qemu(project, each, images, "m55")
            for witness, payloads in answers.items():
                found.setdefault(witness, []).append(int((payloads != wanted).sum()))
                found.setdefault(f"{witness}: bytes", []).append(wanted.numel())
        for witness in ("this machine", "qemu, m55"):
            if witness in found:
                row = {"model": f"{self.models} random", "witness": witness, "images": 40}
                rows.append(row | {"bytes": sum(found[f"{witness}: bytes"]), "differ": sum(found[witness])})
        return pd.DataFrame(rows)

    def compared(self, name: str) -> tuple[SplitModel, SemanticCodec, Tensor, Tensor]:
        """Return a network, its codec, images to calibrate it, and those to compare: unseen and extreme ones."""
        if name == "resnet50":
            model, codec, images = self.encoder(name, self.size)
            unseen = resized(open_checkpoint(self.checkpoint)[1].test.first(self.images)["image"], self.size)
        else:
            checkpoint, data = open_checkpoint(name, "", self.data_root, download=False)
            model, codec = checkpoint.model, checkpoint.codec
            images, unseen = data.train.first(CALIBRATION_IMAGES)["image"], data.test.first(self.images)["image"]
        return model, codec, images, torch.cat([unseen, extreme_images(model, codec)])

    def witnesses(self, firmware: Firmware, images: Tensor):
        """Yield who ran the firmware, how many bytes differed, and of how many."""
        wanted = firmware.payload(images)
        with TemporaryDirectory() as folder:
            project = exported(firmware, folder)
            for core, toolchain in product(MODELS, toolchains()):
                payloads = Emulator(build(project, toolchain, core), core).run(images)
                yield f"{toolchain.name}, unicorn, {core}", int((payloads != wanted).sum()), wanted.numel()
            for core, toolchain in product(BOARDS if has_qemu() else (), toolchains()):
                payloads = run_qemu(project, toolchain, images, core)
                yield f"{toolchain.name}, qemu, {core}", int((payloads != wanted).sum()), wanted.numel()
            for name, command in host_compilers().items():
                wrong = int((run_host(project, command, images) != wanted).sum())
                yield f"{name}, this machine", wrong, wanted.numel()

    def costs(self) -> pd.DataFrame:
        """Return memory and instructions, a row a model, core and toolchain."""
        rows = []
        for core, (name, size) in ((each, case) for each in self.cores for case in COSTS[each]):
            model, codec, images = self.encoder(name, size)
            firmware = firmware_of(model, codec, images)
            with TemporaryDirectory() as folder:
                project = exported(firmware, folder)
                for toolchain in toolchains():
                    program, profile, stack = measured(project, toolchain, images[0], core)
                    last = profile.by_function.get("send_pixel") or profile.by_function["send_pixel.constprop.0"]
                    rows.append(
                        {
                            "model": f"{name}, {size} px" + ("" if core == "m7" else f", {core.upper()}"),
                            "payload_bytes": firmware.payload_bytes,
                            "compiler": toolchain.name,
                            "ram_kb": (program.ram_bytes + stack) / 1024,
                            "flash_kb": program.flash_bytes / 1024,
                            "instructions_millions": profile.instructions / 1e6,
                            "instructions_per_mac": profile.instructions / firmware.encoder.macs,
                            "gdn_to_packing": last / profile.instructions,
                        }
                    )
        return pd.DataFrame(rows).round(3)

    def symbols(self) -> pd.DataFrame:
        """Return how many symbols of the test split are those of the float encoder."""
        model, codec, images, test = self.shipped()
        encoder = quantize_encoder(model, codec, images)
        apart = []
        for _, batch in test.batches():
            exact = codec.quantizer.assign(codec.encoder(model.device_part(batch["image"])))
            apart.append((encoder(batch["image"]) - exact).abs().flatten())
        apart = torch.cat(apart)
        shares = {"equal": apart == 0, "one_step": apart == 1, "further": apart > 1}
        return pd.DataFrame([{"symbols": len(apart)} | {k: float(v.double().mean()) for k, v in shares.items()}])

    def accuracy(self) -> pd.DataFrame:
        """Return the accuracy through both encoders on the test split, and the paired differences in points."""
        model, codec, images, test = self.shipped()
        systems = [
            SemanticNN(model, codec, name="floats"),
            IntegerSemanticNN.of(model, firmware_of(model, codec, images), "integers"),
        ]
        table = sweep(systems, test, [BitErrors(0.0), BitErrors(0.01)], self.seeds)
        table = table.pivot_table(index=["ber", "seed"], columns="system", values="accuracy")
        table["difference"] = 100 * (table["integers"] - table["floats"])
        return (
            table.groupby("ber")
            .agg(
                seeds=("floats", "size"),
                floats=("floats", "mean"),
                integers=("integers", "mean"),
                difference=("difference", "mean"),
                std=("difference", "std"),
            )
            .reset_index()
        )

    def shipped(self):
        """Return network, codec, calibration images and the test split of the checkpoint."""
        checkpoint, data = open_checkpoint(self.checkpoint)
        return checkpoint.model, checkpoint.codec, data.train.first(CALIBRATION_IMAGES)["image"], data.test

    def encoder(self, name: str, size: int) -> tuple[SplitModel, SemanticCodec, Tensor]:
        """Return a network, a codec for it, and images of its size; MobileNetV2's are the checkpoint's at any size."""
        model, codec, images, _ = self.shipped()
        images = resized(images, size)
        if name == "mobilenet_v2":
            return SplitModel(model.device_part, nn.Identity(), size, model.feature_range).frozen(), codec, images
        torch.manual_seed(0)
        whole = SplitModel.of(name, 10, size)
        model = SplitModel(whole.device_part, nn.Identity(), size)
        return *calibrated(model, images, code_channels=32, centers=8, kernel=4, stride=4), images


def exported(firmware: Firmware, folder: str) -> Path:
    """Write the C into a folder and return where it is."""
    project = Path(folder) / "project"
    project.mkdir()
    write_sources(firmware, project)
    return project


def measured(project: Path, toolchain: Toolchain, image: Tensor, core: Core) -> tuple[Program, Profile, int]:
    """Return a built firmware, its instructions for an image, and the bytes of its stack."""
    if core in MODELS:
        emulator = Emulator(build(project, toolchain, core), core)
        return emulator, emulator.profile(image), emulator.stack_bytes(image)
    return Program(build(project, toolchain, core)), *profile_qemu(project, toolchain, image, core)


def firmware_of(model: SplitModel, codec: SemanticCodec, images: Tensor, slice: Slice = WHOLE) -> Firmware:
    """Return the firmware of a codec that is calibrated on these images."""
    return Firmware(quantize_encoder(model, codec, images), codec, model.feature_shape, slice)


def resized(images: Tensor, size: int) -> Tensor:
    """Bring images uint8 (B, 3, H, W) to a size."""
    return images if images.shape[-1] == size else F.interpolate(images.float(), size=size, mode="bilinear").byte()


@torch.no_grad()
def calibrated(model: SplitModel, images: Tensor, **config) -> tuple[SplitModel, SemanticCodec]:
    """Let a random network's batch norms see the images, and fit a new codec to its features."""
    norms = [each for each in model.device_part.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = None
    model.device_part.train()
    model.device_part(images)
    model = model.frozen()
    channels = model.feature_shape[0]
    codec = SemanticCodec(CodecConfig(feature_channels=channels, feature_range=model.feature_range, **config)).eval()
    codec.calibrate(model.device_part(images))
    codec.encoder.prelu.log_slope.uniform_(math.log(0.05), math.log(1.5))
    codec.encoder.gdn.raw_gamma.add_(torch.randn_like(codec.encoder.gdn.raw_gamma) * 0.5)
    codec.importance.random_(-127, 128)
    return model, codec.requires_grad_(False)


def random_encoder(draws: random.Random, seed: int) -> tuple[SplitModel, SemanticCodec, Tensor]:
    """Return a network and codec of random shape, and 40 images: photographs, noise, black, white."""
    torch.manual_seed(seed)
    stem, pool = draws.choice((3, 5, 7)), draws.random() < 0.5
    channels, kernel = 4 * draws.randint(1, 8), draws.choice(((1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (4, 2)))
    size = draws.choice((32, 48, 64))
    layers = [PixelNormalize(), nn.Conv2d(3, channels, stem, 2, stem // 2, bias=False), nn.BatchNorm2d(channels)]
    layers += [draws.choice((nn.ReLU, nn.ReLU6))(), *([nn.MaxPool2d(3, 2, 1)] if pool else [])]
    photos = load_dataset("scene_digits").validation.first(28)["image"]
    images = torch.cat([resized(photos, size), torch.randint(0, 256, (10, 3, size, size), dtype=torch.uint8)])
    images = torch.cat([images, torch.zeros_like(images[:1]), torch.full_like(images[:1], 255)])
    model = SplitModel(nn.Sequential(*layers), nn.Identity(), size)
    config = {"kernel": kernel[0], "stride": kernel[1], "code_channels": draws.randint(1, 24)}
    return *calibrated(model, images, centers=draws.choice((2, 4, 8, 16, 64)), **config), images


if __name__ == "__main__":
    tyro.cli(FirmwareBenchmark)()
