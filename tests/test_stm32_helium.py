"""The loops of Cortex-M55 with Helium: the plain C's bytes, fewer instructions, and faults that are noticed."""

import numpy as np
import pytest
import torch
from stm32_models import CASES, case, patched, photos, small_project

from semanticnn_core.stm32.build import BuildError, toolchains
from semanticnn_core.stm32.check import check_core, check_project
from semanticnn_core.stm32.extremes import flat_and_loud
from semanticnn_core.stm32.qemu import has_qemu, profile_qemu, run_qemu

NAMES = [each.name for each in toolchains()]
needs_qemu = pytest.mark.skipif(not has_qemu(), reason="QEMU for Arm is not installed")
FAULTS = [
    ("SNN_STEM_LANES / 8,", "SNN_STEM_LANES / 8 - 1,"),
    ("SNN_CODE_TAPS / 8,", "SNN_CODE_TAPS / 8 - 1,"),
    ('"vldrb.s16", "8"', '"vldrb.u16", "8"'),
    ('"vmladava.s16 %[b1], q1, q3\\n"', '"vmladava.s16 %[b1], q0, q3\\n"'),
    ('"vmladava.s16 %[a1], q1, q2\\n"', '"vmladava.s16 %[a1], q1, q3\\n"'),
    ("vrshrq_n_s32(vmulhq_s32", "vshrq_n_s32(vmulhq_s32"),
    ("SNN_STEM_SHIFT - 32)", "SNN_STEM_SHIFT - 31)"),
    ("vmaxq_s32(out, vdupq_n_s32(0))", "out"),
    ("return vminq_s32(vmaxq_s32(out, vdupq_n_s32(0)), vdupq_n_s32(255))", "return vmaxq_s32(out, vdupq_n_s32(0))"),
    ("STEM_TAPS - tap", "STEM_TAPS - tap - 1"),
    ("copy_taps(patch[1] + i * STEM_TAPS, row + 6)", "copy_taps(patch[1] + i * STEM_TAPS, row + 3)"),
    ("(void)memset(patch, 0, sizeof patch)", "(void)memset(patch, 1, sizeof patch)"),
    ("at_least(-top, 0), end", "at_least(-top, 1), end"),
    ("column < SNN_STEM_RIGHT", "column < SNN_STEM_RIGHT - 2"),
    ("a1 = a0, b0 = snn_stem_bias[c + 1]", "a1 = a0, b0 = snn_stem_bias[c]"),
    ("scale = vldrwq_s32(snn_stem_multiplier + c)", "scale = vldrwq_s32(snn_stem_multiplier)"),
    ("b = a + SNN_CODE_TAPS", "b = a"),
    ("*in1 = in0 + SNN_CODE_STEP", "*in1 = in0"),
    ("next[k] = a1", "next[k] = a0"),
    ("snn_code_weight + ky *", "snn_code_weight + 0 * ky *"),
]
"""Clamps, roundings, shifts, borders, operands: right and wrong."""
OUTPUTS = """
void outputs(int32_t sums[4], int32_t multiplier);
void outputs(int32_t sums[4], int32_t multiplier)
{
    vstrwq_s32(sums, stem_outputs(vldrwq_s32(sums), vdupq_n_s32(multiplier)));
}
"""
READ = """int32_t given[5];
    void outputs(int32_t *, int32_t);
    while (host(READ, images, AT(given), sizeof given) == 0) {
        outputs(given, given[4]);
        if (host(WRITE, payloads, AT(given), 16) != 0)
            leave(3);
    }
    leave(0);
"""
"""A program that reads four sums and a multiplier, and writes four outputs of the stem."""


@needs_qemu
@pytest.mark.parametrize("number", range(len(CASES)), ids=CASES)
@pytest.mark.slow
def test_every_byte_is_the_same_with_helium(number, tmp_path):
    firmware = case(list(CASES.values())[number])
    size = firmware.encoder.image_size
    images = torch.cat([photos(2, size), flat_and_loud(size)])
    toolchain = toolchains()[number % len(NAMES)]  # by turns
    payloads = run_qemu(small_project(firmware, tmp_path / "project"), toolchain, images, "m55")
    assert torch.equal(payloads, firmware.payload(images))


