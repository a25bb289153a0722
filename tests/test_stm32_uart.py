"""The board's program over a serial line that loses, adds and flips bytes: its protocol finds its way back."""

import os
import runpy
import select
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from stm32_models import photos, small_codec, small_firmware, small_model

from semanticnn_core.stm32 import build
from semanticnn_core.stm32.project import write_project

COUNTED = """
#include <stdint.h>
__attribute__((weak)) uint32_t work;
#define SNN_WORK_BEGINS() (work += 7)
#define SNN_WORK_ENDS() (void)0
static inline void measure_open(void) {}
static inline uint32_t measure_cycles(void) { const uint32_t was = work; work = 0; return was; }
"""
"""A header that measures, for this machine: 7 cycles a call."""


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    """A project whose test/uart_main.c is compiled for this machine as build/uart, and measuring as build/counted."""
    project = tmp_path_factory.mktemp("uart") / "project"
    model = small_model()
    write_project(small_firmware(model, small_codec(model)), project, model, photos(5, model.image_size))
    (project / "build").mkdir()
    sources = ("src/snn.c", "src/snn_model.c", "test/uart_main.c")
    command = build.host_compilers()["zig"]
    flags = ("-std=c99", "-O1", *build.WARNINGS, "-DHOST_UART", "-Isrc")
    build.run_tool((*command, *flags, *sources, "-o", str(project / "build/uart")), project)
    (project / "build/counted.h").write_text(COUNTED, encoding="utf-8")
    counted = ("-include", "build/counted.h", "-o", str(project / "build/counted"))
    build.run_tool((*command, *flags, *sources, *counted), project)
    return project


class Line:
    """A serial port with a board behind it; `damage` acts on what is written and on what is read."""

    def __init__(self, program: Path, damage=lambda data: data, mute: bool = False) -> None:
        self.port, self.damage, self.mute, self.here = "a line", damage, mute, b""
        self.board = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.board.stdin.close()
        self.board.wait(5)
        self.board.stdout.close()

    def write(self, data: bytes) -> None:
        if not self.mute:
            self.board.stdin.write(self.damage(data))

    def flush(self) -> None:
        pass

    def read(self, count: int) -> bytes:
        end = time.monotonic() + 0.3
        while len(self.here) < count and self._ready(max(end - time.monotonic(), 0)):
            if not (come := os.read(self.board.stdout.fileno(), 4096)):
                break  # the board's program has ended
            self.here += self.damage(come)
        got, self.here = self.here[:count], self.here[count:]
        return got

    def reset_input_buffer(self) -> None:
        self.here = b""
        while self._ready(0) and os.read(self.board.stdout.fileno(), 4096):
            pass

    def _ready(self, seconds: float) -> bool:
        return bool(select.select([self.board.stdout], [], [], seconds)[0])


def damaging(every: int, seed: int, most: int):
    """Return a function that loses, flips, or adds a byte once in so many, `most` times at all; and their count."""
    generator, done = np.random.default_rng(seed), []

    def damage(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            kind = int(generator.integers(3 * every)) if len(done) < most else 3
            out += (b"", bytes([byte ^ 16]), b"SN" + bytes([byte]))[kind] if kind < 3 else bytes([byte])
            done.extend([kind] * (kind < 3))
        return bytes(out)

    return damage, done


def sent_vectors(project: Path, line: Line, monkeypatch) -> int | str:
    """Run test/send_vectors.py with that line in the place of a port; returns what it ends with."""
    serial = ModuleType("serial")
    serial.Serial, serial.SerialException = lambda *_, **__: line, OSError
    monkeypatch.setitem(sys.modules, "serial", serial)
    monkeypatch.setattr(sys, "argv", ["send_vectors.py", "a line"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(project / "test/send_vectors.py"), run_name="__main__")
    return ended.value.code


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_vectors_arrive_exactly_over_a_line_that_damages_bytes(board, monkeypatch, capsys, seed):
    damage, done = damaging(1500, seed, most=4)
    assert sent_vectors(board, Line(board / "build/uart", damage), monkeypatch) == 0
    assert len(done) == 4 and capsys.readouterr().out.count(", 0 wrong so far") == 5


@pytest.mark.slow
def test_a_board_in_the_middle_of_a_row_is_understood(board, monkeypatch):
    line = Line(board / "build/uart")
    line.write(b"noise SN\x05\x00 and half a row")
    assert sent_vectors(board, line, monkeypatch) == 0


@pytest.mark.slow
def test_what_the_board_measured_is_shown(board, monkeypatch, capsys):
    assert sent_vectors(board, Line(board / "build/counted"), monkeypatch) == 0
    measured = "0 wrong so far; 231 cycles, at most 14 for a row"  # 32 rows; with the last one's answer snn_finish
    assert capsys.readouterr().out.count(measured) == 5


@pytest.mark.slow
def test_wrong_vectors_and_a_mute_board_are_told(board, monkeypatch):
    assert "no whole image" in sent_vectors(board, Line(board / "build/uart", mute=True), monkeypatch)
    vectors = board / "vectors/payloads.bin"
    right = vectors.read_bytes()
    try:
        vectors.write_bytes(bytes([right[0] ^ 1]) + right[1:])
        assert sent_vectors(board, Line(board / "build/uart"), monkeypatch) == 1
    finally:
        vectors.write_bytes(right)
