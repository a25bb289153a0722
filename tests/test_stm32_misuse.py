"""Whatever is called, nothing is written elsewhere and what is wrong is said; tests/benchmarks/misuse.py calls more."""

import pytest
from stm32_misuse import ELSEWHERE, on_emulated_m7, on_this_machine
from stm32_models import CASES, case, patched, small_project

from semanticnn_core.stm32.build import host_compilers, toolchains, zig

pytestmark = pytest.mark.slow
NAMES = ["mobilenet", "odd code, adaptive", "parity, odd bytes"]
ROW_TOO_MANY = "s->rows >= SNN_IMAGE_SIZE ? SNN_TOO_MANY : !rgb"
RESET = "    s->ready = READY;"


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_called_writes_nowhere_else_and_says_what_is_wrong(name, tmp_path):
    """Two states and a camera in turn: rows too many and too few, NULL, no reset, short lines, against a model."""
    project = small_project(case(CASES[name]), tmp_path / "project")
    for command in host_compilers().values():
        assert on_this_machine(project, command, 20_000) == 0
    for toolchain in toolchains():
        assert on_emulated_m7(project, toolchain, 3_000) == 0


@pytest.mark.parametrize(
    ("right", "fault", "broken"),
    [
        (ROW_TOO_MANY, "!rgb", {4, 8}),
        ("        return 0;\n    SNN_WORK_BEGINS();\n#if !", "        return -1;\n    SNN_WORK_BEGINS();\n#if !", {3}),
        (RESET, f"{RESET}\n    ((volatile uint8_t *)s)[-1] = 0;", {6}),
        (RESET, f"{RESET}\n    ((volatile uint8_t *)s)[sizeof *s] = 0;", {6}),
        (RESET, f"{RESET}\n    *(volatile uint8_t *)0x20010000u = 0;", {ELSEWHERE}),
    ],
)
def test_a_broken_promise_is_noticed_on_the_emulated_core(right, fault, broken, tmp_path):
    project = small_project(case(CASES["mobilenet"]), tmp_path / "project")
    patched(project / "src/snn.c", right, fault)
    assert on_emulated_m7(project, zig(), 3_000) in broken
