"""The project folder for a board: generated tables beside the hand-written C, build files, test vectors, ONNX."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from string import Template
from textwrap import fill

import numpy as np
import torch
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.files import replacing
from semanticnn_core.stm32.onnx_export import FLOAT, run_onnx, write_onnx
from semanticnn_core.stm32.quantize import ExportError, check_sizes, quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.tasks.split import SplitModel, evaluating

SOURCES = Path(__file__).parent / "firmware"
LICENSE = "/* SPDX-License-Identifier: Apache-2.0 */\n"
LINE, INDENT = 119, "    "
"""Longest line of a table, and how it begins."""
PREFIX = "snn"
"""What names in the C sources begin with, in capitals those of the preprocessor; nothing else contains it."""
TEXTS = (".c", ".h", ".ini", ".json", ".md", ".properties", ".txt", ".yml")
"""Files that hold such names."""
HELIUM = """/* Whether the core has Helium, whose loops read the weights in an order of their own. */
#if defined(__ARM_FEATURE_MVE) && !defined(SNN_PORTABLE)
#define SNN_HELIUM 1
#else
#define SNN_HELIUM 0
#endif
"""
Tables = dict[str, tuple[str, Tensor]]
BYTES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint64_t": 8}


def write_project(
    firmware: Firmware,
    out: Path,
    model: SplitModel,
    images: Tensor,
    about: str = "",
    force: bool = False,
    calibration: Tensor | None = None,
    prefix: str = PREFIX,
) -> None:
    """Write the project folder `out` for a board; nothing is left of it when that fails.

    model: the task network whose device part is in the firmware; images: uint8 (B, 3, H, W), the test vectors.
    about: a sentence on where the encoder comes from.
    calibration: uint8 (B, 3, H, W), from which the int8 ONNX model takes its ranges; the test vectors when left out.
    prefix: what all names begin with, so that several models fit one program; small letters, digits and underscores.
    force: replace an earlier project. Any other folder that is not empty is refused with an ExportError.
    """
    out = Path(out)
    check_prefix(prefix)
    check_place(out, force)
    with replacing(out) as folder:
        write_sources(firmware, folder)
        _write_vectors(firmware, folder / "vectors", images)
        (folder / "onnx").mkdir()
        write_onnx(model, firmware.codec, folder / "onnx", images if calibration is None else calibration)
        _write_reference(firmware, folder / "onnx" / "reference.npz", images)
        _write_readme(firmware, folder / "README.md", len(images), about)
        _rename(folder, prefix)
        if out.exists():
            shutil.rmtree(out)


def check_place(out: Path, force: bool) -> None:
    """Refuse a place that holds anything but, with force, an earlier project and what was built in it."""
    found = {each.name for each in out.iterdir()} if out.is_dir() else {out.name} if out.exists() else set()
    models = list(out.glob("*/*_model.h"))  # beside the sources: `src`, in projects of earlier versions `snn`
    ours = (
        {each.name for each in SOURCES.iterdir()} | {"vectors", "onnx", "build"} | {each.parent.name for each in models}
    )
    if found - ours or (found and len(models) != 1):
        strange = min(found - ours, default=min(found))
        raise ExportError(f"{out} holds something else than an exported project ({strange}); name another folder")
    if found and not force:
        raise ExportError(f"{out} holds a project already; replace it with --force, or name another folder")


def check_prefix(prefix: str) -> None:
    """Refuse with an ExportError what cannot begin the names of a C program."""
    if not re.fullmatch("[a-z][a-z0-9_]*", prefix):
        raise ExportError(
            f"prefix must be small letters, digits and underscores, a letter first, such as {PREFIX}; got {prefix!r}"
        )


def _rename(folder: Path, prefix: str) -> None:
    """Let all names in a project, and those of its files, begin with a prefix."""
    if prefix == PREFIX:
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix in TEXTS:
            text = path.read_text(encoding="utf-8").replace(PREFIX, prefix).replace(PREFIX.upper(), prefix.upper())
            path.write_text(text, encoding="utf-8")
    for path in list(folder.rglob(f"{PREFIX}*")):
        path.rename(path.with_name(path.name.replace(PREFIX, prefix)))


def write_sources(firmware: Firmware, folder: Path) -> None:
    """Write all that compilers need into a folder that is there: no vectors, no ONNX."""
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    write_model(firmware, folder / "src")


def write_model(firmware: Firmware, folder: Path) -> None:
    """Write all that depends on the trained codec into a folder: snn_model.h and .c, and the self-test's payload."""
    tables, others = firmware.tables(), firmware.helium_tables()
    sizes = "\n".join(f"#define SNN_{name} {value}" for name, value in firmware.sizes.items())
    declared = _either(_declaration, tables, others)
    header = (
        f"{LICENSE}/* Generated: sizes and tables of one trained encoder. */\n"
        "#ifndef SNN_MODEL_H\n#define SNN_MODEL_H\n\n"
        f"#include <stdint.h>\n\n{sizes}\n\n{HELIUM}\n{declared}\n#endif\n"
    )
    defined = _either(_array, tables, others)
    source = f'{LICENSE}/* Generated: the tables of one trained encoder. */\n#include "snn_model.h"\n\n{defined}'
    (folder / "snn_model.h").write_text(header, encoding="utf-8")
    (folder / "snn_model.c").write_text(source, encoding="utf-8")
    wanted = _array("uint8_t", "selftest_payload", firmware.payload(selftest_image(firmware.encoder.image_size))[0])
    text = f"{LICENSE}/* Generated: what the image of the self-test becomes. */\n#include <stdint.h>\n\nstatic {wanted}"
    (folder / "snn_selftest_payload.h").write_text(text, encoding="utf-8")