@needs_qemu
@pytest.mark.parametrize("toolchain", toolchains(), ids=NAMES)
@pytest.mark.slow
def test_helium_is_counted_and_takes_fewer_instructions_than_the_other_loops(toolchain, tmp_path):
    firmware = case(CASES["resnet"])
    project, image = small_project(firmware, tmp_path / "project"), photos(1)[0]
    helium, stack = profile_qemu(project, toolchain, image, "m55")
    assert sum(helium.by_function.values()) == helium.instructions and 0 < stack < 2048
    assert {"stem_row", "add_feature_row"} <= set(helium.by_function) and "main" not in helium.by_function
    patched(project / "src/snn_model.h", "#include <stdint.h>", "#include <stdint.h>\n#define SNN_PORTABLE")
    assert profile_qemu(project, toolchain, image, "m55")[0].instructions > 3 * helium.instructions


@needs_qemu
@pytest.mark.slow
def test_instructions_are_those_of_single_steps(tmp_path, monkeypatch):
    firmware = case(CASES["mobilenet"])
    project, image = small_project(firmware, tmp_path / "project"), photos(1)[0]
    counted = profile_qemu(project, toolchains()[0], image, "m55")
    monkeypatch.setattr("semanticnn_core.stm32.qemu.COUNTED", ("-singlestep", "-d", "in_asm,exec,nochain", "-D", "log"))
    assert profile_qemu(project, toolchains()[0], image, "m55")[0] == counted[0]


@needs_qemu
@pytest.mark.parametrize(("right", "wrong"), FAULTS, ids=[wrong for _, wrong in FAULTS])
@pytest.mark.slow
def test_extreme_images_notice_every_fault_of_helium(right, wrong, tmp_path):
    firmware = case(CASES["mobilenet"])
    images = torch.cat([photos(2), flat_and_loud(32)])
    project = small_project(firmware, tmp_path / "project")
    patched(project / "src/snn_helium.h", right, wrong)
    assert not torch.equal(run_qemu(project, toolchains()[-1], images, "m55"), firmware.payload(images))


@needs_qemu
@pytest.mark.parametrize("shift", [33, 47, 62])
@pytest.mark.slow
def test_four_outputs_are_rounded_once_and_saturate(shift, tmp_path):
    firmware = case(CASES["mobilenet"])
    project = small_project(firmware, tmp_path / "project")
    patched(project / "src/snn_model.h", f"STEM_SHIFT {firmware.sizes['STEM_SHIFT']}\n", f"STEM_SHIFT {shift}\n")
    for name, before, after in (
        ("src/snn.c", "\nvoid snn_reset", OUTPUTS),
        ("test/semihosting_main.c", "for (;;)", READ),
    ):
        patched(project / name, before, after + before)
    powers = [1 << power for power in range(31)]
    ties = [(odd << shift - 1) // power for odd in (-7, -3, -1, 1, 5, 509, 511) for power in powers]
    sums = {tie + off for tie in ties for off in (-1, 0, 1) if abs(tie) < 2**31 - 1} | {2**31 - 1, -(2**31)}
    calls = [(each, multiplier) for each in sums for multiplier in (1, 2**30, 2**31 - 1, 1_234_567_891)]
    given = np.array([[sum_, sum_ // 3, -(sum_ // 2), sum_, multiplier] for sum_, multiplier in calls], dtype="<i4")
    asked = torch.from_numpy(given.view(np.uint8).reshape(len(calls), 1, 1, 20).copy())
    answers = run_qemu(project, toolchains()[-1], asked, "m55").numpy().view("<i4")
    exact = [[int(each) * int(row[4]) + (1 << shift - 1) >> shift for each in row[:4]] for row in given]
    assert np.array_equal(answers, np.clip(exact, 0, 255)) and len(np.unique(answers)) > 1


@needs_qemu
@pytest.mark.slow
def test_the_check_runs_in_qemu_where_unicorn_has_no_such_core(tmp_path):
    firmware = case(CASES["mobilenet"])
    result = check_project(small_project(firmware, tmp_path / "project"), firmware, photos(1), "m55")
    assert result["mismatching_bytes"] == 0 and result["emulator"] == "qemu"
    assert {f"{name}, qemu, m55" for name in NAMES} <= set(result["witnesses"])
    assert 0 < result["stack_bytes"] < 1024 and result["instructions"] > 0


def test_a_core_that_nothing_emulates_is_refused(monkeypatch):
    monkeypatch.setattr("semanticnn_core.stm32.check.has_qemu", lambda: False)
    check_core("m23")
    with pytest.raises(BuildError, match="m55 runs in QEMU alone: install qemu-system-arm, or check another core"):
        check_core("m55")
