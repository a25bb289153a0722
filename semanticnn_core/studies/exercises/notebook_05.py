"""Exercises of notebook 05: comparisons, work that a window saves, a core without `smlad`, what fills the flash."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from semanticnn_core.config import Slice
from semanticnn_core.stm32.build import build, zig
from semanticnn_core.stm32.emulator import Emulator
from semanticnn_core.stm32.project import write_project
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.studies.exercises.answers import check_choice, check_number, check_percent
from semanticnn_core.tasks.split import SplitModel


def comparisons(answer: Any, centers: int = 64) -> None:
    """Check exercise 1: how many comparisons find one of `centers` centres."""
    hint = "Each comparison leaves half of the centres that are still possible."
    check_number(answer, lambda: math.ceil(math.log2(centers)), unit="comparisons", hint=hint)


def costs_of(slice: Slice, firmware: Firmware, folder: Path, model: SplitModel, image: Tensor) -> dict[str, int]:
    """Write and run the firmware of a slice on one image (1, 3, H, W): its bytes, instructions and RAM."""
    other = replace(firmware, slice=slice)
    write_project(other, folder, model, image, force=True)
    program = Emulator(build(folder, zig()))
    counted = program.profile(image[0]).instructions
    return {"bytes": other.payload_bytes, "instructions": counted, "RAM": program.ram_bytes}


def work_left(answer: Any, firmware: Firmware, folder: Path, model: SplitModel, image: Tensor) -> None:
    """Check exercise 2: the share of the whole code's instructions that its central half takes, in %."""

    def right() -> float:
        whole, half = (costs_of(Slice(ratio), firmware, folder, model, image)["instructions"] for ratio in (1.0, 0.5))
        return half / whole

    hint = "Count the instructions of both, and divide. Rows that no sent position needs are not computed."
    check_percent(answer, right, 1.5, hint)


def times_on_m3(answer: Any, project: Path, image: Tensor) -> None:
    """Check exercise 3: how many times the instructions of a Cortex-M7 a Cortex-M3 takes for an image (3, H, W)."""

    def right() -> float:
        m7, m3 = (Emulator(build(project, zig(), core), core).profile(image).instructions for core in ("m7", "m3"))
        return m3 / m7

    check_number(answer, right, relative=0.03, unit="times", hint='Build for the core "m3" and profile the same image.')


def largest_table(answer: Any, flash: Mapping[str, int]) -> None:
    """Check exercise 4: the name of what takes most of the flash."""
    check_choice(answer, lambda: max(flash, key=flash.__getitem__), tuple(flash), 'Look at `memory["flash"]`.')
