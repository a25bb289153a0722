"""Compilers for the firmware, one from PyPI that is always there, and the one function that runs a tool."""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

Core = Literal["m7", "m4", "m3", "m33", "m55", "m0plus", "m23"]
CORES: tuple[Core, ...] = get_args(Core)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror")
BARE = {"port/startup.c": ("-std=gnu99",), "port/memory.c": ("-fno-builtin",)}
"""What a program without a C library needs beside them."""
MEASURED = ("-include", "port/measure.h")
"""What the board's program is compiled with, so that a pin and a counter say what the encoder takes."""
LINKER = "port/stm32h750.ld"
ZIG_FLAGS = {"m33": ("-mcpu=cortex_m33+dsp",), "m55": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m55+mve")}
GCC_FLAGS = {"m55": ("-mfloat-abi=hard",)}
"""Flags with which a compiler uses all that a core has: DSP extension, Helium and its registers."""
OPTIMIZE = ("-O2", "-fomit-frame-pointer", "-fno-unroll-loops")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LIMIT = 300
"""Seconds that a tool may take; zig's first call compiles its own runtime, which took 47 s on two busy cores."""

IMAGE_LIMIT = 10
"""Seconds more for each image that a program encodes: half a billion instructions at 448 px."""


class BuildError(RuntimeError):
    """A tool is missing, failed or did not end; the message names it and holds what it said, or what to do."""


@dataclass(frozen=True)
class Board:
    """One of Arm's boards that QEMU has: where its memory differs from the linker script's."""

    name: str
    flash: str = "0x00000000"
    ram: str = "0x20000000"
    size: str = "4M"


BOARDS: dict[Core, Board] = {
    "m7": Board("mps2-an500"),
    "m4": Board("mps2-an386"),
    "m3": Board("mps2-an385"),
    "m33": Board("mps2-an505", "0x10000000", "0x38000000"),
    "m55": Board("mps3-an547", "0x10000000", "0x30000000", "512K"),
    "m0plus": Board("mps2-an385"),
    "m23": Board("mps2-an505", "0x10000000", "0x38000000"),
}
"""Where QEMU runs a core's programs. An M3 stands in for the M0+ and an M33 for the M23, whose instructions it has."""


@dataclass(frozen=True)
class Toolchain:
    """A cross compiler: how it is called, its flags, `{}` standing for the core, and more flags of single cores."""

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...]
    core_flags: dict[Core, tuple[str, ...]]

    def compiler(self, core: Core) -> tuple[str, ...]:
        """Return the command that compiles for a core."""
        return (*self.command, *(flag.format(core) for flag in self.flags), *self.core_flags.get(core, ()))


def zig() -> Toolchain:
    """Return the compiler that pip installs with this package; a BuildError says so where it is not."""
    if not find_spec("ziglang"):
        raise BuildError("no compiler: install one with  pip install ziglang")
    flags = ("-target", "thumb-freestanding-eabi", "-fno-sanitize=undefined", "-mcpu=cortex_{}")
    return Toolchain("zig", (sys.executable, "-m", "ziglang", "cc"), flags, ZIG_FLAGS)


def gcc() -> Toolchain | None:
    """Return Arm's GCC, None where it is not installed."""
    if not shutil.which("arm-none-eabi-gcc"):
        return None
    return Toolchain("gcc", ("arm-none-eabi-gcc",), ("-mcpu=cortex-{}", "-mthumb", "-ffreestanding"), GCC_FLAGS)


def toolchains() -> list[Toolchain]:
    """Return all cross compilers there are, the one from PyPI first."""
    return [each for each in (zig(), gcc()) if each]


def prefix_of(project: Path) -> str:
    """Return what all names of a project begin with; a BuildError where the folder is none."""
    for header in sorted(project.glob("src/*_model.h")):
        return header.name.removesuffix("_model.h")
    raise BuildError(f"{project} is no exported project: it holds no src/NAME_model.h")


