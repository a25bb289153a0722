"""The vectors that travel with a project notice every fault of its C: clamps, roundings, shifts, signs, borders."""

import subprocess
from pathlib import Path

import pytest
import torch
from stm32_models import patched, photos

from semanticnn_core.stm32.build import build_host, host_compilers
from semanticnn_core.stm32.extremes import extreme_images, flat_and_loud
from semanticnn_core.stm32.project import write_project
from semanticnn_core.stm32.quantize import quantize_encoder
from semanticnn_core.stm32.tables import Firmware
from semanticnn_core.systems.checkpoints import load_checkpoint

COMPILER = list(host_compilers().values())[-1]
STEM_CLAMP = "out < 0 ? 0 : out > 255 ? 255 : (int32_t)out"
CODE_CLAMP = "out < INT16_MIN ? INT16_MIN : out > INT16_MAX ? INT16_MAX : (int32_t)out"
FAULTS = {
    "src/snn_arith.h": [
        (STEM_CLAMP, "out > 255 ? 255 : (int32_t)out"),
        (STEM_CLAMP, "out < 0 ? 0 : (int32_t)out"),
        (CODE_CLAMP, "out > INT16_MAX ? INT16_MAX : (int32_t)out"),
        (CODE_CLAMP, "out < INT16_MIN ? INT16_MIN : (int32_t)out"),
        ("+ (INT64_C(1) << (SNN_STEM_SHIFT - 1))) >> SNN_STEM_SHIFT", ") >> SNN_STEM_SHIFT"),
        ("+ (INT64_C(1) << (SNN_CODE_SHIFT - 1))) >> SNN_CODE_SHIFT", ") >> SNN_CODE_SHIFT"),
        (">> SNN_STEM_SHIFT;", ">> (SNN_STEM_SHIFT + 1);"),
        (">> SNN_CODE_SHIFT;", ">> (SNN_CODE_SHIFT + 1);"),
        ("const int at = tap == 1 ? 2 : tap == 2 ? 1 : tap;", "const int at = tap;"),
        ("for (int j = 0; j < SNN_GAMMA_ROW; j++)", "for (int j = 1; j < SNN_GAMMA_ROW; j++)"),
    ],
    "src/snn.c": [
        ("(norm >> SNN_NORM_SHIFT)", "(norm >> (SNN_NORM_SHIFT + 1))"),
        ("<< SNN_SQUARE_SHIFT", "<< (SNN_SQUARE_SHIFT + 1)"),
        ("latent[k] < 0 ? -size : size", "size"),
        ("threshold[index + step - 1]", "threshold[index]"),
        ("> (int64_t)threshold", "< (int64_t)threshold"),
        ("add_norm(snn_beta[k],", "add_norm(snn_beta[0],"),
        ("bias_a = snn_stem_bias[c]", "bias_a = snn_stem_bias[0]"),
        ("sums[i] = snn_code_bias[i % SNN_CODE_PAIRED]", "sums[i] = snn_code_bias[0]"),
        ("scale_b = snn_stem_multiplier[c + 1]", "scale_b = snn_stem_multiplier[c]"),
        ("snn_code_multiplier[k]", "snn_code_multiplier[0]"),
        ("rgb[0] - SNN_ZERO_RED", "rgb[0] - SNN_ZERO_RED - 1"),
        ("rgb[1] - SNN_ZERO_GREEN", "rgb[1] - SNN_ZERO_RED"),
        ("rgb[2] - SNN_ZERO_BLUE", "rgb[0] - SNN_ZERO_BLUE"),
        ("x < SNN_STEM_RIGHT; x += 2", "x < SNN_STEM_RIGHT - 2; x += 2"),
        ("first = at_least(-top, 0)", "first = at_least(-top, 1)"),
        ("weight) + outside;", "weight) + 0 * outside;"),
        ("rows[i] += 2 * 6;", "rows[i] += 6;"),
        ("put(s, to, snn_code_word[index], SNN_BITS)", "put(s, to, snn_code_word[0], SNN_BITS)"),
    ],
    "src/snn_bits.h": [("to.bits >>= 8", "to.bits >>= 7")],
}


@pytest.mark.slow
def test_the_vectors_notice_every_fault(tmp_path):
    checkpoint = load_checkpoint("mobilenet_v2-scene_digits")
    model, codec = checkpoint.model, checkpoint.codec
    firmware = Firmware(quantize_encoder(model, codec, photos(64, 64)), codec, model.feature_shape)
    write_project(firmware, tmp_path / "p", model, torch.cat([photos(4, 64), extreme_images(model, codec)]))
    assert not wrong(tmp_path / "p")
    missed = []
    for name, faults in FAULTS.items():
        for right, fault in faults:
            file = tmp_path / "p" / name
            before = file.read_text(encoding="utf-8")
            patched(file, right, fault)
            missed += [] if wrong(tmp_path / "p") else [fault]
            file.write_text(before, encoding="utf-8")
    assert missed == []


def wrong(project: Path) -> bool:
    """Say whether the C, compiled for this machine, answers the project's vectors with other bytes, or not at all."""
    program = build_host(project, COMPILER)
    images, payloads = ((project / "vectors" / f"{name}.bin").read_bytes() for name in ("images", "payloads"))
    done = subprocess.run([program], input=images, capture_output=True, check=False, timeout=60)
    return done.returncode != 0 or done.stdout != payloads


def test_extreme_images_are_extreme_and_always_the_same():
    images = flat_and_loud(32)
    assert images.dtype == torch.uint8 and images.shape[1:] == (3, 32, 32)
    assert images[0].max() == 0 and images[1].min() == 255 and torch.equal(images, flat_and_loud(32))
    assert len(images.flatten(1).unique(dim=0)) == len(images)
