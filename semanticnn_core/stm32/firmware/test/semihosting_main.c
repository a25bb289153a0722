/* Reads images from the host's file images.bin and writes their payloads to payloads.bin: for QEMU, by semihosting. */
#include <stdint.h>

#include "snn.h"

int main(void);

static int32_t host(int32_t operation, const void *arguments)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t open_file(const char *name, int32_t length, int32_t mode)
{
    const int32_t arguments[3] = {(int32_t)(intptr_t)name, mode, length};
    return host(0x01, arguments);
}

/* Returns how many bytes were not moved. */
static int32_t move(int32_t operation, int32_t file, void *data, int32_t count)
{
    const int32_t arguments[3] = {file, (int32_t)(intptr_t)data, count};
    return host(operation, arguments);
}

static void leave(int32_t code)
{
    const int32_t arguments[2] = {0x20026, code};
    host(0x20, arguments);
}

static uint8_t row[3 * SNN_IMAGE_SIZE];
static uint8_t payload[SNN_PAYLOAD_BYTES];

int main(void)
{
    const int32_t images = open_file("images.bin", 10, 1), payloads = open_file("payloads.bin", 12, 5);
    if (images < 0 || payloads < 0)
        leave(1);
    for (;;) {
        int sent = 0;
        snn_reset();
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            const int32_t missing = move(0x06, images, row, sizeof row);
            if (missing != 0)
                leave(y == 0 && missing == (int32_t)sizeof row ? 0 : 2);
            sent += snn_push_row(row, payload + sent);
        }
        sent += snn_finish(payload + sent);
        if (sent != SNN_PAYLOAD_BYTES || move(0x05, payloads, payload, sent) != 0)
            leave(3);
    }
}
