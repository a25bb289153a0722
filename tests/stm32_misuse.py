"""Random calls that no driver should make, on this machine and on an emulated Cortex-M7; see stm32_misuse.c."""

import shutil
from pathlib import Path

from semanticnn_core.stm32.build import Toolchain, build, build_host, run_tool
from semanticnn_core.stm32.emulator import MEMORY, PAINT, RAM, Emulator

PROGRAM = Path(__file__).with_suffix(".c")
BATCH = 5000
"""Calls from one seed: what an emulated core makes within the time that one call may take."""
DEEPEST = 1024
"""Bytes of stack that they may take on the emulated core."""
ELSEWHERE = 10
"""The promise of the emulated core: all memory beside the program's data and so much stack stays as it was."""


def on_this_machine(project: Path, command: tuple[str, ...], calls: int) -> int:
    """Return which promise was broken, 0 for none, by a project compiled with a compiler's command."""
    shutil.copy(PROGRAM, project / "test/host_main.c")
    program = build_host(project, command, "misuse")
    return max(int(run_tool((str(program), *map(str, each))).stdout) for each in _batches(calls))


def on_emulated_m7(project: Path, toolchain: Toolchain, calls: int) -> int:
    """Return which promise was broken, 0 for none, on an emulated core, where an access outside its memory is an error.

    Raises EmulationError for such an access.
    """
    shutil.copy(PROGRAM, project / "test/misuse_main.c")
    emulator = Emulator(build(project, toolchain, "m7", "misuse"))
    low, untouched = RAM + emulator.ram_bytes, bytes([PAINT]) * (MEMORY - emulator.ram_bytes - DEEPEST)
    for each in _batches(calls):
        emulator.machine.mem_write(low, untouched)
        if broken := emulator._call("misuse", *each):
            return broken
        if emulator.machine.mem_read(low, len(untouched)) != untouched:
            return ELSEWHERE
    return 0


def _batches(calls: int) -> list[tuple[int, int]]:
    """Return calls and seed of each batch."""
    return [(min(BATCH, calls - first), first + 1) for first in range(0, calls, BATCH)]
