/* SPDX-License-Identifier: Apache-2.0 */
/* Reads images (rows of red, green, blue) from standard input, writes their payloads to standard output: for a PC.
 * With any argument it writes the packets that carry them, of 222 bytes, numbered from 0. */
#include <stdio.h>

#include "snn.h"
#include "snn_frame.h"

static int write_frames(const uint8_t *payload, uint8_t sequence)
{
    static const struct snn_framing framing = {SNN_PAYLOAD_BYTES, 222, SNN_MODEL_NUMBER, NULL};
    static uint8_t frame[222];
    for (uint8_t part = 0; part < snn_frame_parts(&framing); part++) {
        const size_t size = snn_frame(&framing, payload, sequence, part, frame);
        if (fwrite(frame, 1, size, stdout) != size)
            return 5;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t sequence = 0;
    (void)argv;
    static struct snn_state state;
    static uint8_t row[3 * SNN_IMAGE_SIZE];
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    for (;;) {
        int sent = 0;
        snn_reset(&state);
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            const size_t read = fread(row, 1, sizeof row, stdin);
            if (read == 0 && y == 0)
                return 0;
            if (read != sizeof row)
                return 2;
            const int bytes = snn_push_row(&state, row, payload + sent);
            if (bytes < 0 || bytes > SNN_PUSH_BYTES)
                return 3;
            sent += bytes;
        }
        sent += snn_finish(&state, payload + sent);
        if (sent != SNN_PAYLOAD_BYTES || snn_check(&state) != SNN_OK)
            return 4;
        if (argc > 1 ? write_frames(payload, sequence++) : fwrite(payload, 1, sizeof payload, stdout) != sizeof payload)
            return 5;
    }
}
