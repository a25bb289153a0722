"""A camera in front of the firmware: a recorded sequence of frames goes through the very code that a driver calls."""

from pathlib import Path

import pytest
import torch
from stm32_models import photos, small_codec, small_firmware, small_model, small_project

from semanticnn_core.stm32.build import WARNINGS, host_compilers, run_tool
from semanticnn_core.stm32.camera import FORMATS, camera_lines, through_camera
from semanticnn_core.stm32.extremes import flat_and_loud

pytestmark = pytest.mark.slow
PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "snn_camera.h"
/* reads a format and frames; a "DMA" fills the two line buffers in turn; writes payloads */
static struct snn_camera camera;
static uint8_t frame[SNN_IMAGE_SIZE][SNN_LINE_BYTES], payload[SNN_PAYLOAD_BYTES];
int main(void)
{
    const int format = getchar();
    while (fread(frame, 1, sizeof frame, stdin) == sizeof frame) {
        snn_camera_begin(&camera, (enum snn_format)format, payload);
        int lines = 0;
        memcpy(camera.line[0], frame[0], SNN_LINE_BYTES);
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            if (y + 1 < SNN_IMAGE_SIZE) memcpy(camera.line[(y + 1) % 2], frame[y + 1], SNN_LINE_BYTES);
            lines = snn_camera_line(&camera, camera.line[y % 2], sizeof camera.line[y % 2]);
        }
        if (lines != SNN_IMAGE_SIZE || camera.sent != SNN_PAYLOAD_BYTES || snn_check(&camera.state) != SNN_OK) return 2;
        fwrite(payload, 1, sizeof payload, stdout);
    }
    snn_camera_begin(&camera, SNN_RGB565, payload);
    if (snn_camera_line(&camera, camera.line[0], SNN_LINE_BYTES - 1) != 1) return 3; /* a camera of another width */
    return snn_check(&camera.state) == SNN_NULL && camera.sent == 0 ? 0 : 4;
}
"""


@pytest.fixture(scope="module")
def firmware():
    model = small_model()
    return small_firmware(model, small_codec(model))


@pytest.fixture(scope="module")
def program(firmware, tmp_path_factory) -> Path:
    project = small_project(firmware, tmp_path_factory.mktemp("camera") / "project")
    (project / "camera.c").write_text(PROGRAM, encoding="utf-8")
    sources = [str(project / "src" / f"{name}.c") for name in ("snn", "snn_model", "snn_camera")]
    command = list(host_compilers().values())[-1]
    flags = ("-std=c99", "-O1", *WARNINGS, f"-I{project / 'src'}")
    run_tool((*command, *flags, *sources, str(project / "camera.c"), "-o", str(project / "camera")))
    return project / "camera"


@pytest.mark.parametrize("form", FORMATS)
def test_a_sequence_of_camera_frames_gives_the_payloads_of_its_images(form, program, firmware):
    images = torch.cat([photos(12, firmware.encoder.image_size), flat_and_loud(firmware.encoder.image_size)])
    given = bytes([FORMATS.index(form)]) + camera_lines(images, form).numpy().tobytes()
    answer = run_tool((str(program),), given=given).stdout
    payloads = torch.frombuffer(bytearray(answer), dtype=torch.uint8).view(len(images), -1)
    assert torch.equal(payloads, firmware.payload(through_camera(images, form)))


def test_every_colour_comes_through_rgb565_in_its_place():
    for channel, byte in ((0, 0b1111_1000), (1, 0b0000_0111), (2, 0)):
        image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        image[:, channel] = 255
        assert int(camera_lines(image, "RGB565")[0, 0, 0]) == byte
        assert torch.equal(through_camera(image, "RGB565"), image)
        assert torch.equal(through_camera(image, "BGR565"), image)


def test_grey_comes_through_yuyv_and_colours_nearly():
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(through_camera(grey, "YUYV"), grey)
    photo = photos(2, 64)
    assert (through_camera(photo, "YUYV").int() - photo.int()).abs().float().mean() < 8
