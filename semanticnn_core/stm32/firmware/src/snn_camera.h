/* SPDX-License-Identifier: Apache-2.0 */
/* Optional: lines as a camera gives them, RGB565 or YUV422, turned into rows of red, green and blue and pushed.
 *
 *     static struct snn_camera camera;              where the DMA reaches it, see below
 *     snn_camera_begin(&camera, SNN_RGB565, payload);
 *     in the interrupt of the DMA's buffer 0 or 1, or a task that it wakes:
 *         if (snn_camera_line(&camera, camera.line[which], sizeof camera.line[which]) == SNN_IMAGE_SIZE)
 *             the payload is whole: snn_check(&camera.state), then snn_camera_begin for the next image
 *
 * While one line buffer is read the DMA fills the other (DMA_SxCR.DBM with the DCMI's data register as the source): a
 * line must be pushed before the next but one begins. On an STM32H7 the DMA does not reach the DTCM: put the structure
 * into AXI SRAM or SRAM1, and with the data cache on call SCB_InvalidateDCache_by_Addr for the line before it is read;
 * that works on whole lines of 32 bytes, to which the buffers are aligned.
 */
#ifndef SNN_CAMERA_H
#define SNN_CAMERA_H

#include <stddef.h>

#include "snn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum snn_format {
    SNN_RGB565, /* two bytes a pixel, red in the highest bits of the first */
    SNN_BGR565, /* the same with blue there */
    SNN_YUYV    /* four bytes for two pixels: luma, blue and red difference between; full range, BT.601 */
};

#define SNN_LINE_BYTES (2 * SNN_IMAGE_SIZE)

struct snn_camera {
    uint8_t line[2][(SNN_LINE_BYTES + 31) / 32 * 32]
#if defined(__GNUC__)
        __attribute__((aligned(32)))
#endif
        ; /* what the DMA fills in turn */
    uint8_t rgb[3 * SNN_IMAGE_SIZE];
    struct snn_state state;
    enum snn_format format;
    uint8_t *payload;
    int sent, lines;
};

/* Begin an image whose payload, SNN_PAYLOAD_BYTES, is written to `payload`. */
void snn_camera_begin(struct snn_camera *camera, enum snn_format format, uint8_t *payload);

/* Take a line of `size` bytes, at least SNN_LINE_BYTES; what is more fills the buffer. Return how many lines came: with
 * SNN_IMAGE_SIZE the payload is whole, provided that snn_check says SNN_OK. A shorter line counts as NULL. */
int snn_camera_line(struct snn_camera *camera, const uint8_t *line, size_t size);

/* Turn `pixels` pixels, an even number, of a line into red, green and blue. */
void snn_rgb_row(enum snn_format format, const uint8_t *line, uint8_t *rgb, int pixels);

#ifdef __cplusplus
}
#endif

#endif
