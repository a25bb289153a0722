/* SemanticNN's device side: an image goes in row by row, and leaves as a few hundred bytes.
 *
 *     uint8_t payload[SNN_PAYLOAD_BYTES];
 *     int sent = 0;
 *     snn_reset();
 *     for (int row = 0; row < SNN_IMAGE_SIZE; row++)
 *         sent += snn_push_row(rgb[row], payload + sent);
 *     sent += snn_finish(payload + sent);
 *
 * One image at a time: the state is static. No heap, no floating point, no recursion, no interrupts touched.
 */
#ifndef SNN_H
#define SNN_H

#include <stdint.h>

#include "snn_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Returned when a row is pushed after the last one, or finish is called before it. */
#define SNN_WRONG_ROW (-1)

/* Begin an image. */
void snn_reset(void);

/* Take the next row, SNN_IMAGE_SIZE pixels of red, green, blue; write what can leave already to `out`, return how many
 * bytes that is. At most SNN_PUSH_BYTES are written at once, SNN_PAYLOAD_BYTES in all. */
int snn_push_row(const uint8_t *rgb, uint8_t *out);

/* Write what could only be known at the end (an adaptive window, the last bits), return how many bytes that is. */
int snn_finish(uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
