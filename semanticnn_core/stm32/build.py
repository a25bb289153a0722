"""Compilers for the firmware: one from PyPI that is always there, others when they are found."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Core = Literal["m7", "m4", "m3"]
CORES: tuple[Core, ...] = ("m7", "m4", "m3")
LIBRARY = ("snn/snn.c", "snn/snn_model.c")
BARE = ("port/startup.c", "port/memory.c")
LINKER = "port/stm32h750.ld"
MPS2 = {"0x08000000": "0x00000000", "128K": "4M"}
"""What differs between that memory map and the one of Arm's MPS2 boards, which QEMU has."""
OPTIMIZE = ("-O2", "-fomit-frame-pointer", "-fno-unroll-loops")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class BuildError(RuntimeError):
    """A compiler is missing or refused the firmware; the message holds what it said, or how to get one."""


@dataclass(frozen=True)
class Toolchain:
    """A cross compiler: how it is called, and its flags for a core."""

    name: str
    command: tuple[str, ...]
    flags: dict[Core, tuple[str, ...]]


def zig() -> Toolchain:
    """Return the compiler that pip installs with this package; a BuildError says so where it is not."""
    if not find_spec("ziglang"):
        raise BuildError("no compiler: install one with  pip install ziglang")
    common = ("-target", "thumb-freestanding-eabi", "-fno-sanitize=undefined")
    return Toolchain(
        "zig", (sys.executable, "-m", "ziglang", "cc"), {core: (*common, f"-mcpu=cortex_{core}") for core in CORES}
    )


def gcc() -> Toolchain | None:
    """Return Arm's GCC, None where it is not installed."""
    if not shutil.which("arm-none-eabi-gcc"):
        return None
    flags = {core: (f"-mcpu=cortex-{core}", "-mthumb", "-ffreestanding") for core in CORES}
    return Toolchain("gcc", ("arm-none-eabi-gcc",), flags)


def toolchains() -> list[Toolchain]:
    """Return all cross compilers there are, the one from PyPI first."""
    return [each for each in (zig(), gcc()) if each]


def build(project: Path, toolchain: Toolchain, core: Core = "m7", main: str = "emulator") -> Path:
    """Compile and link the firmware of a project folder with test/MAIN_main.c; return the ELF.

    It has the H750's memory map, for `semihosting` that of the MPS2 boards.
    """
    project = project.resolve()  # the compilers run in it
    folder = project / "build" / f"{toolchain.name}-{core}-{main}"
    folder.mkdir(parents=True, exist_ok=True)
    flags = (*toolchain.flags[core], *OPTIMIZE, "-std=c99", "-Isnn")
    objects = []
    for source in (*LIBRARY, *BARE, f"test/{main}_main.c"):
        objects.append(str(folder / f"{Path(source).stem}.o"))
        extra = ("-fno-builtin",) if source.endswith("memory.c") else ()
        standard = ("-std=gnu99",) if "_main" in source or "startup" in source else ()
        warnings = WARNINGS if source in LIBRARY else ()
        _run((*toolchain.command, *flags, *extra, *standard, *warnings, "-c", source, "-o", objects[-1]), project)
    script = (project / LINKER).read_text()
    if main == "semihosting":
        for ours, theirs in MPS2.items():
            script = script.replace(ours, theirs)
    (folder / "memory.ld").write_text(script)
    elf = folder / "firmware.elf"
    link = ("-nostdlib", "-T", str(folder / "memory.ld"), *objects, "-o", str(elf))
    _run((*toolchain.command, *toolchain.flags[core], *link), project)
    return elf


def host_compilers() -> dict[str, tuple[str, ...]]:
    """Return the compilers for this machine by name: zig's, and the system's with sanitizers where it has them."""
    found = {"zig": (*zig().command, "-fsanitize=undefined", "-fno-sanitize-trap=undefined")}
    for name in ("gcc", "clang"):
        if shutil.which(name) and _sanitizes(name):
            found[f"{name}, sanitized"] = (name, *SANITIZERS)
    return found


def build_host(project: Path, command: tuple[str, ...], name: str = "host") -> Path:
    """Compile the firmware for this machine, with test/host_main.c around it; return the program."""
    project = project.resolve()
    program = project / "build" / (f"{name}.exe" if os.name == "nt" else name)
    program.parent.mkdir(exist_ok=True)
    sources = (*LIBRARY, "test/host_main.c")
    _run((*command, "-std=c99", "-O1", *WARNINGS, "-Isnn", *sources, "-o", str(program)), project)
    return program


@cache
def _sanitizes(compiler: str) -> bool:  # a compiler may come without the libraries that its sanitizers need
    command = (compiler, *SANITIZERS, "-x", "c", "-", "-o", os.devnull)
    return subprocess.run(command, input="int main(void) { return 0; }", text=True, capture_output=True).returncode == 0


def _run(command: tuple[str, ...], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error}") from error
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n{result.stderr.strip() or result.stdout.strip()}")
