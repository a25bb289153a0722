/* SPDX-License-Identifier: Apache-2.0 */
#include "snn_selftest.h"
#include "snn_selftest_payload.h"

int snn_selftest(struct snn_state *state)
{
    uint8_t row[3 * SNN_IMAGE_SIZE], payload[SNN_PAYLOAD_BYTES] = {0};
    uint32_t noise = 1;
    int sent = 0;
    snn_reset(state);
    for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
        for (int i = 0; i < 3 * SNN_IMAGE_SIZE; i++) {
            noise = noise * 1664525u + 1013904223u;
            row[i] = (uint8_t)(noise >> 24 >> y / 8 % 4); /* darker and calmer every eight rows */
        }
        sent += snn_push_row(state, row, payload + sent);
    }
    sent += snn_finish(state, payload + sent);
    for (int i = 0; i < SNN_PAYLOAD_BYTES; i++)
        if (sent != SNN_PAYLOAD_BYTES || payload[i] != snn_selftest_payload[i])
            return i + 1;
    return 0;
}
