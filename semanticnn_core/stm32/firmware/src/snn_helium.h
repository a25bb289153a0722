/* SPDX-License-Identifier: Apache-2.0 */
/* The loops of cores with Helium (Cortex-M55), eight products an instruction: part of snn.c, in place of its functions
 * of these names, which stay the reference, and to the same bits.
 *
 * Weights lie tap after tap, channel after channel, which is why snn_model.c holds them in two orders.
 */
#ifndef SNN_HELIUM_H
#define SNN_HELIUM_H

#include <arm_mve.h>

#include "snn.h"
#include "snn_arith.h"

#define STEM_TAPS (3 * SNN_STEM_KERNEL) /* of a kernel row: neighbours in an image row */

/* Add the products of two channels' weights (a, b) and two columns' inputs (0, 1), COUNT times eight of them, to a0, a1,
 * b0, b1; all pointers move on. LOAD makes eight weights 16 bits wide. Assembly, as intrinsics become a
 * quarter more instructions with GCC 12; sums need even registers (Te), such loads low ones (l). */
#define ADD_PRODUCTS(COUNT, LOAD, BYTES)                                                                               \
    __asm__("dls          lr, %[count]\n"                                                                              \
            "0:\n"                                                                                                     \
            "vldrh.u16    q0, [%[in0]], #16\n" LOAD "    q2, [%[a]], #" BYTES "\n"                                     \
            "vmladava.s16 %[a0], q0, q2\n"                                                                             \
            "vldrh.u16    q1, [%[in1]], #16\n"                                                                         \
            "vmladava.s16 %[a1], q1, q2\n" LOAD "    q3, [%[b]], #" BYTES "\n"                                         \
            "vmladava.s16 %[b0], q0, q3\n"                                                                             \
            "vmladava.s16 %[b1], q1, q3\n"                                                                             \
            "le           lr, 0b\n"                                                                                    \
            : [a0] "+Te"(a0), [a1] "+Te"(a1), [b0] "+Te"(b0), [b1] "+Te"(b1), [in0] "+r"(in0), [in1] "+r"(in1),        \
              [a] "+l"(a), [b] "+l"(b)                                                                                 \
            : [count] "r"(COUNT)                                                                                       \
            : "lr", "q0", "q1", "q2", "q3", "memory")

/* stem_output of four channels. */
static inline int32x4_t stem_outputs(int32x4_t sum, int32x4_t multiplier)
{
    const int32x4_t out = vrshrq_n_s32(vmulhq_s32(sum, multiplier), SNN_STEM_SHIFT - 32);
    return vminq_s32(vmaxq_s32(out, vdupq_n_s32(0)), vdupq_n_s32(255));
}

/* Copy the inputs of one kernel row. */
static inline void copy_taps(int16_t *to, const int16_t *from)
{
    for (int tap = 0; tap < STEM_TAPS; tap += 8) {
        const mve_pred16_t some = vctp16q((uint32_t)(STEM_TAPS - tap));
        vstrhq_p_s16(to + tap, vldrhq_z_s16(from + tap, some), some);
    }
}

/* Compute row y of the stem, two columns at a time. A column's inputs are copied side by side, zeros where a row of the
 * kernel lies outside the image. */
