"""Proof that a project does what the integer encoder does: every witness's bytes, compared."""

from pathlib import Path

import torch
from torch import Tensor

from semanticnn_core.stm32.build import (
    BuildError,
    Core,
    Toolchain,
    build,
    build_host,
    gcc,
    host_compilers,
    run_tool,
    toolchains,
)
from semanticnn_core.stm32.emulator import MODELS, EmulationError, Emulator, as_payloads
from semanticnn_core.stm32.program import Program
from semanticnn_core.stm32.project import rows_first
from semanticnn_core.stm32.qemu import PROGRAM, has_qemu, profile_qemu, run_qemu
from semanticnn_core.stm32.tables import Firmware


def check_project(project: Path, firmware: Firmware, images: Tensor, core: Core = "m7") -> dict:
    """Build a project with every compiler there is, run it on images uint8 (B, 3, H, W), and compare all bytes.

    Returns what `semanticnn export --check` prints: mismatching_bytes (of all witnesses together), images,
    payload_bytes; ram_bytes, stack_bytes, flash_bytes, instructions and instructions_by_function (of the first
    toolchain, and the first image); toolchain, emulator; and `witnesses`: who ran it, and how many bytes differed.
    Raises BuildError without a compiler or an emulator of the core, EmulationError when the firmware leaves its memory.
    """
    check_core(core)
    wanted, first = firmware.payload(images), toolchains()[0]
    answers: dict[str, Tensor] = {}
    if core in MODELS:
        emulators = {each.name: Emulator(build(project, each, core), core) for each in toolchains()}
        answers = {f"{name}, unicorn, {core}": each.run(images) for name, each in emulators.items()}
        program = emulator = emulators[first.name]
        profile, stack = emulator.profile(images[0]), max(map(emulator.stack_bytes, images[:4]))
    else:
        program = Program(build(project, first, core))
        profile, stack = profile_qemu(project, first, images[0], core)
    for toolchain in qemu_toolchains(core):
        answers[f"{toolchain.name}, qemu, {core}"] = run_qemu(project, toolchain, images, core)
    for name, command in host_compilers().items():
        answers[f"{name}, this machine"] = run_host(project, command, images)
    witnesses = {name: _differing(payloads, wanted) for name, payloads in answers.items()}
    if firmware.framing:
        wanted = torch.frombuffer(bytearray(firmware.frames(images)), dtype=torch.uint8)
        for name, command in host_compilers().items():
            framed = run_host(project, command, images, "frames").flatten()
            witnesses[f"{name}, this machine, frames"] = _differing(framed, wanted)
    return {
        "mismatching_bytes": sum(witnesses.values()),
        "images": len(images),
        "payload_bytes": firmware.payload_bytes,
        "ram_bytes": program.ram_bytes,
        "stack_bytes": stack,
        "flash_bytes": program.flash_bytes,
        "instructions": profile.instructions,
        "instructions_by_function": profile.by_function,
        "toolchain": first.name,
        "emulator": "unicorn" if core in MODELS else "qemu",
        "witnesses": witnesses,
    }


def check_core(core: Core) -> None:
    """Refuse with a BuildError a core that nothing here emulates."""
    if core not in MODELS and not has_qemu():
        others = ", ".join(MODELS)
        raise BuildError(f"{core} runs in QEMU alone: install {PROGRAM}, or check another core ({others})")


def qemu_toolchains(core: Core) -> list[Toolchain]:
    """Return whose programs QEMU runs: all where nothing else does, otherwise GCC's, or zig's without it."""
    if not has_qemu():
        return []
    return [gcc() or toolchains()[0]] if core in MODELS else toolchains()


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
