/* SPDX-License-Identifier: Apache-2.0 */
/* SemanticNN's device side, streaming: nothing is computed twice, and nothing is kept that is not needed again.
 *
 *   image rows ─► ring of SNN_STEM_KERNEL rows ─► stem (max-pooled at once) ─► one feature row
 *              ─► the encoder's sums, a kernel row at a time ─► GDN, PReLU, nearest centre ─► code words ─► bytes
 *
 * Sizes and tables are in snn_model.h and snn_model.c, the inner loops in snn_arith.h, those for Helium in snn_helium.h,
 * code words and parity in snn_bits.h.
 */
#include <stddef.h>

#include "snn.h"
#include "snn_arith.h"
#include "snn_bits.h"

/* C's own; compilers call it on their own account too, so that it is there even without a C library. */
void *memset(void *to, int value, size_t count);

#if !defined(SNN_WORK_BEGINS) /* a header that measures defines both: compile with -include port/measure.h */
#define SNN_WORK_BEGINS() (void)0
#define SNN_WORK_ENDS() (void)0
#endif

#define READY 0x5EED51A7u /* what memory that was never reset hardly holds */

static int at_least(int value, int low) { return value < low ? low : value; }
static int at_most(int value, int high) { return value > high ? high : value; }
#if SNN_POOL && !SNN_HELIUM
static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
#endif

/* Keep an image row as numbers around zero, where the row that is needed no longer was. */
STAGE void load_row(struct snn_state *s, const uint8_t *rgb)
{
    int16_t *to = s->image[s->rows % SNN_STEM_KERNEL] + 3 * SNN_STEM_PADDING;
    for (int x = 0; x < SNN_IMAGE_SIZE; x++, rgb += 3, to += 3) {
        to[0] = (int16_t)(rgb[0] - SNN_ZERO_RED);
        to[1] = (int16_t)(rgb[1] - SNN_ZERO_GREEN);
        to[2] = (int16_t)(rgb[2] - SNN_ZERO_BLUE);
    }
}

#if SNN_HELIUM
#include "snn_helium.h"
#else
/* Compute row y of the stem: convolution with folded batch norm, ReLU, and where there is one the max-pool. Two
 * columns and two channels at a time; a row of the kernel that lies outside the image counts for nothing. */
STAGE void stem_row(struct snn_state *s, int y)
{
    const int top = 2 * y - SNN_STEM_PADDING;
    const int first = at_least(-top, 0), end = at_most(SNN_IMAGE_SIZE - top, SNN_STEM_KERNEL);
    const int16_t *rows[SNN_STEM_KERNEL + 1];
    for (int i = first; i < end; i++)
        rows[i - first] = s->image[(top + i) % SNN_STEM_KERNEL] + 6 * SNN_STEM_LEFT;
    rows[end - first] = NULL;
    const int outside = (SNN_STEM_KERNEL - (end - first)) * 4 * SNN_STEM_PAIRS;
#if SNN_POOL
    int32_t left[SNN_STEM_CHANNELS]; /* the column before */
    for (int c = 0; c < SNN_STEM_CHANNELS; c++)
        left[c] = INT32_MIN;
#endif
    for (int x = SNN_STEM_LEFT; x < SNN_STEM_RIGHT; x += 2) {
        const int16_t *weight = snn_stem_weight + first * 4 * SNN_STEM_PAIRS;
        for (int c = 0; c < SNN_STEM_CHANNELS; c += 2) {
            const int32_t bias_a = snn_stem_bias[c], bias_b = snn_stem_bias[c + 1];
            int32_t sum[4] = {bias_a, bias_a, bias_b, bias_b};
            weight = add_stem_rows(sum, rows, weight) + outside;
            const int32_t scale_a = snn_stem_multiplier[c], scale_b = snn_stem_multiplier[c + 1];
#if SNN_POOL /* outputs grow with their sums, so the largest sum gives the largest output */
            const int32_t a = stem_output(larger(larger(left[c], sum[0]), sum[1]), scale_a);
            const int32_t b = stem_output(larger(larger(left[c + 1], sum[2]), sum[3]), scale_b);
            left[c] = sum[1], left[c + 1] = sum[3];
            uint8_t *const highest = s->highest + x / 2 * SNN_STEM_CHANNELS + c;
            const int32_t high_a = larger(highest[0], a), high_b = larger(highest[1], b);
            if (y % 2) { /* the last of three rows, and the first of the next three */
                int16_t *const feature = s->feature + (x / 2 + SNN_CODE_MARGIN) * SNN_STEM_CHANNELS + c;
                feature[0] = (int16_t)high_a, feature[1] = (int16_t)high_b;
                highest[0] = (uint8_t)a, highest[1] = (uint8_t)b;
            } else {
                highest[0] = (uint8_t)high_a, highest[1] = (uint8_t)high_b;
            }
#else
            int16_t *const feature = s->feature + (x + SNN_CODE_MARGIN) * SNN_STEM_CHANNELS + c;
            feature[0] = (int16_t)stem_output(sum[0], scale_a);
            feature[1] = (int16_t)stem_output(sum[2], scale_b);
            feature[SNN_STEM_CHANNELS] = (int16_t)stem_output(sum[1], scale_a);
            feature[SNN_STEM_CHANNELS + 1] = (int16_t)stem_output(sum[3], scale_b);
#endif
        }
        for (int i = 0; i < end - first; i++)
            rows[i] += 2 * 6;
    }
}

