"""A Cortex-M in this process: Unicorn runs the firmware's ELF, counts its instructions and watches its memory."""

from collections import Counter
from pathlib import Path

import torch
import unicorn as uc
from torch import Tensor
from unicorn import arm_const as arm

from semanticnn_core.stm32.build import Core
from semanticnn_core.stm32.program import RAM, Profile, Program
from semanticnn_core.stm32.project import rows_first

MODELS = {
    "m7": arm.UC_CPU_ARM_CORTEX_M7, "m4": arm.UC_CPU_ARM_CORTEX_M4, "m3": arm.UC_CPU_ARM_CORTEX_M3,
    "m33": arm.UC_CPU_ARM_CORTEX_M33, "m0plus": arm.UC_CPU_ARM_CORTEX_M0, "m23": arm.UC_CPU_ARM_CORTEX_M33,
}  # fmt: skip
"""Unicorn's cores; Cortex-M0+ has the instructions of Cortex-M0, the M23 some of the M33's. There is no Cortex-M55."""
READ, WRITE, EXECUTE = uc.UC_PROT_READ, uc.UC_PROT_WRITE, uc.UC_PROT_EXEC
FLASH, MEMORY = 0x08000000, 128 * 1024
"""Where the H750's flash begins; its bytes, and those of the tightly coupled data memory at RAM."""
IMAGE, OUT, STOP = 0x60000000, 0x61000000, 0x62000000
"""Beside the device's memory: the image that is pushed (read only), the bytes that leave, where functions return."""
PAGES = 0x1000000, 0x10000, 0x1000
PUSH = "_push_row"
"""How the name of the function ends that takes a row."""
PAINT = 0xA5
PATIENCE = 30
"""Seconds that one call may take; a row takes milliseconds."""


class EmulationError(RuntimeError):
    """The firmware did what it must not: reached outside its memory, or returned an error."""


def as_payloads(sent: bytes, images: Tensor, program: str) -> Tensor:
    """Return what a program sent for images (B, 3, H, W) as uint8 (B, n); what is none or no whole B is an error."""
    if not sent or len(sent) % len(images):
        raise EmulationError(f"{program} sent {len(sent)} bytes for {len(images)} images")
    return torch.frombuffer(bytearray(sent), dtype=torch.uint8).view(len(images), -1)


class Emulator(Program):
    """A firmware ELF on an emulated Cortex-M with the H750's memory map.

    Code is readable, data is not executable, and everything else is not there: an access outside raises
    EmulationError. Instructions are counted a block at a time (a conditional one counts whether its condition held or
    not).
    """

    def __init__(self, elf: Path, core: Core = "m7") -> None:
        super().__init__(elf)
        self.state = self.symbols.get("state", 0)
        self.prefix = next((each[: -len(PUSH)] for each in self.symbols if each.endswith(PUSH)), "")
        if self.flash_bytes > MEMORY or self.ram_bytes > MEMORY:
            raise EmulationError(f"{elf} takes {self.flash_bytes} bytes of flash and {self.ram_bytes} of RAM")
        self.machine = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB | uc.UC_MODE_MCLASS)
        self.machine.ctl_set_cpu_model(MODELS[core])
        self.machine.mem_map(FLASH, MEMORY, READ | EXECUTE)
        self.machine.mem_map(RAM, MEMORY, READ | WRITE)
        self.machine.mem_map(IMAGE, PAGES[0], READ)
        self.machine.mem_map(OUT, PAGES[1], READ | WRITE)
        self.machine.mem_map(STOP, PAGES[2], READ | EXECUTE)
        for address, data in self.loads:
            self.machine.mem_write(address, data)
        self._call("Reset_Handler", until=self.symbols["main"] & ~1)

    def run(self, images: Tensor) -> Tensor:
        """Return the payloads, uint8 (B, n), that the firmware sends for images uint8 (B, 3, H, W)."""
        return torch.stack([self._image(image) for image in images])

    def profile(self, image: Tensor) -> Profile:
        """Run one image uint8 (3, H, W) and count the instructions it takes, by function."""
        counts: Counter[tuple[int, int]] = Counter()
        self.machine.ctl_flush_tb()  # what was translated before would not be counted
        hook = self.machine.hook_add(uc.UC_HOOK_BLOCK, lambda _, address, size, __: counts.update([(address, size)]))
        try:
            self._image(image)
        finally:
            self.machine.hook_del(hook)
        by_function: Counter[str] = Counter()
        for (address, size), times in counts.items():
            by_function[self.function(address)] += times * self.instructions(address, size)
        return Profile(by_function.total(), dict(by_function.most_common()))

    def stack_bytes(self, image: Tensor) -> int:
        """Return the deepest stack, bytes, of one image uint8 (3, H, W): memory is painted first, and looked at."""
        low = RAM + self.ram_bytes
        free = RAM + MEMORY - low
        self.machine.mem_write(low, bytes([PAINT]) * free)
        self._image(image)
        painted = bytes(self.machine.mem_read(low, free))
        return free - (len(painted) - len(painted.lstrip(bytes([PAINT]))))

    def _image(self, image: Tensor) -> Tensor:
        """Send an image uint8 (3, H, W) row by row; returns the bytes that left."""
        self.machine.mem_write(IMAGE, rows_first(image))
        self._call(f"{self.prefix}_reset", self.state)
        payload = bytearray()
        for row in range(image.shape[1]):
            payload += self._sent(self.prefix + PUSH, self.state, IMAGE + row * image[:, 0].numel(), OUT)
        payload += self._sent(f"{self.prefix}_finish", self.state, OUT)
        if status := self._call(f"{self.prefix}_check", self.state):
            raise EmulationError(f"{self.prefix}_check says {status} after the image")
        return torch.frombuffer(payload, dtype=torch.uint8)

    def _sent(self, function: str, *arguments: int) -> bytes:
        count = self._call(function, *arguments)
        if count >= 2**31:
            raise EmulationError(f"{function} returned {count - 2**32}")
        return bytes(self.machine.mem_read(OUT, count))

    def _call(self, function: str, *arguments: int, until: int = STOP) -> int:
        for register, value in zip((arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2), arguments, strict=False):
            self.machine.reg_write(register, value)
        self.machine.reg_write(arm.UC_ARM_REG_SP, RAM + MEMORY)
        self.machine.reg_write(arm.UC_ARM_REG_LR, STOP | 1)
        try:
            self.machine.emu_start(self.symbols[function] | 1, until, timeout=1_000_000 * PATIENCE)
        except uc.UcError as error:
            where = self.machine.reg_read(arm.UC_ARM_REG_PC)
            raise EmulationError(f"{function} stopped at {where:#010x} in {self.function(where)}: {error}") from error
        where = self.machine.reg_read(arm.UC_ARM_REG_PC)
        if where != until:
            raise EmulationError(f"{function} did not return within {PATIENCE} s; it is in {self.function(where)}")
        return self.machine.reg_read(arm.UC_ARM_REG_R0)
