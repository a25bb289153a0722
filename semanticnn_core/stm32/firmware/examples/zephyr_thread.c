/* SPDX-License-Identifier: Apache-2.0 */
/* Zephyr: a thread that encodes a camera's images and hands each payload to a radio. Compiled against the declarations
 * in stubs/ where Zephyr is not there; with yours, leave that folder out of the include path.
 *
 * Two interrupts of yours call camera_frame_begins and camera_line_ready; the DMA fills camera.line[0] and [1] in turn.
 * Payloads leave by radio_send, also yours, which must copy or send them before it returns. */
#include <zephyr/kernel.h>

#include "snn_camera.h"

#define FRAME 2u /* what is told beside 0 and 1, the line buffers */
#define STACK_BYTES 2048
#define PRIORITY 5

struct snn_camera camera; /* place it where the DMA reaches it: see snn_camera.h */

void camera_frame_begins(void);
void camera_line_ready(uint32_t which);
void radio_send(const uint8_t *payload, uint32_t size);

K_MSGQ_DEFINE(told, sizeof(uint32_t), 2, 4);

static volatile int busy, lost; /* a line is being pushed; one came meanwhile, and the image is given up */

static void tell(uint32_t what)
{
    if (k_msgq_put(&told, &what, K_NO_WAIT) != 0)
        lost = 1;
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

static void encode(void *one, void *two, void *three)
{
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    (void)one, (void)two, (void)three;
    for (;;) {
        uint32_t what = FRAME;
        (void)k_msgq_get(&told, &what, K_FOREVER);
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

K_THREAD_DEFINE(encoder, STACK_BYTES, encode, NULL, NULL, NULL, PRIORITY, 0, 0);
