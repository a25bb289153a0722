"""The project folder: complete, consistent with the C it holds, never half-written; ONNX says the same."""

import copy
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from stm32_models import FILES, RESNET, files, patched, photos, small_codec, small_firmware, small_model
from torch import Tensor

from semanticnn_core.channels.frames import recovered
from semanticnn_core.config import Slice
from semanticnn_core.stm32 import build, check
from semanticnn_core.stm32 import project as project_module
from semanticnn_core.stm32.check import run_host
from semanticnn_core.stm32.emulator import Emulator
from semanticnn_core.stm32.onnx_export import FLOAT, INT8, run_onnx
from semanticnn_core.stm32.project import SOURCES, expected_costs, memory_map, write_project
from semanticnn_core.stm32.quantize import ExportError
from semanticnn_core.stm32.system import IntegerSemanticNN
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.tasks.split import SplitModel

PAIRS = {
    "mobilenet": ({}, {"code_channels": 8}, 1, "center"),
    "resnet": (RESNET | {"size": 64}, {"kernel": 5, "stride": 4}, 0.5, "importance"),
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> tuple[SplitModel, Firmware]:
    """A network, and the firmware of it and a codec."""
    model_settings, codec_settings, slice_ratio, window = PAIRS[request.param]
    model = small_model(**model_settings)
    codec = small_codec(model, importance=window == "importance", **codec_settings)
    return model, small_firmware(model, codec, slice_ratio, window)


@pytest.fixture(scope="module")
def images(pair) -> Tensor:
    return photos(5, pair[0].image_size)


@pytest.fixture(scope="module")
def project(pair, images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("export") / "project"
    write_project(pair[1], out, pair[0], images, "Made for a test.")
    return out


@pytest.mark.slow
def test_a_project_holds_what_is_documented_and_nothing_else(project, pair):
    assert set(files(project)) == set(FILES.split()) and [path.name for path in project.parent.iterdir()] == ["project"]
    readme = (project / "README.md").read_text(encoding="utf-8")
    _, firmware = pair
    assert "$" not in readme and "Made for a test." in readme and f"**{firmware.payload_bytes} bytes**" in readme
    for folder in {name.split("/")[0] for name in FILES.split() if "/" in name} - {"cmake"}:
        assert f"| `{folder}/` |" in readme
    assert ("`snn_finish`; the first two say where" in readme) == (firmware.places is not None)


def test_a_wheel_carries_every_file_that_a_project_is_made_of():
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    data, package = settings["tool"]["setuptools"]["package-data"], SOURCES.parent
    carried = {path for pattern in data.get("semanticnn_core.stm32", []) for path in package.glob(pattern)}
    carried |= {path for pattern in ("*.py", *data["*"]) for path in SOURCES.rglob(pattern)}
    assert {path.name for path in SOURCES.rglob("*") if path.is_file()} - {path.name for path in carried} == set()


@pytest.mark.parametrize("pair", ["mobilenet"], indirect=True)
def test_what_pip_compiles_beside_the_sources_stays_there(pair, images, tmp_path, monkeypatch):
    model, firmware = pair
    shutil.copytree(SOURCES, tmp_path / "sources", dirs_exist_ok=True)
    (tmp_path / "sources/test/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "sources/test/__pycache__/send_vectors.cpython-311.pyc").touch()
    monkeypatch.setattr(project_module, "SOURCES", tmp_path / "sources")
    write_project(firmware, tmp_path / "out", model, images)
    assert set(files(tmp_path / "out")) == set(FILES.split())


@pytest.mark.parametrize("pair", ["mobilenet"], indirect=True)
def test_a_project_is_written_without_warnings(pair, images, tmp_path, caplog):
    write_project(pair[1], tmp_path / "out", pair[0], images)
    assert not caplog.records


@pytest.mark.slow
def test_the_vectors_are_what_the_c_answers(project, pair, images):
    payloads = np.fromfile(project / "vectors/payloads.bin", np.uint8).reshape(len(images), -1)
    pixels = np.fromfile(project / "vectors/images.bin", np.uint8).reshape(len(images), *images.shape[2:], 3)
    assert np.array_equal(pixels, images.permute(0, 2, 3, 1)) and len(np.unique(payloads, axis=0)) == len(images)
    assert np.array_equal(run_host(project, build.host_compilers()["zig"], images), payloads)
    sizes = dict(line.split("=") for line in (project / "vectors/sizes.txt").read_text(encoding="utf-8").split())
    wanted = {"images": 5, "image_size": images.shape[-1], "payload_bytes": payloads.shape[1]}
    wanted["model_number"] = pair[1].number
    assert sizes == {name: str(value) for name, value in wanted.items()}
    frames = run_host(project, build.host_compilers()["zig"], images, "frames").numpy().tobytes()
    assert frames == (project / "vectors/frames.bin").read_bytes() == pair[1].frames(images)
    header, _ = recovered(frames[: len(frames) // 5])
    assert (header.model, header.sequence, header.part) == (pair[1].number, 0, 0)


def test_another_codec_or_slice_has_another_number(pair):
    model, firmware = pair
    finer = copy.deepcopy(firmware.codec)
    next(finer.decoder.parameters()).data.mul_(1.01)
    numbers = {firmware.number, replace(firmware, codec=finer).number, replace(firmware, slice=Slice(0.3)).number}
    assert len(numbers) == 3  # of 256; these are fixed by the seeds


@pytest.mark.slow
def test_the_memory_documented_is_the_memory_of_the_program(project, pair):
    _, firmware = pair
    emulator, memory = Emulator(build.build(project, build.zig())), memory_map(firmware)
    ram, flash = sum(memory["ram"].values()), sum(memory["flash"].values())
    assert ram <= emulator.ram_bytes <= ram + 48 and flash < emulator.flash_bytes < flash + 4000
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert f"| **static RAM** | **{ram:,}** |" in readme and f"| **tables** | **{flash:,}** |" in readme
    assert all(f"| {what} | {count:,} |" in readme for part in memory.values() for what, count in part.items())


def test_what_a_codec_will_cost_is_known_before_it_is_trained(pair):
    model, firmware = pair
    before = torch.get_rng_state(), copy.deepcopy(model.train().state_dict())
    costs = expected_costs(model, firmware.codec.config)
    after = model.state_dict()
    assert torch.equal(torch.get_rng_state(), before[0]) and model.training
    assert all(torch.equal(value, after[name]) for name, value in before[1].items())
    model.eval()
    whole = Firmware(firmware.encoder, firmware.codec, model.feature_shape)
    memory = {f"{part}_bytes": sum(counts.values()) for part, counts in memory_map(whole).items()}
    assert costs == {"payload_bytes": whole.payload_bytes, **memory}


def test_the_float_network_in_onnx_is_the_float_encoder(project, pair):
    model, firmware = pair
    fresh = photos(8, model.image_size, seed=5)
    latent = run_onnx(project / "onnx" / FLOAT, fresh)
    assert torch.allclose(latent, firmware.codec.encoder(model.device_part(fresh)), atol=1e-4)
    for name in (FLOAT, INT8):
        graph = onnx.load(project / "onnx" / name).graph
        (image,), (out,) = graph.input, graph.output
        assert (image.name, out.name) == ("image", "latent")
        shapes = [tuple(axis.dim_value for axis in each.type.tensor_type.shape.dim) for each in (image, out)]
        size, windows, channels = model.image_size, firmware.windows, firmware.codec.config.code_channels
        assert shapes == [(1, 3, size, size), (1, channels, windows.height, windows.width)]
        assert ("MaxPool" in {node.op_type for node in graph.node}) == firmware.encoder.pool


def test_the_int8_network_in_onnx_agrees_in_nine_of_ten_symbols(project, pair):
    model, firmware = pair
    fresh, assign = photos(8, model.image_size, seed=5), firmware.codec.quantizer.assign
    path = project / "onnx" / INT8
    nodes = onnx.load(path).graph.node
    whole = {out for node in nodes if node.op_type == "DequantizeLinear" for out in node.output}
    convolutions = {node.name: node.input[0] in whole for node in nodes if node.op_type == "Conv"}
    assert convolutions == {"stem": True, "code": True, "gdn": False}
    same = assign(run_onnx(path, fresh)) == assign(firmware.codec.encoder(model.device_part(fresh)))
    assert float(same.double().mean()) >= 0.9


@pytest.mark.parametrize("pair", ["resnet"], indirect=True)
@pytest.mark.slow
def test_a_check_counts_the_bytes_that_differ(project, pair, images, monkeypatch):
    _, firmware = pair
    monkeypatch.setattr(check, "toolchains", lambda: [build.zig()])
    monkeypatch.setattr(check, "has_qemu", lambda: False)
    monkeypatch.setattr(check, "host_compilers", dict)
    other = replace(firmware, codec=copy.deepcopy(firmware.codec))
    other.codec.quantizer.code.copy_(firmware.codec.quantizer.code.roll(1))
    differing = int((other.payload(images[:2]) != firmware.payload(images[:2])).sum())
    result = check.check_project(project, other, images[:2])
    assert result["mismatching_bytes"] == differing > 0 and result["witnesses"] == {"zig, unicorn, m7": differing}
    assert result["instructions"] == sum(result["instructions_by_function"].values())
    longer = replace(firmware, slice=replace(firmware.slice, ratio=1.0))
    assert check.check_project(project, longer, images[:2])["mismatching_bytes"] == 2 * longer.payload_bytes


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("cc")), reason="CMake or a C compiler is not installed")
@pytest.mark.parametrize("pair", ["mobilenet"], indirect=True)
@pytest.mark.slow
def test_cmake_builds_a_program_that_gives_the_payloads(project, tmp_path):
    for command in (("cmake", "-S", project, "-B", tmp_path), ("cmake", "--build", tmp_path)):
        assert b"warning" not in build.run_tool(list(map(str, command))).stderr
    vectors = project / "vectors"
    (program,) = (path for path in tmp_path.rglob("host*") if path.stem == "host" and path.is_file())
    answer = build.run_tool([str(program)], given=(vectors / "images.bin").read_bytes())
    assert answer.stdout == (vectors / "payloads.bin").read_bytes()


@pytest.mark.skipif(not (shutil.which("cmake") and build.gcc()), reason="CMake or Arm's GCC is not installed")
@pytest.mark.parametrize("pair", ["mobilenet"], indirect=True)
@pytest.mark.slow
def test_cmake_builds_the_board_s_program_which_measures(project, tmp_path):
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={project / 'cmake/arm-none-eabi.cmake'}"
    for command in (("cmake", "-S", project, "-B", tmp_path, toolchain), ("cmake", "--build", tmp_path)):
        assert b"warning" not in build.run_tool(list(map(str, command))).stderr
    code = build.run_tool(("arm-none-eabi-objdump", "-d", str(tmp_path / "board.elf"))).stdout.decode()
    assert "e0001000" in code.split("<snn_push_row>:")[1].split("\n\n")[0], "the counter is touched"


@pytest.mark.slow
def test_another_folder_is_never_replaced_and_a_project_only_by_force(pair, images, project, tmp_path):
    model, firmware = pair
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("precious", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(ExportError, match="mine holds something else than an exported project"):
            write_project(firmware, out, model, images, force=force)
        with pytest.raises(ExportError, match="notes.txt holds something else"):
            write_project(firmware, out / "notes.txt", model, images, force=force)
    assert files(out) == {"notes.txt": b"precious"}
    shutil.copytree(project, earlier := tmp_path / "earlier")
    (earlier / "src/old").touch()
    with pytest.raises(ExportError, match="holds a project already; replace it with --force"):
        write_project(firmware, earlier, model, images)
    write_project(firmware, earlier, model, images, force=True)
    assert set(files(earlier)) == set(FILES.split())
    (earlier / "src").rename(earlier / "snn")  # as earlier versions had it
    write_project(firmware, earlier, model, images, force=True)
    assert set(files(earlier)) == set(FILES.split())
    (earlier / "main.c").touch()  # somebody works in it now
    with pytest.raises(ExportError, match=r"something else than an exported project \(main\.c\)"):
        write_project(firmware, earlier, model, images, force=True)
    assert (earlier / "main.c").exists()
    (tmp_path / "empty").mkdir()
    write_project(firmware, tmp_path / "empty", model, images)
    assert set(files(tmp_path / "empty")) == set(FILES.split())


def test_what_fails_leaves_nothing_behind_and_an_earlier_project_whole(pair, images, project, tmp_path, monkeypatch):
    def full(*arguments) -> None:
        raise OSError("no space left on device")

    model, firmware = pair
    shutil.copytree(project, tmp_path / "earlier")
    monkeypatch.setattr(project_module, "write_onnx", full)
    for name in ("new", "earlier"):
        with pytest.raises(OSError, match="no space"):
            write_project(firmware, tmp_path / name, model, images, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"] and files(tmp_path / "earlier") == files(project)


def test_payloads_can_be_made_of_the_onnx_model_s_latents_with_numpy_alone(project, pair):
    _, firmware = pair
    with np.load(project / "onnx/reference.npz") as held:
        reference = dict(held)
    latents = run_onnx(project / "onnx" / FLOAT, torch.from_numpy(reference["images"])).numpy()
    assert np.array_equal(latents, reference["latents"])
    index = np.searchsorted(reference["thresholds"], latents)  # (B, K, h, w)
    words = reference["words"][index].transpose(0, 2, 3, 1)[..., None]
    bits = words >> np.arange(firmware.codec.config.bits) & 1
    whole = np.packbits(bits.reshape(len(words), -1), axis=1, bitorder="little")
    assert np.array_equal(whole, reference["payloads"])


@pytest.mark.slow
def test_a_system_whose_device_is_the_c_sends_what_the_integers_send(pair, images):
    model, firmware = pair
    compiled, integers = (make(model, firmware) for make in (IntegerSemanticNN.compiled, IntegerSemanticNN.of))
    assert torch.equal(compiled.send(images).data, integers.send(images).data)


@pytest.mark.slow
def test_a_board_can_test_itself(project, pair, tmp_path):
    main = '#include "snn_selftest.h"\nint main(void) { static struct snn_state s; return snn_selftest(&s); }\n'
    (tmp_path / "main.c").write_text(main, encoding="utf-8")
    image = project_module.selftest_image(pair[1].encoder.image_size)
    assert image.float().std() > 30 and image.unique().numel() > 200

    def answer(folder: Path) -> int:
        command = build.host_compilers()["zig"]
        sources = [str(folder / f"src/{each}.c") for each in ("snn", "snn_model", "snn_selftest")]
        flags = ("-std=c99", "-O1", *build.WARNINGS, f"-I{folder / 'src'}")
        build.run_tool((*command, *flags, *sources, str(tmp_path / "main.c"), "-o", str(tmp_path / "main")))
        return subprocess.run([tmp_path / "main"], check=False, timeout=60).returncode

    assert answer(project) == 0
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    patched(broken / "src/snn_bits.h", "to.bits >>= 8", "to.bits >>= 7")
    assert answer(broken) != 0


def test_packages_are_as_their_tools_want_them(project):
    library = json.loads((project / "library.json").read_text(encoding="utf-8"))
    assert library["name"] == "snn" and (project / "src" / library["headers"]).is_file()
    lines = (project / "library.properties").read_text(encoding="utf-8").splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    wanted = "name version author maintainer sentence paragraph category url architectures includes".split()
    assert sorted(properties) == sorted(wanted) and properties["version"] == library["version"]
    text = (project / "zephyr/CMakeLists.txt").read_text(encoding="utf-8")
    sources = set(re.findall(r"\.\./src/(\w+\.c)", text))
    assert sources == {path.name for path in (project / "src").glob("*.c")}
    assert sources == set(re.findall(r"src/(\w+\.c)", (project / "CMakeLists.txt").read_text(encoding="utf-8")))


TWO = """
#include <stdio.h>
#include "day.h"
#include "night.h"
/* two images of one model and one of another, row by row in turn */
static struct day_state one, other;
static struct night_state third;
static uint8_t images[2][DAY_IMAGE_SIZE][3 * DAY_IMAGE_SIZE], dark[NIGHT_IMAGE_SIZE][3 * NIGHT_IMAGE_SIZE];
static uint8_t first[DAY_PAYLOAD_BYTES], second[DAY_PAYLOAD_BYTES], last[NIGHT_PAYLOAD_BYTES];
int main(void)
{
    if (fread(images, 1, sizeof images, stdin) + fread(dark, 1, sizeof dark, stdin) != sizeof images + sizeof dark)
        return 1;
    int a = 0, b = 0, c = 0;
    day_reset(&one), day_reset(&other), night_reset(&third);
    for (int y = 0; y < NIGHT_IMAGE_SIZE; y++) {
        if (y < DAY_IMAGE_SIZE) {
            a += day_push_row(&one, images[0][y], first + a);
            b += day_push_row(&other, images[1][y], second + b);
        }
        c += night_push_row(&third, dark[y], last + c);
    }
    a += day_finish(&one, first + a), b += day_finish(&other, second + b), c += night_finish(&third, last + c);
    if (day_check(&one) != DAY_OK || day_check(&other) != DAY_OK || night_check(&third) != NIGHT_OK)
        return 2;
    fwrite(first, 1, (size_t)a, stdout), fwrite(second, 1, (size_t)b, stdout), fwrite(last, 1, (size_t)c, stdout);
    return 0;
}
"""


@pytest.mark.slow
def test_two_models_and_three_images_at_a_time_in_one_program(tmp_path):
    sent, given, sources, includes = b"", b"", [], []
    for name, (model_settings, codec_settings, ratio, window), count in zip(
        ("day", "night"), PAIRS.values(), (2, 1), strict=True
    ):
        model = small_model(**model_settings)
        codec = small_codec(model, importance=window == "importance", **codec_settings)
        firmware = small_firmware(model, codec, ratio, window)
        images = photos(count, firmware.encoder.image_size)
        write_project(firmware, tmp_path / name, model, images, prefix=name)
        sources += [str(each) for each in (tmp_path / name / "src").glob("*.c")]
        includes.append(f"-I{tmp_path / name / 'src'}")
        sent, given = sent + firmware.payload(images).numpy().tobytes(), given + project_module.rows_first(images)
    (tmp_path / "two.c").write_text(TWO, encoding="utf-8")
    command = list(build.host_compilers().values())[-1]
    program = str(tmp_path / "two")
    flags = ("-std=c99", "-O1", *build.WARNINGS)
    build.run_tool((*command, *flags, *includes, *sources, str(tmp_path / "two.c"), "-o", program))
    assert build.run_tool((program,), given=given).stdout == sent


@pytest.mark.parametrize("pair", ["mobilenet"], indirect=True)
@pytest.mark.slow
def test_a_project_of_another_name_is_whole_and_works(pair, images, tmp_path):
    model, firmware = pair
    write_project(firmware, tmp_path / "out", model, images, prefix="cam_2")
    found = files(tmp_path / "out")
    assert set(found) == {each.replace("snn", "cam_2") for each in FILES.split()}
    for path in (tmp_path / "out").rglob("*"):
        assert path.suffix not in project_module.TEXTS or "snn" not in path.read_text(encoding="utf-8").lower()
    assert build.prefix_of(tmp_path / "out") == "cam_2"
    assert torch.equal(run_host(tmp_path / "out", build.host_compilers()["zig"], images), firmware.payload(images))
    emulator = Emulator(build.build(tmp_path / "out", build.toolchains()[0]))
    assert torch.equal(emulator.run(images[:1]), firmware.payload(images[:1]))
    write_project(firmware, tmp_path / "out", model, images, force=True)
    assert set(files(tmp_path / "out")) - {"build"} >= set(FILES.split())


@pytest.mark.parametrize("prefix", ["", "2cam", "Cam", "a-b"])
def test_what_cannot_begin_names_is_refused(prefix, pair, images, tmp_path):
    with pytest.raises(ExportError, match="small letters, digits and underscores"):
        write_project(pair[1], tmp_path / "out", pair[0], images, prefix=prefix)
    assert not (tmp_path / "out").exists()


def test_what_is_no_project_is_not_built(tmp_path):
    with pytest.raises(build.BuildError, match="is no exported project"):
        build.prefix_of(tmp_path)
