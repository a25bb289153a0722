"""`semanticnn export`: a codec's device side as C."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semanticnn_core.commands.shared import calibration_of
from semanticnn_core.config import DEFAULT_CHECKPOINT, Slice
from semanticnn_core.settings import POSITIVE, Settings, setting
from semanticnn_core.stm32.build import Core

if TYPE_CHECKING:
    from torch import Tensor

    from semanticnn_core.systems.checkpoints import Checkpoint

VECTORS = 4
"""Test images that travel with a project, beside extreme ones."""


@dataclass(frozen=True)
class Export(Settings):
    """Write a codec's device side as a C project for STM32 boards, with ONNX and test vectors."""

    out: Path
    """Folder to write."""
    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    system: str = "semanticnn"
    """Which of the checkpoint's systems."""
    slice_ratio: float = setting(1.0, POSITIVE, 1)
    """Share of the code that is sent, in (0, 1]."""
    window: Literal["center", "importance"] = "center"
    """Where that part lies: in the middle, or where the device's table of importance says."""
    check: bool = False
    """Compile it, run it on an emulated Cortex-M, compare all bytes, and print one JSON object and nothing else."""
    core: Core = "m7"
    """The Cortex-M of the check; m55 needs qemu-system-arm."""
    images: int = setting(20, 1)
    """Test images of the check, beside extreme ones."""
    prefix: str = "snn"
    """What all names of the C sources begin with; models of one program need different ones."""
    force: bool = False
    """Replace an earlier project in that folder."""
    dataset: str | None = None
    """Data set for calibration and test vectors; when left out, the calibration that the checkpoint keeps, and images
    of the data it was trained on where they are to be had."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __call__(self) -> None:
        import torch

        from semanticnn_core.files import claim
        from semanticnn_core.stm32.build import toolchains
        from semanticnn_core.stm32.check import check_core, check_project
        from semanticnn_core.stm32.extremes import extreme_images
        from semanticnn_core.stm32.project import check_place, check_prefix, write_project
        from semanticnn_core.stm32.quantize import quantize_encoder
        from semanticnn_core.stm32.tables import Firmware
        from semanticnn_core.systems import load_checkpoint

        claim(self.out.parent, lambda path: True, "semanticnn export", ())
        check_prefix(self.prefix)
        check_place(self.out, self.force)
        if self.check:
            toolchains()  # refuses to check without a compiler
            check_core(self.core)
        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        model, codec = checkpoint.model, checkpoint.system(self.system)
        encoder = quantize_encoder(model, codec, calibration_of(checkpoint, self.system, self.dataset, self.data_root))
        firmware = Firmware(encoder, codec, model.feature_shape, Slice(self.slice_ratio, self.window))
        test, calibration, source = self._photographs(checkpoint)
        about = f"For the checkpoint `{checkpoint.name}`: images of {model.image_size} px{source}."
        extreme = extreme_images(model, codec)
        vectors = torch.cat([test[:VECTORS], extreme])
        write_project(firmware, self.out, model, vectors, about, self.force, calibration, self.prefix)
        if not self.check:
            print(f"{self.out}: C for {firmware.payload_bytes} bytes an image; start with its README.md")
            return
        result = check_project(self.out, firmware, torch.cat([test[: self.images], extreme]), self.core)
        print(json.dumps(result, indent=2))
        if result["mismatching_bytes"]:
            sys.exit(1)

    def _photographs(self, checkpoint: "Checkpoint") -> "tuple[Tensor, Tensor | None, str]":
        """Return test images, images that calibrate the ONNX model, and where they are from; none without the data."""
        import torch

        from semanticnn_core.datasets import DataError
        from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES
        from semanticnn_core.systems import open_checkpoint

        try:
            _, data = open_checkpoint(self.checkpoint, self.dataset or "", self.data_root, download=False)
        except DataError as error:
            if self.dataset:
                raise
            print(f"only extreme images travel with it, and calibrate the int8 ONNX model: {error}", file=sys.stderr)
            return torch.zeros(0, 3, *[checkpoint.model.image_size] * 2, dtype=torch.uint8), None, ""
        test = data.test.first(max(self.images, VECTORS))["image"]
        return test, data.train.first(CALIBRATION_IMAGES)["image"], f" from {data.name}"
