"""A firmware's ELF: its memory, its names, and how many instructions a piece of its code is."""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

RAM = 0x20000000
"""Where memory that can be written begins on every Cortex-M."""


@dataclass
class Profile:
    """What running one image cost."""

    instructions: int
    by_function: dict[str, int]


class Program:
    """What an ELF says of its firmware."""

    def __init__(self, elf: Path) -> None:
        with elf.open("rb") as file:
            image = ELFFile(file)
            symbols = list(image.get_section_by_name(".symtab").iter_symbols())
            self.loads = [(each["p_paddr"], each.data()) for each in image.iter_segments("PT_LOAD") if each["p_filesz"]]
            sections = [each for each in image.iter_sections() if each["sh_flags"] & SH_FLAGS.SHF_ALLOC]
            self.ram_bytes = sum(each["sh_size"] for each in sections if each["sh_addr"] >= RAM)
        self.flash_bytes = sum(len(data) for _, data in self.loads)
        self.symbols = {each.name: each["st_value"] for each in symbols}
        functions = (each for each in symbols if each["st_info"]["type"] == "STT_FUNC")
        self._functions = sorted((each["st_value"] & ~1, each.name) for each in functions)

    def function(self, address: int) -> str:
        """Return the function that an address lies in."""
        index = bisect_right(self._functions, (address, "\uffff")) - 1
        return self._functions[index][1] if index >= 0 else "?"

    def instructions(self, address: int, size: int) -> int:
        """Return how many Thumb-2 instructions `size` bytes of code are: 11101, 11110 and 11111 begin long ones."""
        start, data = next(each for each in self.loads if each[0] <= address < each[0] + len(each[1]))
        at, end, count = address - start, address - start + size, 0
        while at < end:
            at += 4 if data[at + 1] >> 3 >= 0b11101 else 2
            count += 1
        return count
