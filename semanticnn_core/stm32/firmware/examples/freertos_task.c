/* SPDX-License-Identifier: Apache-2.0 */
/* FreeRTOS: a task that encodes a camera's images and hands each payload to a radio. Compiled against the declarations
 * in stubs/ where FreeRTOS is not there; with yours, leave that folder out of the include path.
 *
 * Two interrupts of yours call camera_frame_begins and camera_line_ready; the DMA fills camera.line[0] and [1] in turn.
 * Payloads leave by radio_send, also yours, which must copy or send them before it returns. */
#include <FreeRTOS.h>
#include <task.h>

#include "snn_camera.h"

#define FRAME 2u /* what is notified beside 0 and 1, the line buffers */
#define STACK_WORDS 512

struct snn_camera camera; /* place it where the DMA reaches it: see snn_camera.h */

void camera_frame_begins(void);
void camera_line_ready(uint32_t which);
void radio_send(const uint8_t *payload, uint32_t size);
int main(void);

static TaskHandle_t encoder;
static volatile int busy, lost; /* a line is being pushed; one came meanwhile, and the image is given up */

static void tell(uint32_t what)
{
    BaseType_t woken = pdFALSE;
    (void)xTaskNotifyFromISR(encoder, what, eSetValueWithOverwrite, &woken);
    portYIELD_FROM_ISR(woken);
}

void camera_frame_begins(void)
{
    tell(FRAME);
}

void camera_line_ready(uint32_t which)
{
    if (busy)
        lost = 1;
    busy = 1;
    tell(which);
}

static void encode(void *unused)
{
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    (void)unused;
    for (;;) {
        uint32_t what = FRAME;
        (void)xTaskNotifyWait(0, UINT32_MAX, &what, portMAX_DELAY);
        if (what == FRAME) {
            snn_camera_begin(&camera, SNN_RGB565, payload);
            busy = lost = 0;
            continue;
        }
        const int lines = snn_camera_line(&camera, camera.line[what], sizeof camera.line[what]);
        busy = 0;
        if (lines == SNN_IMAGE_SIZE && snn_check(&camera.state) == SNN_OK && !lost)
            radio_send(payload, SNN_PAYLOAD_BYTES);
    }
}

int main(void)
{
    static StackType_t stack[STACK_WORDS];
    static StaticTask_t task;
    encoder = xTaskCreateStatic(encode, "snn", STACK_WORDS, NULL, tskIDLE_PRIORITY + 2, stack, &task);
    vTaskStartScheduler();
    return 0;
}
