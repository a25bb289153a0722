"""SemanticNN with its device side in integers, as a system to be measured like the others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from semanticnn_core.channels.base import Payload
from semanticnn_core.stm32.build import build_host, host_compilers
from semanticnn_core.stm32.check import run_program
from semanticnn_core.stm32.project import write_sources
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems.semanticnn import SemanticNN
from semanticnn_core.tasks.split import SplitModel


@dataclass(frozen=True)
class IntegerSemanticNN(SemanticNN):
    """SemanticNN whose images are encoded as the firmware does, byte for byte.

    encode: images uint8 (B, 3, H, W) to payloads uint8 (B, n): the integer encoder, or the program in an emulator.
    """

    encode: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, model: SplitModel, firmware: Firmware, name: str = "SemanticNN, integers") -> "IntegerSemanticNN":
        """Return the system of a task network and its firmware."""
        return cls(model, firmware.codec, firmware.slice, name, firmware.payload)

    @classmethod
    def compiled(cls, model: SplitModel, firmware: Firmware, name: str = "SemanticNN, C") -> "IntegerSemanticNN":
        """Return the system whose device is the C itself, compiled for this machine."""
        folder = TemporaryDirectory(prefix="semanticnn-")
        write_sources(firmware, Path(folder.name))
        program = build_host(Path(folder.name), next(iter(host_compilers().values())))

        def encode(images: Tensor, _kept: TemporaryDirectory = folder) -> Tensor:  # the folder lives as long as this
            return run_program(program, images.cpu())

        return cls(model, firmware.codec, firmware.slice, name, encode)

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W); the feature is the float network's, for comparison."""
        return Payload(self.encode(images).to(self.model.device), local={"feature": self.model.device_part(images)})