def selftest_image(size: int) -> Tensor:
    """Return the image, uint8 (1, 3, size, size), that a board makes for its own test."""
    noise, rows = 1, []
    for place in range(3 * size * size):
        noise = (noise * 1664525 + 1013904223) % 2**32
        rows.append(noise >> 24 >> place // (3 * size) // 8 % 4)
    return torch.tensor(rows, dtype=torch.uint8).view(1, size, size, 3).movedim(3, 1).contiguous()


def memory_map(firmware: Firmware) -> dict[str, dict[str, int]]:
    """Return the bytes of everything the encoder keeps: `ram` and `flash`, what for each part."""
    size = firmware.sizes
    ram = {
        "the latest image rows": 2 * size["STEM_KERNEL"] * size["IMAGE_ROW"],
        "a feature row": 2 * size["FEATURE_ROW"],
        "the unfinished vertical maximum": size["POOL"] * size["FEATURE_SIZE"] * size["STEM_CHANNELS"],
        "sums of the encoder's convolution": 4 * size["CODE_ROWS"] * size["CODE_COLUMNS"] * size["CODE_PAIRED"],
        "importance of the pixels": 4 * size["CODE_SIZE"] ** 2 * bool(size["PLACES"]),
        "the packed code, until the window is chosen": size["BUFFER_BYTES"],
        "parity": 4 * size["PARITY_ROWS"],
    }
    names = {
        "stem_weight": "weights of the first layer, 16 bits",
        "code_weight": "weights of the encoder's convolution, 8 bits",
        "gamma": "GDN's weights, 16 bits",
        "threshold": "thresholds between the centres",
        "importance": "what the symbols say of importance",
        "parity_edge": "where parity is added",
    }
    flash: dict[str, int] = {}
    for name, (kind, values) in firmware.tables().items():
        what = names.get(name, "biases, multipliers, code words")
        flash[what] = flash.get(what, 0) + BYTES[kind] * values.numel()
    return {"ram": {what: count for what, count in ram.items() if count}, "flash": flash}


@torch.no_grad()
def expected_costs(model: SplitModel, config: CodecConfig) -> dict[str, int]:
    """Return what a codec that is not trained yet will cost: `payload_bytes`, `ram_bytes` and `flash_bytes`.

    They depend on sizes alone, and on the whole code being sent. Stack and code come on top: a few hundred bytes and
    about two kilobytes. Raises ExportError when no firmware can be made of the network and such a codec.
    """
    check_sizes(model, config)
    with evaluating(model), torch.random.fork_rng(devices=()):  # a training that follows draws what it always drew
        codec = SemanticCodec(config).to(model.device).eval()
        noise = torch.randint(0, 256, (8, 3, model.image_size, model.image_size), dtype=torch.uint8)
        codec.calibrate(model.device_part(noise.to(model.device)))
    firmware = Firmware(quantize_encoder(model, codec, noise), codec, model.feature_shape)
    costs = {f"{part}_bytes": sum(counts.values()) for part, counts in memory_map(firmware).items()}
    return {"payload_bytes": firmware.payload_bytes, **costs}


def _either(written: Callable[[str, str, Tensor], str], tables: Tables, helium: Tables) -> str:
    """Return tables as C, `helium` in place of those of the same names on cores that have it."""
    texts = {name: written(kind, name, each) for name, (kind, each) in tables.items()}
    for name, (kind, each) in helium.items():
        texts[name] = f"#if SNN_HELIUM\n{written(kind, name, each)}#else\n{texts[name]}#endif\n"
    return "\n".join(texts.values()) if written is _array else "".join(texts.values())


def _declaration(kind: str, name: str, values: Tensor) -> str:
    return f"extern const {kind} snn_{name}[{values.numel()}];\n"


def _array(kind: str, name: str, values: Tensor) -> str:
    """Return a table as C, lines filled."""
    suffix = {"uint64_t": "ULL", "int32_t": ""}.get(kind, "u" if kind.startswith("u") else "")
    text = " ".join(f"{value}{suffix}," for value in values.flatten().tolist())
    body = fill(text, LINE, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)  # signs are none
    # loads of two words at once need tables of small numbers to begin at a whole word
    aligned = " __attribute__((aligned(4)))" if kind in ("int8_t", "int16_t") else ""
    return f"const {kind} snn_{name}[{values.numel()}]{aligned} = {{\n{body}\n}};\n"


def _write_vectors(firmware: Firmware, folder: Path, images: Tensor) -> None:
    folder.mkdir()
    (folder / "images.bin").write_bytes(rows_first(images))
    (folder / "payloads.bin").write_bytes(firmware.payload(images).numpy().tobytes())
    (folder / "frames.bin").write_bytes(firmware.frames(images))
    sizes = {
        "images": len(images),
        "image_size": images.shape[-1],
        "payload_bytes": firmware.payload_bytes,
        "model_number": firmware.number,
    }
    text = "".join(f"{name}={value}\n" for name, value in sizes.items())
    (folder / "sizes.txt").write_text(text, encoding="utf-8")


def _write_reference(firmware: Firmware, path: Path, images: Tensor) -> None:
    """Write what makes bytes of the ONNX models' latents, and what those give for the test vectors.

    images uint8 (B, 3, H, W), latents float32 (B, K, h, w) by onnxruntime, thresholds float32 (n − 1,) between the
    centres, words uint8 (n,) of their indices, payloads uint8 (B, bytes) of the whole code.
    """
    quantizer, latents = firmware.codec.quantizer, run_onnx(path.with_name(FLOAT), images)
    levels = quantizer.levels.detach().cpu()
    index = torch.bucketize(latents, (levels[1:] + levels[:-1]) / 2)
    np.savez_compressed(
        path,
        images=images.numpy(),
        latents=latents.numpy(),
        thresholds=((levels[1:] + levels[:-1]) / 2).numpy(),
        words=quantizer.code.cpu().byte().numpy(),
        payloads=firmware.codec.pack_index(index).data.numpy(),
    )


def rows_first(images: Tensor) -> bytes:
    """Return images uint8 (…, 3, H, W) as a camera gives them: row by row, red, green and blue of each pixel."""
    return images.movedim(-3, -1).contiguous().numpy().tobytes()


def _write_readme(firmware: Firmware, path: Path, vectors: int, about: str) -> None:
    tables = []
    for part, kind, total in (("ram", "RAM", "static RAM"), ("flash", "flash", "tables")):
        counts = memory_map(firmware)[part]
        lines = [f"| what | bytes of {kind} |", "|---|---|", *(f"| {what} | {n:,} |" for what, n in counts.items())]
        tables.append("\n".join([*lines, f"| **{total}** | **{sum(counts.values()):,}** |"]))
    when = (
        "The window of the code that matters most is chosen when all rows have come, so every byte leaves in "
        "`snn_finish`; the first two say where the window lies, protected."
        if firmware.places is not None
        else f"Bytes leave as soon as they are known: `snn_push_row` writes at most {firmware.sizes['PUSH_BYTES']} at "
        "once, mostly none; `snn_finish` adds the last bits where they fill no byte."
    )
    text = Template(path.read_text(encoding="utf-8")).substitute(
        about=about or "Generated from a trained codec.",
        payload_bytes=firmware.payload_bytes,
        image_size=firmware.encoder.image_size,
        vectors=vectors,
        memory="\n\n".join(tables),
        when=when,
    )
    path.write_text(text, encoding="utf-8")
