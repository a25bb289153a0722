"""The C: byte for byte what the integer encoder says, on this machine and on emulated cores; misuse is answered."""

import itertools
import math
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from stm32_models import CASES, K3, RESNET, case, patched, photos, small_codec, small_model, small_project

from semanticnn_core.stm32 import build as build_module
from semanticnn_core.stm32.build import (
    BOARDS,
    BuildError,
    build,
    build_host,
    gcc,
    host_compilers,
    run_tool,
    toolchains,
    zig,
)
from semanticnn_core.stm32.check import run_host
from semanticnn_core.stm32.emulator import MODELS, EmulationError, Emulator
from semanticnn_core.stm32.extremes import flat_and_loud
from semanticnn_core.stm32.project import memory_map, rows_first
from semanticnn_core.stm32.qemu import has_qemu, run_qemu
from semanticnn_core.stm32.quantize import ExportError, quantize_encoder
from semanticnn_core.stm32.tables import Firmware

COMPILER = list(host_compilers().values())[-1]
"""The system's with sanitizers where it has them, zig's otherwise."""
ODD = ({"size": 34}, {"kernel": 3, "stride": 1, "code_channels": 3}, 1, "center")
"""17 columns of the first layer, which is computed two columns at a time."""


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return case((RESNET | {"size": 64}, K3 | {"code_channels": 5}, 0.8, "importance"))


@pytest.fixture(scope="module")
def images(firmware) -> torch.Tensor:
    return torch.cat([photos(1, 64), flat_and_loud(64)[8:9]])


@pytest.fixture(scope="module")
def shared(firmware, tmp_path_factory) -> Path:
    """A project that nothing is changed in."""
    return small_project(firmware, tmp_path_factory.mktemp("stm32") / "project")


@pytest.fixture(scope="module")
def emulator(shared) -> Emulator:
    return Emulator(build(shared, zig()))


@pytest.fixture
def project(firmware, tmp_path) -> Path:
    return small_project(firmware, tmp_path / "project")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_every_byte_is_the_integer_encoder_s(name, tmp_path):
    firmware = case(CASES[name])
    size = firmware.encoder.image_size
    images = torch.cat([photos(3, size), flat_and_loud(size)])
    payload = firmware.payload(images)
    assert payload.shape == (3 + 16, firmware.payload_bytes) and len(payload.unique(dim=0)) > 4
    assert torch.equal(run_host(small_project(firmware, tmp_path / "project"), COMPILER, images), payload)


def test_an_odd_number_of_columns_is_right_or_refused(tmp_path):
    try:
        firmware = case(ODD)
    except ExportError as error:
        assert "34 px" in str(error)
    else:
        images = torch.cat([photos(3, 34), flat_and_loud(34)])
        payload = run_host(small_project(firmware, tmp_path / "project"), COMPILER, images)
        assert torch.equal(payload, firmware.payload(images))