/* Add kernel row ky of the encoder's convolution over the feature row to a latent row's sums. */
STAGE void add_feature_row(struct snn_state *s, int32_t *sums, int ky)
{
    const int16_t *feature = s->feature + SNN_WINDOW_LEFT * SNN_CODE_STEP;
    for (int x = 0; x < SNN_CODE_COLUMNS; x += 2, feature += 2 * SNN_CODE_STEP) {
        const int8_t *weight = snn_code_weight + ky * SNN_CODE_PAIRED * SNN_CODE_TAPS;
        int32_t *here = sums + x * SNN_CODE_PAIRED, *next = here + SNN_CODE_PAIRED;
        for (int k = 0; k < SNN_CODE_PAIRED; k += 2) {
            int32_t sum[4] = {here[k], next[k], here[k + 1], next[k + 1]};
            weight = add_code_row(sum, feature, weight);
            here[k] = sum[0], next[k] = sum[1], here[k + 1] = sum[2], next[k + 1] = sum[3];
        }
    }
}
#endif

/* Turn one latent pixel's sums into symbols and append them: GDN, PReLU, the nearest centre.
 *
 * With z the convolution's output, a and g in snn_beta and snn_gamma, the symbol is the number of
 * thresholds T that are below PReLU(z / √(a + Σ g·z²)). Both sides squared with their signs:
 * z·|z| > T·|T| · (a + Σ g·z²). No root, no division, and PReLU is in the T. */
STAGE void send_pixel(struct snn_state *s, const int32_t *sums, int y, int x)
{
    int32_t latent[SNN_CODE_CHANNELS];
    uint32_t square[SNN_GAMMA_ROW];
    for (int k = SNN_CODE_CHANNELS; k < SNN_GAMMA_ROW; k++)
        square[k] = 0;
    for (int k = 0; k < SNN_CODE_CHANNELS; k++) {
        latent[k] = code_output(sums[k], snn_code_multiplier[k]);
        square[k] = (uint32_t)(latent[k] * latent[k]);
    }
    struct snn_writer to = s->sent;
    for (int k = 0; k < SNN_CODE_CHANNELS; k++) {
        const uint64_t norm = add_norm(snn_beta[k], snn_gamma + k * SNN_GAMMA_ROW, square);
        const int32_t divisor = (int32_t)(norm >> SNN_NORM_SHIFT);
        const int64_t size = (int64_t)square[k] << SNN_SQUARE_SHIFT;
        const int64_t level = latent[k] < 0 ? -size : size;
        const int32_t *threshold = snn_threshold + k * (SNN_CENTERS - 1);
        int index = 0;
        for (int step = SNN_CENTERS / 2; step > 0; step /= 2) /* bisection: the thresholds ascend */
            if (level > (int64_t)threshold[index + step - 1] * divisor)
                index += step;
#if SNN_PLACES
        s->importance[y][x] += snn_importance[k * SNN_CENTERS + index];
#endif
        to = put(s, to, snn_code_word[index], SNN_BITS);
    }
    s->sent = to;
    (void)y, (void)x;
}

/* Where the sums of latent row y are kept: kernels that overlap have several rows unfinished at a time. */
static int slot(int y)
{
#if SNN_CODE_ROWS > 1
    return y % SNN_CODE_ROWS;
#else
    (void)y;
    return 0;
#endif
}

/* Give the encoder feature row r; send the latent rows that it completes. */
static void code_row(struct snn_state *s, int r)
{
    const int at = r + SNN_CODE_MARGIN, above = at - SNN_CODE_KERNEL + SNN_CODE_STRIDE;
    const int first = at_least(above < 0 ? 0 : above / SNN_CODE_STRIDE, SNN_WINDOW_TOP);
    const int last = at_most(at / SNN_CODE_STRIDE, SNN_WINDOW_TOP + SNN_WINDOW_ROWS - 1);
    for (int y = first; y <= last; y++) {
        int32_t *const sums = s->sums[slot(y)];
        const int ky = at - y * SNN_CODE_STRIDE;
        if (ky == 0 || r == 0)
            for (int i = 0; i < SNN_CODE_COLUMNS * SNN_CODE_PAIRED; i++)
                sums[i] = snn_code_bias[i % SNN_CODE_PAIRED];
        add_feature_row(s, sums, ky);
        if (ky == SNN_CODE_KERNEL - 1 || r == SNN_FEATURE_SIZE - 1)
            for (int x = 0; x < SNN_WINDOW_COLUMNS; x++)
                send_pixel(s, sums + x * SNN_CODE_PAIRED, y, x);
    }
}

