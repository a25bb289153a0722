"""Proof that a project does what the integer encoder does: every witness's bytes, compared."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from semanticnn_core.stm32.build import Core, Toolchain, build, build_host, gcc, host_compilers, run_tool, toolchains
from semanticnn_core.stm32.emulator import EmulationError, Emulator, as_payloads
from semanticnn_core.stm32.project import rows_first
from semanticnn_core.stm32.tables import Firmware

BOARDS = {"m7": "mps2-an500", "m4": "mps2-an386", "m3": "mps2-an385"}
"""QEMU's boards with the memory map that programs are linked for; other cores are checked in Unicorn alone."""
PROGRAM = "qemu-system-arm"


def check_project(project: Path, firmware: Firmware, images: Tensor, core: Core = "m7") -> dict:
    """Build a project with every compiler there is, run it on images uint8 (B, 3, H, W), and compare all bytes.

    Returns what `semanticnn export --check` prints: mismatching_bytes (of all witnesses together), images,
    payload_bytes; ram_bytes, stack_bytes, flash_bytes, instructions and instructions_by_function (of the first
    toolchain, and the first image); toolchain, emulator; and `witnesses`: who ran it, and how many bytes differed.
    Raises BuildError without a compiler, EmulationError when the firmware leaves its memory.
    """
    wanted = firmware.payload(images)
    emulators = {each.name: Emulator(build(project, each, core), core) for each in toolchains()}
    answers = {f"{name}, unicorn, {core}": emulator.run(images) for name, emulator in emulators.items()}
    if has_qemu() and core in BOARDS:
        toolchain = gcc() or toolchains()[0]
        answers[f"{toolchain.name}, qemu, {core}"] = run_qemu(project, toolchain, images, core)
    for name, command in host_compilers().items():
        answers[f"{name}, this machine"] = run_host(project, command, images)
    witnesses = {name: _differing(payloads, wanted) for name, payloads in answers.items()}
    if firmware.framing:
        wanted = torch.frombuffer(bytearray(firmware.frames(images)), dtype=torch.uint8)
        for name, command in host_compilers().items():
            framed = run_host(project, command, images, "frames").flatten()
            witnesses[f"{name}, this machine, frames"] = _differing(framed, wanted)
    first, emulator = next(iter(emulators.items()))
    profile = emulator.profile(images[0])
    return {
        "mismatching_bytes": sum(witnesses.values()),
        "images": len(images),
        "payload_bytes": firmware.payload_bytes,
        "ram_bytes": emulator.ram_bytes,
        "stack_bytes": max(map(emulator.stack_bytes, images[:4])),
        "flash_bytes": emulator.flash_bytes,
        "instructions": profile.instructions,
        "instructions_by_function": profile.by_function,
        "toolchain": first,
        "emulator": "unicorn",
        "witnesses": witnesses,
    }


def has_qemu() -> bool:
    """Say whether QEMU for Arm is installed."""
    return shutil.which(PROGRAM) is not None


def run_qemu(project: Path, toolchain: Toolchain, images: Tensor, core: Core = "m7") -> Tensor:
    """Return the payloads, uint8 (B, n), that QEMU's board writes for images uint8 (B, 3, H, W)."""
    elf = build(project, toolchain, core, "semihosting").resolve()
    options = ("-nographic", "-semihosting-config", "enable=on,target=native", "-kernel", str(elf))
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images.bin").write_bytes(rows_first(images))
        (folder / "payloads.bin").touch()
        run_tool((PROGRAM, "-M", BOARDS[core], *options), folder, error=EmulationError, images=len(images))
        return as_payloads((folder / "payloads.bin").read_bytes(), images, PROGRAM)


def run_host(project: Path, command: tuple[str, ...], images: Tensor, *frames: str) -> Tensor:
    """Return the payloads, uint8 (B, n), of the firmware compiled for this machine with a compiler's command.

    frames: the word "frames" for the packets that carry them instead.
    """
    return run_program(build_host(project, command), images, *frames)


def run_program(program: Path, images: Tensor, *frames: str) -> Tensor:
    """Return what `run_host` does, of a firmware that `build_host` has compiled."""
    done = run_tool((str(program), *frames), given=rows_first(images), error=EmulationError, images=len(images))
    return as_payloads(done.stdout, images, str(program))


def _differing(payloads: Tensor, wanted: Tensor) -> int:
    """Return how many bytes differ; a payload of another length differs in all its bytes."""
    return int((payloads != wanted).sum()) if payloads.shape == wanted.shape else max(payloads.numel(), wanted.numel())