@pytest.mark.slow
def test_latents_beyond_calibration_saturate_in_c_too(tmp_path):
    model = small_model(channels=32)
    codec = small_codec(model, code_channels=2, kernel=16, stride=16)
    encoder = quantize_encoder(model, codec, photos(8) // 8 + 108)  # of little contrast
    firmware, images = Firmware(encoder, codec, model.feature_shape), flat_and_loud(32)
    latent = encoder.latent(encoder.feature(images))
    assert int(latent.max()) == 32767 and int(latent.min()) == -32768
    project = small_project(firmware, tmp_path / "project")
    assert torch.equal(run_host(project, COMPILER, images), firmware.payload(images))
    assert torch.equal(Emulator(build(project, zig())).run(images), firmware.payload(images))


@pytest.mark.parametrize("core", MODELS)
@pytest.mark.parametrize("toolchain", toolchains(), ids=lambda each: each.name)
@pytest.mark.slow
def test_every_byte_is_the_same_on_an_emulated_core(toolchain, core, shared, firmware, images):
    emulator = Emulator(build(shared, toolchain, core), core)
    assert torch.equal(emulator.run(images), firmware.payload(images))
    kept = sum(memory_map(firmware)["ram"].values())
    assert kept <= emulator.ram_bytes <= kept + 48, "what is kept is documented, but for a few counters"
    assert 0 < emulator.stack_bytes(images[0]) < 512
    unwanted = ("malloc", "free", "calloc", "realloc", "sbrk", "__aeabi_f", "__aeabi_d", "__aeabi_i2", "__aeabi_ui2")
    assert [name for name in emulator.symbols if name.startswith(unwanted)] == [], "no heap, no floating point"


@pytest.mark.parametrize("name", ["mobilenet", "odd code", "wide", "even stem", "long step"])
@pytest.mark.slow
def test_every_byte_is_the_same_in_assembly_whatever_the_shape(name, tmp_path):
    firmware = case(CASES[name])
    images = torch.cat([photos(1, firmware.encoder.image_size), flat_and_loud(firmware.encoder.image_size)[[2, 8]]])
    project = small_project(firmware, tmp_path / "project")
    for toolchain in toolchains():
        assert torch.equal(Emulator(build(project, toolchain)).run(images), firmware.payload(images))


@pytest.mark.parametrize(("core", "shifts"), [("m7", (33, 62)), ("m3", (62, 33))])
@pytest.mark.slow
def test_outputs_are_rounded_once_and_saturate(core, shifts, project, firmware):
    header, program = project / "src/snn_model.h", project / "test/emulator_main.c"
    for name, shift in zip(("STEM_SHIFT", "CODE_SHIFT"), shifts, strict=True):
        patched(header, f"#define SNN_{name} {firmware.sizes[name]}\n", f"#define SNN_{name} {shift}\n")
    wrapped = "int32_t {0}_(int32_t, int32_t);\nint32_t {0}_(int32_t a, int32_t b) {{ return {0}(a, b); }}\n"
    both = "".join(wrapped.format(name) for name in ("stem_output", "code_output"))
    program.write_text('#include "snn_arith.h"\n' + both + program.read_text(encoding="utf-8"))
    emulator = Emulator(build(project, zig(), core), core)
    for name, shift, low, high in (("stem_output_", shifts[0], 0, 255), ("code_output_", shifts[1], -32768, 32767)):
        powers = [1 << power for power in range(31)]
        ties = [(odd << shift - 1) // power for odd in (-7, -3, -1, 1, 5) for power in powers]
        sums = {each + off for each in ties for off in (-1, 0, 1) if abs(each) < 2**31 - 1} | {2**31 - 1, -(2**31)}
        for sum_, multiplier in itertools.product(sorted(sums), (1, 2**30, 2**31 - 1, 1_234_567_891)):
            wanted = min(max(math.floor(Fraction(sum_ * multiplier, 2**shift) + Fraction(1, 2)), low), high)
            assert emulator._call(name, sum_, multiplier) == wanted % 2**32, (name, sum_, multiplier)


@pytest.mark.slow
def test_a_profile_counts_every_function_s_instructions(emulator, images):
    profile = emulator.profile(images[0])
    assert sum(profile.by_function.values()) == profile.instructions
    assert {"stem_row", "add_feature_row", "send_pixel", "load_row", "snn_push_row"} <= set(profile.by_function)
    assert min(profile.by_function.values()) > 0 and profile == emulator.profile(images[0])


@pytest.mark.slow
def test_the_portable_c_gives_the_same_bytes_on_a_core_with_dsp_instructions(emulator, project, firmware, images):
    dsp = emulator.profile(images[0]).instructions
    patched(project / "src/snn_model.h", "#include <stdint.h>", "#include <stdint.h>\n#define SNN_PORTABLE")
    portable = Emulator(build(project, zig()))
    assert torch.equal(portable.run(images), firmware.payload(images))
    assert portable.profile(images[0]).instructions > 1.5 * dsp


@pytest.mark.skipif(not has_qemu(), reason="QEMU for Arm is not installed")
@pytest.mark.parametrize("core", BOARDS)
@pytest.mark.slow
def test_qemu_gives_the_same_bytes(core, shared, firmware, images):
    assert torch.equal(run_qemu(shared, gcc() or zig(), images, core), firmware.payload(images))


@pytest.mark.slow
def test_an_emulated_core_stops_where_the_firmware_leaves_its_memory(project, images):
    """One firmware with several faults; the first pixel's red says which."""
    faults = {
        1: "*(volatile uint8_t *)0x10000000u = 1",
        2: "*(volatile uint8_t *)0x08000000u = 1",
        3: "(void)*(volatile uint8_t *)0u",
        4: "static volatile uint16_t bx_lr = 0x4770; ((void (*)(void))((uintptr_t)&bx_lr | 1))()",
        5: "return -7",
    }
    code = "\n".join(f"if (s->rows == 0 && rgb[0] == {red}) {{ {fault}; }}" for red, fault in faults.items())
    patched(project / "src/snn.c", "    load_row(s, rgb);", f"{code}\nload_row(s, rgb);")
    emulator = Emulator(build(project, zig()))
    image = images[:1].clone()
    for red in faults:
        image[0, 0, 0, 0] = red
        said = "returned -7" if red == 5 else "stopped at 0x20" if red == 4 else "stopped at 0x08.* in snn_push_row"
        with pytest.raises(EmulationError, match=f"snn_push_row {said}"):
            emulator.run(image)
    image[0, 0, 0, 0] = 0
    assert emulator.run(image).shape[0] == 1


@pytest.mark.slow
def test_an_emulated_core_that_never_returns_is_stopped(project, images, monkeypatch):
    patched(project / "src/snn.c", "    load_row(s, rgb);", "    for (volatile int i = 1; i;) {}\nload_row(s, rgb);")
    monkeypatch.setattr("semanticnn_core.stm32.emulator.PATIENCE", 1)
    with pytest.raises(EmulationError, match="snn_push_row did not return within 1 s; it is in snn_push_row"):
        Emulator(build(project, zig())).run(images)


@pytest.mark.slow
def test_a_warning_is_an_error(project):
    patched(project / "src/snn.c", "    load_row(s, rgb);", "    uint8_t low = s->rows; (void)low;\nload_row(s, rgb);")
    for compile_ in (lambda: build(project, zig()), lambda: build_host(project, COMPILER)):
        with pytest.raises(BuildError, match="conversion"):
            compile_()


@pytest.mark.skipif(not shutil.which("cppcheck"), reason="cppcheck is not installed")
@pytest.mark.slow
def test_cppcheck_finds_nothing(shared):
    checks = "--enable=warning,style,performance,portability", "--std=c99", "--suppress=missingIncludeSystem"
    programs = sorted(str(path.relative_to(shared)) for path in shared.glob("test/*.c"))
    command = ("cppcheck", "--quiet", "--error-exitcode=1", *checks, "-Isrc", "src", *programs, "port")
    assert run_tool(command, shared).stderr == b""


@pytest.mark.parametrize("home", ["none", "never there", "a file", "read-only"])
@pytest.mark.slow
def test_zig_needs_no_home_that_can_be_written(home, tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").touch()
    if home == "read-only":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    elif home != "none":
        monkeypatch.setenv("HOME", "/proc/nohome" if home == "never there" else str(tmp_path / "file"))
    monkeypatch.setattr(build_module, "LIMIT", 20)
    assert b"clang" in run_tool((*zig().command, "--version")).stdout
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "mine"))
    run_tool((*zig().command, "--version"))
    assert (tmp_path / "mine").is_dir(), "what the user sets is kept"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(60)", "python.* was not done in 0.2 s; try again"),
        (r"import sys; sys.stderr.buffer.write(b'\xff no\n'); sys.exit(3)", "python.* ended with 3: .*\n\ufffd no$"),
        (None, "nothing-of-this-name cannot be run: .*; install it again"),
    ],
    ids=["endless", "failing", "missing"],
)
def test_a_tool_that_does_not_work_is_named(program, said, monkeypatch):
    monkeypatch.setattr(build_module, "LIMIT", 0.2 if "sleep" in (program or "") else 20)
    with pytest.raises(BuildError, match=said):
        run_tool((sys.executable, "-c", program) if program else ("nothing-of-this-name",))