def build(project: Path, toolchain: Toolchain, core: Core = "m7", main: str = "emulator") -> Path:
    """Compile and link the firmware of a project folder with test/MAIN_main.c; return the ELF.

    It has the H750's memory map, for `semihosting` that of QEMU's board; `uart` is the board's own program.
    """
    project = project.resolve()  # the compilers run in it
    folder = project / "build" / f"{toolchain.name}-{core}-{main}"
    folder.mkdir(parents=True, exist_ok=True)
    command = (*toolchain.compiler(core), *(MEASURED if main == "uart" else ()))
    objects, name = [], prefix_of(project)
    library = dict.fromkeys((f"src/{name}.c", f"src/{name}_model.c"), WARNINGS)
    for source, flags in {**library, **BARE, f"test/{main}_main.c": ("-std=gnu99",)}.items():
        objects.append(str(folder / f"{Path(source).stem}.o"))
        run_tool((*command, *OPTIMIZE, "-std=c99", "-Isrc", *flags, "-c", source, "-o", objects[-1]), project)
    script = (project / LINKER).read_text(encoding="utf-8")
    if main == "semihosting":
        board = BOARDS[core]
        for ours, theirs in (("0x08000000", board.flash), ("0x20000000", board.ram), ("128K", board.size)):
            script = script.replace(ours, theirs)
    (folder / "memory.ld").write_text(script, encoding="utf-8")
    elf = folder / "firmware.elf"
    run_tool((*command, "-nostdlib", "-T", str(folder / "memory.ld"), *objects, "-o", str(elf)), project)
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
    own = prefix_of(project)
    sources = (*(f"src/{own}{part}.c" for part in ("", "_model", "_frame")), "test/host_main.c")
    run_tool((*command, "-std=c99", "-O1", *WARNINGS, "-Isrc", *sources, "-o", str(program)), project)
    return program


@cache
def _sanitizes(compiler: str) -> bool:  # a compiler may come without the libraries that its sanitizers need
    try:
        run_tool((compiler, *SANITIZERS, "-x", "c", "-", "-o", os.devnull), given=b"int main(void) { return 0; }")
    except BuildError:
        return False
    return True


def run_tool(
    command: Sequence[str],
    folder: Path | None = None,
    given: bytes = b"",
    error: type[RuntimeError] = BuildError,
    images: int = 0,
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool in a folder, `given` its standard input, and return what it answered.

    images: how many it encodes, for which it has IMAGE_LIMIT more seconds each.
    Raises `error`, naming the tool, where it cannot be run, is not done within its limit, or does not end with 0.
    """
    seconds = LIMIT + IMAGE_LIMIT * images
    name = "zig" if "ziglang" in command else Path(command[0]).name
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": _zig_cache()} if name == "zig" else None
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, input=given, capture_output=True, check=False, timeout=seconds
        )
    except OSError as failure:
        raise error(f"{name} cannot be run: {failure}; install it again, or remove it from PATH") from failure
    except subprocess.TimeoutExpired as failure:
        raise error(f"{name} was not done in {seconds} s; try again while the machine is less busy") from failure
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", errors="replace")
        raise error(f"{name} ended with {done.returncode}: {shlex.join(command)}\n{said}")
    return done


def _zig_cache() -> str:
    """Return the folder for what zig compiles once: the user's, or a temporary one where that cannot be written.

    Left to itself, zig fails without a home, and does not end where the home cannot be made.
    """
    if given := os.environ.get("ZIG_GLOBAL_CACHE_DIR"):
        return given
    try:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "zig").absolute()
        usual.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # pathlib's RuntimeError: no home at all
        return _temporary()
    return str(usual) if os.access(usual, os.W_OK) else _temporary()


@cache
def _temporary() -> str:
    """Return a folder that is deleted when this process ends."""
    folder = tempfile.mkdtemp(prefix="zig-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
