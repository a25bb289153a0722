"""QEMU's boards: they run the firmware as a whole program, and are the only ones here with a Cortex-M55."""

import re
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from semanticnn_core.stm32.build import BOARDS, Core, Toolchain, build, run_tool
from semanticnn_core.stm32.emulator import EmulationError, as_payloads
from semanticnn_core.stm32.program import Profile, Program
from semanticnn_core.stm32.project import rows_first

PROGRAM = "qemu-system-arm"
AROUND = {"Reset_Handler", "main", "host", "leave"}
"""Functions of the program around the firmware, which are not counted."""
COUNTED = ("-d", "in_asm,exec,cpu,nochain", "-D", "log")
"""Options that write each block of code when it is met first, and for each one that runs its address and registers."""


def has_qemu() -> bool:
    """Say whether QEMU for Arm is installed."""
    return shutil.which(PROGRAM) is not None


def run_qemu(project: Path, toolchain: Toolchain, images: Tensor, core: Core = "m7") -> Tensor:
    """Return the payloads, uint8 (B, n), that QEMU's board writes for images uint8 (B, 3, H, W)."""
    elf = build(project, toolchain, core, "semihosting")
    with TemporaryDirectory() as name:
        return _run(elf, Path(name), images, core)


def profile_qemu(project: Path, toolchain: Toolchain, image: Tensor, core: Core) -> tuple[Profile, int]:
    """Run one image uint8 (3, H, W) on QEMU's board; return the instructions it takes, and the deepest stack, bytes."""
    elf = build(project, toolchain, core, "semihosting")
    program, blocks, counts = Program(elf), {}, Counter()
    top = lowest = program.symbols["_stack_top"]
    with TemporaryDirectory() as name:
        _run(elf, Path(name), image[None], core, *COUNTED)
        start = None  # of the block that is listed
        with (Path(name) / "log").open(encoding="utf-8", errors="replace") as log:
            for line in log:
                if ran := re.match(r"Trace \d+: \S+ \[\w+/(\w+)/", line):
                    counts[int(ran[1], 16)] += 1
                elif met := re.match(r"0x(\w+): +((?:[0-9a-f]{4} ?)+)", line):
                    address = int(met[1], 16)
                    start = start or address
                    blocks[start] = address + len(re.sub(r"\s", "", met[2])) // 2 - start
                else:
                    start = None
                    if at := re.search(r"R13=(\w+)", line):
                        lowest = min(lowest, int(at[1], 16) or top)
    by_function: Counter[str] = Counter()
    for address, times in counts.items():
        by_function[program.function(address)] += times * program.instructions(address, blocks[address])
    for name in AROUND & set(by_function):
        del by_function[name]
    return Profile(by_function.total(), dict(by_function.most_common())), top - lowest


def _run(elf: Path, folder: Path, images: Tensor, core: Core, *options: str) -> Tensor:
    """Run a program in a folder that holds nothing yet, and return what it sent."""
    (folder / "images.bin").write_bytes(rows_first(images))
    (folder / "payloads.bin").touch()
    command = (PROGRAM, "-M", BOARDS[core].name, "-nographic", "-semihosting-config", "enable=on,target=native")
    run_tool((*command, *options, "-kernel", str(elf)), folder, error=EmulationError, images=len(images))
    return as_payloads((folder / "payloads.bin").read_bytes(), images, PROGRAM)
