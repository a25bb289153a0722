/* SPDX-License-Identifier: Apache-2.0 */
/* Reads images from the host's file images.bin and writes their payloads to payloads.bin: for QEMU, by semihosting. */
#include <stdint.h>

#include "snn.h"

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, EXIT = 0x20 };
#define AT(memory) (int32_t)(intptr_t)(memory)

int main(void);

/* Ask the host for one of these operations; READ and WRITE return how many bytes were not moved. */
static int32_t host(int32_t operation, int32_t a, int32_t b, int32_t c)
{
    const int32_t arguments[3] = {a, b, c};
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(int32_t code) { host(EXIT, 0x20026, code, 0); }

static struct snn_state state;
static uint8_t row[3 * SNN_IMAGE_SIZE];
static uint8_t payload[SNN_PAYLOAD_BYTES];

int main(void)
{
    const int32_t images = host(OPEN, AT("images.bin"), 1, 10), payloads = host(OPEN, AT("payloads.bin"), 5, 12);
    if (images < 0 || payloads < 0)
        leave(1);
    for (;;) {
        int sent = 0;
        snn_reset(&state);
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            const int32_t missing = host(READ, images, AT(row), sizeof row);
            if (missing != 0)
                leave(y == 0 && missing == (int32_t)sizeof row ? 0 : 2);
            sent += snn_push_row(&state, row, payload + sent);
        }
        sent += snn_finish(&state, payload + sent);
        if (sent != SNN_PAYLOAD_BYTES || snn_check(&state) != SNN_OK || host(WRITE, payloads, AT(payload), sent) != 0)
            leave(3);
    }
}
