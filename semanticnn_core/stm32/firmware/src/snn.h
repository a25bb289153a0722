/* SPDX-License-Identifier: Apache-2.0 */
/* SemanticNN's device side: an image goes in row by row, and leaves as a few hundred bytes.
 *
 *     static struct snn_state state;
 *     uint8_t payload[SNN_PAYLOAD_BYTES];
 *     int sent = 0;
 *     snn_reset(&state);
 *     for (int row = 0; row < SNN_IMAGE_SIZE; row++)
 *         sent += snn_push_row(&state, rgb[row], payload + sent);
 *     sent += snn_finish(&state, payload + sent);
 *     if (snn_check(&state) != SNN_OK)
 *         sent = 0;
 *
 * Both functions return how many bytes they wrote, never less than 0, so that the sum above is always a place within
 * the payload. The first thing that goes wrong is remembered: until the next snn_reset nothing more is read or
 * written, and 0 is returned. An image may be given up at any row; snn_reset begins the next one.
 *
 * `rgb` is read within the call and may have any alignment; `out` must have room for SNN_PUSH_BYTES, behind the last
 * row for what is left of SNN_PAYLOAD_BYTES. The image is SNN_IMAGE_SIZE pixels wide and as many rows high, the row at
 * the top first; code words begin in the lowest bit of a byte. No heap, no floating point, no recursion, no
 * interrupts touched.
 *
 * All that is remembered lies in the caller's struct snn_state, wherever it puts it: as many images at a time as there
 * are states, one call at a time on each. Several models in one program need names of their own: `semanticnn export
 * --prefix NAME`.
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
    SNN_NOT_RESET, /* a row came, or finish, before the state's first snn_reset */
    SNN_NULL,      /* state, row or place to write to is NULL; snn_push_row needs none where SNN_PUSH_BYTES is 0 */
    SNN_TOO_MANY,  /* a row came after the last one, or anything after snn_finish */
    SNN_TOO_FEW    /* snn_finish came before the last row */
};

/* Bits on their way out. */
struct snn_writer {
    uint8_t *at;   /* where the next byte goes */
    uint32_t bits; /* those that do not fill a byte yet, the first the lowest */
    int held;      /* how many these are */
};

/* What is remembered between calls; for the encoder alone to read and write. */
struct snn_state {
    int16_t image[SNN_STEM_KERNEL][SNN_IMAGE_ROW];     /* the latest rows, less the zero point, zeros left and right */
    int16_t feature[SNN_FEATURE_ROW];                  /* the latest feature row, 0 to 255, zeros left and right */
#if SNN_POOL
    uint8_t highest[SNN_FEATURE_SIZE * SNN_STEM_CHANNELS]; /* the vertical maximum that is not complete yet */
#endif
    int32_t sums[SNN_CODE_ROWS][SNN_CODE_COLUMNS * SNN_CODE_PAIRED]; /* latent rows that are not complete yet */
    int rows;                                          /* how many image rows have come */
    uint8_t leaving;                                   /* whether what is packed leaves */
    uint32_t ready;                                    /* whether snn_reset was called */
    uint8_t status;                                    /* what went wrong first */
    struct snn_writer sent;
#if SNN_PARITY_ROWS
    uint32_t parity[SNN_PARITY_ROWS];                  /* the rows of checks */
    const uint16_t *edge;                              /* the next word's first */
    uint32_t word;                                     /* the bytes that fill no word yet, the first the lowest */
    int bytes;                                         /* how many of the code's bytes have left */
#endif
#if SNN_PLACES
    int32_t importance[SNN_CODE_SIZE][SNN_CODE_SIZE];  /* what the table says of each pixel */
    uint8_t buffer[SNN_BUFFER_BYTES];                  /* the whole code, packed, as the window is chosen at the end */
#endif
};

/* Begin an image; what was wrong is forgotten. */
void snn_reset(struct snn_state *state);

/* Say what went wrong first since snn_reset. */
enum snn_status snn_check(const struct snn_state *state);

/* Take the next row, SNN_IMAGE_SIZE pixels of red, green, blue; write what can leave already to `out`, return how many
 * bytes that is. At most SNN_PUSH_BYTES are written at once, SNN_PAYLOAD_BYTES in all. */
int snn_push_row(struct snn_state *state, const uint8_t *rgb, uint8_t *out);

/* Write what could only be known at the end (an adaptive window, the last bits), return how many bytes that is. */
int snn_finish(struct snn_state *state, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
