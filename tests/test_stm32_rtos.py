"""The task examples compile for a board, and, between a small kernel's stand-ins, send what the images are."""

import itertools
from pathlib import Path

import pytest
import torch
from stm32_models import photos, small_codec, small_firmware, small_model, small_project

from semanticnn_core.stm32.build import WARNINGS, host_compilers, run_tool, toolchains
from semanticnn_core.stm32.camera import camera_lines, through_camera

EXAMPLES = ["freertos_task", "zephyr_thread"]
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include "snn_camera.h"
extern struct snn_camera camera;
void camera_frame_begins(void);
void camera_line_ready(uint32_t which);
void radio_send(const uint8_t *payload, uint32_t size) { fwrite(payload, 1, size, stdout); }
/* the next interrupt: a byte F for a frame, L for a line, T for two lines of which the first is not pushed in time */
static void interrupt(void)
{
    static unsigned count;
    const int what = getchar();
    if (what == EOF)
        exit(0);
    if (what == 'F') {
        camera_frame_begins();
        return;
    }
    for (int lines = what == 'T' ? 2 : 1; lines; lines--, count++) {
        if (fread(camera.line[count % 2], 1, SNN_LINE_BYTES, stdin) != SNN_LINE_BYTES)
            exit(1);
        camera_line_ready(count % 2);
    }
}
"""
KERNELS = {
    "freertos_task": """
#include <FreeRTOS.h>
#include <task.h>
static TaskFunction_t task;
static uint32_t notified;
TaskHandle_t xTaskCreateStatic(TaskFunction_t function, const char *name, uint32_t words, void *parameters,
                               UBaseType_t priority, StackType_t *stack, StaticTask_t *memory)
{
    (void)name, (void)words, (void)parameters, (void)priority, (void)stack, (void)memory;
    task = function;
    return NULL;
}
BaseType_t xTaskNotifyFromISR(TaskHandle_t to, uint32_t value, eNotifyAction action, BaseType_t *woken)
{
    (void)to, (void)action, (void)woken;
    notified = value;
    return 1;
}
BaseType_t xTaskNotifyWait(uint32_t before, uint32_t after, uint32_t *value, TickType_t wait)
{
    (void)before, (void)after, (void)wait;
    interrupt();
    *value = notified;
    return 1;
}
void vTaskStartScheduler(void) { task(NULL); }
""",
    "zephyr_thread": """
#include <string.h>
#include <zephyr/kernel.h>
extern struct k_thread encoder;
static uint32_t kept[8], count;
int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t wait)
{
    (void)wait;
    if (count == queue->most)
        return -1;
    memcpy(&kept[count++], data, queue->size);
    return 0;
}
int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t wait)
{
    (void)wait;
    if (!count)
        interrupt();
    memcpy(data, &kept[0], queue->size);
    memmove(&kept[0], &kept[1], --count * sizeof kept[0]);
    return 0;
}
int main(void) { encoder.entry(NULL, NULL, NULL); return 0; }
""",
}


@pytest.fixture(scope="module")
def firmware():
    model = small_model()
    return small_firmware(model, small_codec(model))


@pytest.fixture(scope="module")
def project(firmware, tmp_path_factory) -> Path:
    return small_project(firmware, tmp_path_factory.mktemp("rtos") / "project")


@pytest.mark.parametrize(("name", "toolchain"), list(itertools.product(EXAMPLES, toolchains())))
def test_an_example_compiles_for_a_board(name, toolchain, project, tmp_path):
    command = toolchain.compiler("m7")
    flags = ("-O2", "-std=c99", *WARNINGS, "-Isrc", "-Iexamples/stubs", "-c", f"examples/{name}.c")
    run_tool((*command, *flags, "-o", str(tmp_path / "example.o")), project)
    assert (tmp_path / "example.o").stat().st_size > 500


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_sends_every_image_but_those_of_which_a_line_was_lost(name, project, firmware, tmp_path):
    (tmp_path / "kernel.c").write_text(DRIVER + KERNELS[name], encoding="utf-8")
    sources = [*(f"src/{each}.c" for each in ("snn", "snn_model", "snn_camera")), f"examples/{name}.c"]
    flags = ("-std=c99", "-O1", *WARNINGS, "-Isrc", "-Iexamples/stubs", str(tmp_path / "kernel.c"))
    program = str(tmp_path / "program")
    run_tool((*list(host_compilers().values())[-1], *flags, *sources, "-o", program), project)
    images = photos(4, 32)
    lines = [[bytes(line) for line in frame.numpy()] for frame in camera_lines(images, "RGB565")]
    whole, cut, late, again = ([b"L" + line for line in frame] for frame in lines)
    late[4:6] = [b"T" + lines[2][4] + lines[2][5]]
    given = b"".join(b"F" + b"".join(frame) for frame in (whole, cut[:9], late, again))
    wanted = firmware.payload(through_camera(images[[0, 3]], "RGB565"))
    assert run_tool((program,), given=given).stdout == wanted.numpy().tobytes()
    assert not torch.equal(wanted[0], wanted[1])