void snn_reset(struct snn_state *s)
{
    if (!s)
        return;
    (void)memset(s, 0, sizeof *s);
    s->ready = READY;
}

enum snn_status snn_check(const struct snn_state *s)
{
    return !s ? SNN_NULL : s->ready == READY ? (enum snn_status)s->status : SNN_NOT_RESET;
}

/* Remember what is wrong, if something is, or was before; return whether the call is refused. */
static int refused(struct snn_state *s, enum snn_status status)
{
    if (snn_check(s) == SNN_OK)
        s->status = (uint8_t)status;
    return snn_check(s) != SNN_OK;
}

int snn_push_row(struct snn_state *s, const uint8_t *rgb, uint8_t *out)
{
    if (!s || refused(s, s->rows >= SNN_IMAGE_SIZE ? SNN_TOO_MANY : !rgb || (!out && !SNN_PLACES) ? SNN_NULL : SNN_OK))
        return 0;
    SNN_WORK_BEGINS();
#if !SNN_PLACES
    s->sent.at = out;
    s->leaving = 1;
#else
    if (s->rows == 0)
        s->sent.at = s->buffer;
#endif
    load_row(s, rgb);
    s->rows++;
    /* The stem's rows that this completes: every second time one, the last time all that remain. */
    const int done = s->rows + SNN_STEM_PADDING - SNN_STEM_KERNEL;
    const int last = s->rows == SNN_IMAGE_SIZE ? SNN_STEM_SIZE - 1 : done < 0 || done % 2 ? -1 : done / 2;
    const int first = s->rows == SNN_IMAGE_SIZE ? (done + 1) / 2 : last;
    for (int y = at_least(first, SNN_STEM_TOP); y <= at_most(last, SNN_STEM_BOTTOM - 1); y++) {
        stem_row(s, y);
        if (!SNN_POOL)
            code_row(s, y);
        else if (y % 2)
            code_row(s, y / 2);
    }
    SNN_WORK_ENDS();
#if SNN_PLACES
    (void)out;
    return 0;
#else
    return (int)(s->sent.at - out);
#endif
}

#if SNN_PLACES
/* Return the number of the window that matters most; the first of equals. */
STAGE int choose_window(struct snn_state *s)
{
    for (int y = 0; y < SNN_CODE_SIZE; y++) /* sums over all rows above and columns to the left, in place */
        for (int x = 0; x < SNN_CODE_SIZE; x++)
            s->importance[y][x] += (x ? s->importance[y][x - 1] : 0) + (y ? s->importance[y - 1][x] : 0) -
                                  (x && y ? s->importance[y - 1][x - 1] : 0);
    int best = 0;
    int32_t most = INT32_MIN;
    for (int place = 0; place < SNN_PLACES; place++) {
        const int top = snn_place[2 * place], left = snn_place[2 * place + 1];
        const int bottom = top + SNN_SENT_ROWS - 1, right = left + SNN_SENT_COLUMNS - 1;
        const int32_t sum = s->importance[bottom][right] - (left ? s->importance[bottom][left - 1] : 0) -
                            (top ? s->importance[top - 1][right] : 0) +
                            (top && left ? s->importance[top - 1][left - 1] : 0);
        if (sum > most)
            most = sum, best = place;
    }
    return best;
}

/* Append one pixel of the buffered code. */
STAGE void copy_pixel(struct snn_state *s, int pixel)
{
    int at = pixel * SNN_CODE_CHANNELS * SNN_BITS;
    for (int k = 0; k < SNN_CODE_CHANNELS; k++, at += SNN_BITS) {
        const uint32_t two = s->buffer[at / 8] | (uint32_t)s->buffer[at / 8 + 1] << 8;
        s->sent = put(s, s->sent, two >> at % 8 & ((1u << SNN_BITS) - 1), SNN_BITS);
    }
}
#endif

int snn_finish(struct snn_state *s, uint8_t *out)
{
    if (!s || refused(s, s->rows < SNN_IMAGE_SIZE ? SNN_TOO_FEW : s->rows > SNN_IMAGE_SIZE ? SNN_TOO_MANY : out ? SNN_OK : SNN_NULL))
        return 0;
    SNN_WORK_BEGINS();
#if SNN_PLACES
    (void)flush(s, s->sent); /* into the buffer */
    const int place = choose_window(s);
    s->sent = put(s, (struct snn_writer){out, 0, 0}, snn_place_word[place], 16);
    s->leaving = 1;
    for (int y = 0; y < SNN_SENT_ROWS; y++)
        for (int x = 0; x < SNN_SENT_COLUMNS; x++)
            copy_pixel(s, (snn_place[2 * place] + y) * SNN_CODE_SIZE + snn_place[2 * place + 1] + x);
#else
    s->sent.at = out;
#endif
    s->sent = flush(s, s->sent);
#if SNN_PARITY_ROWS
    s->sent.at = put_parity(s, s->sent.at);
#endif
    s->rows++; /* the image is over: nothing more to push or to finish until the next reset */
    SNN_WORK_ENDS();
    return (int)(s->sent.at - out);
}
