/* SPDX-License-Identifier: Apache-2.0 */
#include "snn_camera.h"

/* Rounded to 8 bits: 2^16 is one. */
static uint8_t clamped(int32_t value)
{
    const int32_t whole = (value + 32768) / 65536;
    return value < 0 ? 0 : whole > 255 ? 255 : (uint8_t)whole;
}

static void from_565(const uint8_t *line, uint8_t *rgb, int swapped)
{
    const unsigned high = line[0] >> 3, low = line[1] & 31u, green = (line[0] & 7u) << 3 | line[1] >> 5;
    rgb[swapped ? 2 : 0] = (uint8_t)(high << 3 | high >> 2);
    rgb[1] = (uint8_t)(green << 2 | green >> 4);
    rgb[swapped ? 0 : 2] = (uint8_t)(low << 3 | low >> 2);
}

static void from_yuv(int y, int blue, int red, uint8_t *rgb)
{
    const int32_t luma = y * 65536, u = blue - 128, v = red - 128;
    rgb[0] = clamped(luma + 91881 * v);
    rgb[1] = clamped(luma - 22554 * u - 46802 * v);
    rgb[2] = clamped(luma + 116130 * u);
}

void snn_rgb_row(enum snn_format format, const uint8_t *line, uint8_t *rgb, int pixels)
{
    for (int x = 0; x < pixels; x += 2, line += 4, rgb += 6) {
        if (format == SNN_YUYV) {
            from_yuv(line[0], line[1], line[3], rgb);
            from_yuv(line[2], line[1], line[3], rgb + 3);
        } else {
            from_565(line, rgb, format == SNN_BGR565);
            from_565(line + 2, rgb + 3, format == SNN_BGR565);
        }
    }
}

void snn_camera_begin(struct snn_camera *camera, enum snn_format format, uint8_t *payload)
{
    camera->format = format;
    camera->payload = payload;
    camera->sent = 0;
    camera->lines = 0;
    snn_reset(&camera->state);
}

int snn_camera_line(struct snn_camera *camera, const uint8_t *line, size_t size)
{
    const int whole = line && size >= SNN_LINE_BYTES;
    if (whole)
        snn_rgb_row(camera->format, line, camera->rgb, SNN_IMAGE_SIZE);
    uint8_t *const to = camera->payload ? camera->payload + camera->sent : NULL;
    camera->sent += snn_push_row(&camera->state, whole ? camera->rgb : NULL, to);
    if (++camera->lines == SNN_IMAGE_SIZE)
        camera->sent += snn_finish(&camera->state, camera->payload ? camera->payload + camera->sent : NULL);
    return camera->lines;
}
