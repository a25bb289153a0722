/* SPDX-License-Identifier: Apache-2.0 */
/* SemanticNN's device side: an image goes in row by row, and leaves as a few hundred bytes.
 *
 *     uint8_t payload[SNN_PAYLOAD_BYTES];
 *     int sent = 0;
 *     snn_reset();
 *     for (int row = 0; row < SNN_IMAGE_SIZE; row++)
 *         sent += snn_push_row(rgb[row], payload + sent);
 *     sent += snn_finish(payload + sent);
 *     if (snn_check() != SNN_OK)
 *         sent = 0;
 *
 * Both functions return how many bytes they wrote, never less than 0, so that the sum above is always a place within
 * the payload. The first thing that goes wrong is remembered: until the next snn_reset nothing more is read or
 * written, and 0 is returned. An image may be given up at any row; snn_reset begins the next one.
 *
 * `rgb` is read within the call and may have any alignment; `out` must have room for SNN_PUSH_BYTES, behind the last
 * row for what is left of SNN_PAYLOAD_BYTES. The image is SNN_IMAGE_SIZE pixels wide and as many rows high, the row at
 * the top first; code words begin in the lowest bit of a byte. No heap, no floating point, no recursion, no
 * interrupts touched. The state is static: one image at a time, and no call while another runs.
 */
#ifndef SNN_H
#define SNN_H

#include <stdint.h>

#include "snn_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong first since snn_reset. */
enum snn_status {
    SNN_OK,
    SNN_NOT_RESET, /* a row came, or finish, before the first snn_reset */
    SNN_NULL,      /* a row or a place to write to is NULL; snn_push_row writes nothing where SNN_PUSH_BYTES is 0 */
    SNN_TOO_MANY,  /* a row came after the last one, or anything after snn_finish */
    SNN_TOO_FEW    /* snn_finish came before the last row */
};

/* Begin an image; what was wrong is forgotten. */
void snn_reset(void);

/* Say what went wrong first since snn_reset. */
enum snn_status snn_check(void);

/* Take the next row, SNN_IMAGE_SIZE pixels of red, green, blue; write what can leave already to `out`, return how many
 * bytes that is. At most SNN_PUSH_BYTES are written at once, SNN_PAYLOAD_BYTES in all. */
int snn_push_row(const uint8_t *rgb, uint8_t *out);

/* Write what could only be known at the end (an adaptive window, the last bits), return how many bytes that is. */
int snn_finish(uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
