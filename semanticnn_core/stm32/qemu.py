"""A second witness where it is installed: QEMU runs the same firmware on an emulated Arm MPS2 board."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from semanticnn_core.stm32.build import Core, Toolchain, build
from semanticnn_core.stm32.emulator import EmulationError

BOARDS = {"m7": "mps2-an500", "m4": "mps2-an386", "m3": "mps2-an385"}
PROGRAM = "qemu-system-arm"


def has_qemu() -> bool:
    """Say whether QEMU for Arm is installed."""
    return shutil.which(PROGRAM) is not None


def run_qemu(project: Path, toolchain: Toolchain, images: Tensor, core: Core = "m7") -> Tensor:
    """Return the payloads, uint8 (B, n), that QEMU's board writes for images uint8 (B, 3, H, W)."""
    elf = build(project, toolchain, core, "semihosting").resolve()
    with TemporaryDirectory() as folder:
        (Path(folder) / "images.bin").write_bytes(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        options = ("-nographic", "-semihosting-config", "enable=on,target=native", "-kernel", str(elf))
        command = (PROGRAM, "-M", BOARDS[core], *options)
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        written = Path(folder) / "payloads.bin"
        if result.returncode or not written.exists():
            raise EmulationError(f"{PROGRAM} ended with {result.returncode}: {result.stderr.strip()[-500:]}")
        payloads = torch.frombuffer(bytearray(written.read_bytes()), dtype=torch.uint8)
    return payloads.view(len(images), -1)