ROWS = """
#include <stdio.h>
#include "snn.h"
static struct snn_state state;
static uint8_t rows[SNN_IMAGE_SIZE][3 * SNN_IMAGE_SIZE], payload[SNN_PAYLOAD_BYTES];
int main(void)
{
    uint8_t counts[SNN_IMAGE_SIZE + 1];
    if (fread(rows, 1, sizeof rows, stdin) != sizeof rows) return 1;
    for (int half = 1; half >= 0; half--) { /* first an image that is given up */
        snn_reset(&state);
        int sent = 0;
        for (int y = 0; y < SNN_IMAGE_SIZE >> half; y++) {
            counts[y] = (uint8_t)snn_push_row(&state, rows[half ? 0 : y], payload + sent);
            sent += counts[y];
        }
        if (half) continue;
        counts[SNN_IMAGE_SIZE] = (uint8_t)snn_finish(&state, payload + sent);
        if (sent + counts[SNN_IMAGE_SIZE] != SNN_PAYLOAD_BYTES || snn_check(&state) != SNN_OK) return 4;
    }
    fwrite(payload, 1, sizeof payload, stdout);
    fwrite(counts, 1, sizeof counts, stdout);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("name", "leaving"),
    [
        ("mobilenet", {7: 16, 15: 16, 23: 16, 31: 16}),
        ("odd code, adaptive", {36: 12}),
        ("parity, odd bytes", {9: 7, 13: 8, 17: 7, 21: 8, 25: 7, 29: 8, 36: 20}),
    ],
)
@pytest.mark.slow
def test_bytes_leave_as_soon_as_they_are_known_also_after_an_image_that_was_given_up(name, leaving, tmp_path):
    firmware = case(CASES[name])
    project, image = small_project(firmware, tmp_path / "project"), photos(1, firmware.encoder.image_size)
    (project / "test/host_main.c").write_text(ROWS, encoding="utf-8")
    program = build_host(project, COMPILER)
    answer = run_tool([str(program)], given=rows_first(image)).stdout
    payload, counts = answer[: firmware.payload_bytes], list(answer[firmware.payload_bytes :])
    assert payload == firmware.payload(image).numpy().tobytes()
    assert {y: count for y, count in enumerate(counts) if count} == leaving, "rows leave as soon as known, parity last"
