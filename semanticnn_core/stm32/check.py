"""Proof that a project does what the integer encoder does: every witness's bytes, compared."""

import subprocess
from pathlib import Path

import torch
from torch import Tensor

from semanticnn_core.stm32.build import Core, build, build_host, gcc, host_compilers, toolchains
from semanticnn_core.stm32.emulator import EmulationError, Emulator
from semanticnn_core.stm32.project import rows_first
from semanticnn_core.stm32.qemu import has_qemu, run_qemu
from semanticnn_core.stm32.tables import Firmware


def check_project(project: Path, firmware: Firmware, images: Tensor, core: Core = "m7") -> dict:
    """Build a project with every compiler there is, run it on images uint8 (B, 3, H, W), and compare all bytes.

    Returns what `semanticnn export --check` prints: mismatching_bytes (of all witnesses together), images,
    payload_bytes; ram_bytes, stack_bytes, flash_bytes, instructions and instructions_by_function (of the first
    toolchain, and the first image); toolchain, emulator; and `witnesses`: who ran it, and how many bytes differed.
    Raises BuildError without a compiler, EmulationError when the firmware leaves its memory.
    """
    wanted = firmware.payload(images)
    witnesses: dict[str, int] = {}
    figures: dict = {}
    for toolchain in toolchains():
        emulator = Emulator(build(project, toolchain, core), core)
        witnesses[f"{toolchain.name}, unicorn, {core}"] = _differing(emulator.run(images), wanted)
        if not figures:
            profile = emulator.profile(images[0])
            figures = {
                "ram_bytes": emulator.ram_bytes,
                "stack_bytes": max(map(emulator.stack_bytes, images[:4])),
                "flash_bytes": emulator.flash_bytes,
                "instructions": profile.instructions,
                "instructions_by_function": profile.by_function,
                "toolchain": toolchain.name,
                "emulator": "unicorn",
            }
    if has_qemu():
        toolchain = gcc() or toolchains()[0]
        witnesses[f"{toolchain.name}, qemu, {core}"] = _differing(run_qemu(project, toolchain, images, core), wanted)
    for name, command in host_compilers().items():
        witnesses[f"{name}, this machine"] = _differing(run_host(project, command, images), wanted)
    return {
        "mismatching_bytes": sum(witnesses.values()),
        "images": len(images),
        "payload_bytes": firmware.payload_bytes,
        **figures,
        "witnesses": witnesses,
    }


def run_host(project: Path, command: tuple[str, ...], images: Tensor) -> Tensor:
    """Return the payloads, uint8 (B, n), of the firmware compiled for this machine with a compiler's command."""
    program = build_host(project, command)
    result = subprocess.run([program.resolve()], input=rows_first(images), capture_output=True, check=False)
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()[-1000:]
        raise EmulationError(f"the firmware on this machine ended with {result.returncode}: {said}")
    if not result.stdout or len(result.stdout) % len(images):
        raise EmulationError(f"the firmware on this machine sent {len(result.stdout)} bytes for {len(images)} images")
    return torch.frombuffer(bytearray(result.stdout), dtype=torch.uint8).view(len(images), -1)


def _differing(payloads: Tensor, wanted: Tensor) -> int:
    """Return how many bytes differ; a payload of another length differs in all its bytes."""
    return int((payloads != wanted).sum()) if payloads.shape == wanted.shape else max(payloads.numel(), wanted.numel())