STAGE void stem_row(struct snn_state *s, int y)
{
    const int top = 2 * y - SNN_STEM_PADDING;
    const int first = at_least(-top, 0), end = at_most(SNN_IMAGE_SIZE - top, SNN_STEM_KERNEL);
    int16_t patch[2][SNN_STEM_LANES];
    int32_t sums[2][SNN_STEM_CHANNELS];
    (void)memset(patch, 0, sizeof patch);
#if SNN_POOL
    int32_t left[SNN_STEM_CHANNELS]; /* the column before */
    for (int c = 0; c < SNN_STEM_CHANNELS; c++)
        left[c] = INT32_MIN;
#endif
    for (int column = SNN_STEM_LEFT; column < SNN_STEM_RIGHT; column += 2) {
        for (int i = first; i < end; i++) {
            const int16_t *const row = s->image[(top + i) % SNN_STEM_KERNEL] + 6 * column;
            copy_taps(patch[0] + i * STEM_TAPS, row);
            copy_taps(patch[1] + i * STEM_TAPS, row + 6);
        }
        const int16_t *a = snn_stem_weight, *b;
        for (int c = 0; c < SNN_STEM_CHANNELS; c += 2, a = b) {
            const int16_t *in0 = patch[0], *in1 = patch[1];
            int32_t a0 = snn_stem_bias[c], a1 = a0, b0 = snn_stem_bias[c + 1], b1 = b0;
            b = a + SNN_STEM_LANES;
            ADD_PRODUCTS(SNN_STEM_LANES / 8, "vldrh.u16", "16");
            sums[0][c] = a0, sums[1][c] = a1, sums[0][c + 1] = b0, sums[1][c + 1] = b1;
        }
        for (int c = 0; c < SNN_STEM_CHANNELS; c += 4) {
            const int32x4_t scale = vldrwq_s32(snn_stem_multiplier + c);
            const int32x4_t sum0 = vldrwq_s32(sums[0] + c), sum1 = vldrwq_s32(sums[1] + c);
#if SNN_POOL
            const int32x4_t out = stem_outputs(vmaxq_s32(vmaxq_s32(vldrwq_s32(left + c), sum0), sum1), scale);
            vstrwq_s32(left + c, sum1);
            uint8_t *const highest = s->highest + column / 2 * SNN_STEM_CHANNELS + c;
            const int32x4_t high = vmaxq_s32(vreinterpretq_s32_u32(vldrbq_u32(highest)), out);
            if (y % 2) /* the last of three rows, and the first of the next three */
                vstrhq_s32(s->feature + (column / 2 + SNN_CODE_MARGIN) * SNN_STEM_CHANNELS + c, high);
            vstrbq_u32(highest, vreinterpretq_u32_s32(y % 2 ? out : high));
#else
            int16_t *const feature = s->feature + (column + SNN_CODE_MARGIN) * SNN_STEM_CHANNELS + c;
            vstrhq_s32(feature, stem_outputs(sum0, scale));
            vstrhq_s32(feature + SNN_STEM_CHANNELS, stem_outputs(sum1, scale));
#endif
        }
    }
}

/* Add kernel row ky of the encoder's convolution over the feature row to a latent row's sums. */
STAGE void add_feature_row(struct snn_state *s, int32_t *sums, int ky)
{
    const int16_t *feature = s->feature + SNN_WINDOW_LEFT * SNN_CODE_STEP;
    for (int column = 0; column < SNN_CODE_COLUMNS; column += 2, feature += 2 * SNN_CODE_STEP) {
        int32_t *const here = sums + column * SNN_CODE_PAIRED, *const next = here + SNN_CODE_PAIRED;
        const int8_t *a = snn_code_weight + ky * SNN_CODE_PAIRED * SNN_CODE_TAPS, *b;
        for (int k = 0; k < SNN_CODE_PAIRED; k += 2, a = b) {
            const int16_t *in0 = feature, *in1 = in0 + SNN_CODE_STEP;
            int32_t a0 = here[k], a1 = next[k], b0 = here[k + 1], b1 = next[k + 1];
            b = a + SNN_CODE_TAPS;
#if SNN_CODE_TAPS >= 8
            ADD_PRODUCTS(SNN_CODE_TAPS / 8, "vldrb.s16", "8");
#endif
#if SNN_CODE_TAPS % 8 /* four more */
            const int32x4_t x0 = vldrhq_s32(in0), x1 = vldrhq_s32(in1), a4 = vldrbq_s32(a), b4 = vldrbq_s32(b);
            a0 = vmladavaq_s32(a0, x0, a4), a1 = vmladavaq_s32(a1, x1, a4);
            b0 = vmladavaq_s32(b0, x0, b4), b1 = vmladavaq_s32(b1, x1, b4);
            b += 4;
#endif
            here[k] = a0, next[k] = a1, here[k + 1] = b0, next[k + 1] = b1;
        }
    }
}

#endif
