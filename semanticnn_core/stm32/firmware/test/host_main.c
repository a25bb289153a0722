/* SPDX-License-Identifier: Apache-2.0 */
/* Reads images (rows of red, green, blue) from standard input, writes their payloads to standard output: for a PC. */
#include <stdio.h>

#include "snn.h"

int main(void)
{
    static uint8_t row[3 * SNN_IMAGE_SIZE];
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    for (;;) {
        int sent = 0;
        snn_reset();
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            const size_t read = fread(row, 1, sizeof row, stdin);
            if (read == 0 && y == 0)
                return 0;
            if (read != sizeof row)
                return 2;
            const int bytes = snn_push_row(row, payload + sent);
            if (bytes < 0 || bytes > SNN_PUSH_BYTES)
                return 3;
            sent += bytes;
        }
        sent += snn_finish(payload + sent);
        if (sent != SNN_PAYLOAD_BYTES || snn_check() != SNN_OK)
            return 4;
        if (fwrite(payload, 1, sizeof payload, stdout) != sizeof payload)
            return 5;
    }
}
