"""The board's own program on an emulated Cortex-M7 with the registers that it touches: messages, pin and counter."""

import struct
from binascii import crc_hqx
from pathlib import Path

import pytest
from stm32_models import photos, small_codec, small_firmware, small_model, small_project

from semanticnn_core.stm32.build import build, toolchains
from semanticnn_core.stm32.emulator import Emulator
from semanticnn_core.stm32.project import rows_first

PORT_B, PORT_D, CLOCKS, USART, CORE = 0x58020400, 0x58020C00, 0x58024400, 0x40004800, 0xE0000000
MODE, SET, ISR, RECEIVED, SENT = 0x00, 0x18, 0x1C, 0x24, 0x28
CONTROL, COUNT, LOCK, TRACE = 0x1000, 0x1004, 0x1FB0, 0xEDFC
WORK = 1000
"""Cycles that pass on this core whenever the counter runs."""


class Board:
    """Peripherals of an STM32H750 as far as test/uart_main.c and port/measure.h touch them."""

    def __init__(self, elf: Path, given: bytes) -> None:
        self.emulator, self.given, self.answer = Emulator(elf), list(given), bytearray()
        self.memory: dict[int, int] = {}
        self.pin: list[int] = []
        machine = self.emulator.machine
        for address, size in ((0x40004000, 0x1000), (0x58020000, 0x5000), (CORE, 0x100000)):
            machine.mmio_map(address, size, self.read, address, self.write, address)

    def read(self, _, offset: int, size: int, base: int) -> int:
        address = base + offset
        if address == USART + ISR:
            return 1 << 5 | 1 << 7
        if address == USART + RECEIVED:
            if not self.given:
                self.emulator.machine.emu_stop()
                return 0
            return self.given.pop(0)
        return self.memory.get(address, 0)

    def write(self, _, offset: int, size: int, value: int, base: int) -> None:
        address = base + offset
        if address == USART + SENT:
            self.answer.append(value)
        elif address == PORT_B + SET:
            self.pin.append(1 if value == 1 else 0 if value == 1 << 16 else -1)
        elif address == CORE + CONTROL and self.memory.get(CORE + TRACE, 0) >> 24 & 1 and value & 1:
            self.memory[CORE + COUNT] = self.memory.get(CORE + COUNT, 0) + WORK
        self.memory[address] = value

    def run(self) -> None:
        self.emulator.machine.emu_start(self.emulator.symbols["main"] | 1, 0, timeout=60_000_000)


@pytest.mark.parametrize("toolchain", toolchains(), ids=lambda each: each.name)
@pytest.mark.slow
def test_the_board_s_program_answers_rows_and_measures_its_work(toolchain, tmp_path):
    model = small_model()
    firmware = small_firmware(model, small_codec(model))
    image, size = photos(1, 32), 3 * 32
    pixels = rows_first(image)
    rows = [struct.pack("<H", y) + pixels[y * size : (y + 1) * size] for y in range(32)]
    given = b"".join(b"SN" + each + struct.pack("<H", crc_hqx(each, 0xFFFF)) for each in rows)
    board = Board(build(small_project(firmware, tmp_path / "project"), toolchain, "m7", "uart"), given)
    board.run()
    assert board.given == [], "every row was taken"
    payload, cycles, answer = b"", [], bytes(board.answer)
    while answer:
        assert answer[:2] == b"SN"
        (count,) = struct.unpack("<H", answer[2:4])
        content, (sum_,) = answer[4 : 8 + count], struct.unpack("<H", answer[8 + count : 10 + count])
        assert crc_hqx(answer[2 : 8 + count], 0xFFFF) == sum_
        payload, cycles = payload + content[:count], [*cycles, int.from_bytes(content[count:], "little")]
        answer = answer[10 + count :]
    assert payload == firmware.payload(image)[0].numpy().tobytes()
    assert cycles == [WORK] * 31 + [2 * WORK], "the last row's answer is that of snn_finish too"
    assert board.pin == [0] + [1, 0] * 33 and board.memory[CORE + LOCK] == 0xC5ACCE55
    assert board.memory[PORT_B + MODE] & 3 == 1 and board.memory[CLOCKS + 0xE0] & 0b1010 == 0b1010
    assert board.memory[PORT_D + MODE] >> 16 & 0xF == 0xA
