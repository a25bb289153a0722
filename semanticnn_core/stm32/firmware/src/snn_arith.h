/* SPDX-License-Identifier: Apache-2.0 */
/* The five inner operations: on Cortex-M4 and M7 with their DSP instructions, elsewhere in plain C, to the same bits. */
#ifndef SNN_ARITH_H
#define SNN_ARITH_H

#include <stdint.h>

#include "snn_model.h"

/* The stem's kernel rows over image rows, up to the row that is NULL, for two output channels (a, b) at two neighbouring
 * output columns (0, 1): sum = {a0, a1, b0, b1}. Taps come in pairs, of a, then of b, two pairs at a time; returns
 * where the weights go on. Neighbouring output columns lie two pixels, 6 numbers, apart. */
static inline const int16_t *add_stem_rows(int32_t sum[4], const int16_t *const *row, const int16_t *weight);

/* One kernel row of the encoder's convolution, the same way; four taps of a, then four of b, the second and the third
 * of which have changed places. The second column lies SNN_CODE_STEP numbers further. */
static inline const int8_t *add_code_row(int32_t sum[4], const int16_t *in, const int8_t *weight);

/* (sum · multiplier + 2^(shift − 1)) >> shift, cut to 0 … 255. */
static inline int32_t stem_output(int32_t sum, int32_t multiplier);

/* The same with the encoder's shift, cut to −32768 … 32767. */
static inline int32_t code_output(int32_t sum, int32_t multiplier);

/* Σ gamma · square over the code's channels, filled up to whole fours. */
static inline uint64_t add_norm(uint64_t norm, const uint16_t *gamma, const uint32_t *square);

#if defined(__ARM_FEATURE_DSP) && defined(__thumb__) && !defined(SNN_PORTABLE)

#define SNN_STRING_(text) #text
#define SNN_STRING(text) SNN_STRING_(text)

static inline const int16_t *add_stem_rows(int32_t sum[4], const int16_t *const *row, const int16_t *weight)
{
    int32_t a0 = sum[0], a1 = sum[1], b0 = sum[2], b1 = sum[3];
    int32_t x0, x1;
    const int16_t *in;
    /* weights: r4, r5 of a; r6, r8 of b; four at once need named registers */
    __asm__("ldr   %[in], [%[row]], #4\n"
            "0:\n"
            ".rept " SNN_STRING(SNN_STEM_PAIRS) " / 2\n"
            "ldmia %[w]!, {r4, r5, r6, r8}\n"
            "ldrd  %[x0], %[x1], [%[in]], #8\n"
            "smlad %[a0], %[x0], r4, %[a0]\n"
            "smlad %[b0], %[x0], r6, %[b0]\n"
            "smlad %[a0], %[x1], r5, %[a0]\n"
            "smlad %[b0], %[x1], r8, %[b0]\n"
            "ldrd  %[x0], %[x1], [%[in], #4]\n" /* 12 bytes after where `in` was */
            "smlad %[a1], %[x0], r4, %[a1]\n"
            "smlad %[b1], %[x0], r6, %[b1]\n"
            "smlad %[a1], %[x1], r5, %[a1]\n"
            "smlad %[b1], %[x1], r8, %[b1]\n"
            ".endr\n"
            ".if " SNN_STRING(SNN_STEM_PAIRS) " & 1\n"
            "ldrd  %[x0], %[x1], [%[w]], #8\n" /* here the names change places: inputs 12 bytes apart are r4 and r8 */
            "ldmia %[in], {r4, r5, r6, r8}\n"
            "smlad %[a0], r4, %[x0], %[a0]\n"
            "smlad %[b0], r4, %[x1], %[b0]\n"
            "smlad %[a1], r8, %[x0], %[a1]\n"
            "smlad %[b1], r8, %[x1], %[b1]\n"
            ".endif\n"
            "ldr   %[in], [%[row]], #4\n"
            "cmp   %[in], #0\n"
            "bne   0b\n"
            : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [row] "+r"(row), [w] "+r"(weight),
              [in] "=&r"(in), [x0] "=&r"(x0), [x1] "=&r"(x1)
            :
            : "r4", "r5", "r6", "r8", "cc", "memory");
    sum[0] = a0, sum[1] = a1, sum[2] = b0, sum[3] = b1;
    return weight;
}

static inline const int8_t *add_code_row(int32_t sum[4], const int16_t *in, const int8_t *weight)
{
    const int8_t *const end = weight + 2 * SNN_CODE_TAPS;
    int32_t a0 = sum[0], a1 = sum[1], b0 = sum[2], b1 = sum[3];
    int32_t x0, x1, y0, y1, wa, wb, half;
    do {
        __asm__(".rept " SNN_STRING(SNN_CODE_UNROLL) "\n"
                ".if " SNN_STRING(SNN_CODE_STEP) " <= 510\n" /* as far as a load of two words can look ahead */
                "ldrd   %[y0], %[y1], [%[in], #2 * " SNN_STRING(SNN_CODE_STEP) "]\n"
                ".else\n"
                "ldr    %[y0], [%[in], #2 * " SNN_STRING(SNN_CODE_STEP) "]\n"
                "ldr    %[y1], [%[in], #2 * " SNN_STRING(SNN_CODE_STEP) " + 4]\n"
                ".endif\n"
                "ldrd   %[x0], %[x1], [%[in]], #8\n"
                "ldrd   %[wa], %[wb], [%[w]], #8\n"
                "sxtb16 %[half], %[wa]\n" /* bytes 0 and 2 */
                "smlad  %[a0], %[x0], %[half], %[a0]\n"
                "smlad  %[a1], %[y0], %[half], %[a1]\n"
                "sxtb16 %[half], %[wa], ror #8\n" /* bytes 1 and 3 */
                "smlad  %[a0], %[x1], %[half], %[a0]\n"
                "smlad  %[a1], %[y1], %[half], %[a1]\n"
                "sxtb16 %[half], %[wb]\n"
                "smlad  %[b0], %[x0], %[half], %[b0]\n"
                "smlad  %[b1], %[y0], %[half], %[b1]\n"
                "sxtb16 %[half], %[wb], ror #8\n"
                "smlad  %[b0], %[x1], %[half], %[b0]\n"
                "smlad  %[b1], %[y1], %[half], %[b1]\n"
                ".endr\n"
                : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [in] "+r"(in), [w] "+r"(weight),
                  [x0] "=&r"(x0), [x1] "=&r"(x1), [y0] "=&r"(y0), [y1] "=&r"(y1), [wa] "=&r"(wa), [wb] "=&r"(wb),
                  [half] "=&r"(half)
                :
                : "memory");
    } while (weight != end);
    sum[0] = a0, sum[1] = a1, sum[2] = b0, sum[3] = b1;
    return weight;
}

static inline uint64_t add_norm(uint64_t norm, const uint16_t *gamma, const uint32_t *square)
{
    const uint32_t *const end = square + SNN_GAMMA_ROW;
    uint32_t low = (uint32_t)norm, high = (uint32_t)(norm >> 32);
    uint32_t square0, square1, gamma0, gamma1;
    do {
        __asm__(".rept " SNN_STRING(SNN_GAMMA_UNROLL) "\n"
                "ldrd  %[s0], %[s1], [%[s]], #8\n"
                "ldrh  %[g0], [%[g]], #2\n"
                "ldrh  %[g1], [%[g]], #2\n"
                "umlal %[low], %[high], %[g0], %[s0]\n"
                "umlal %[low], %[high], %[g1], %[s1]\n"
                ".endr\n"
                : [low] "+r"(low), [high] "+r"(high), [g] "+r"(gamma), [s] "+r"(square), [s0] "=&r"(square0),
                  [s1] "=&r"(square1), [g0] "=&r"(gamma0), [g1] "=&r"(gamma1)
                :
                : "memory");
    } while (square != end);
    return (uint64_t)high << 32 | low;
}

static inline int32_t stem_output(int32_t sum, int32_t multiplier)
{
    int32_t out;
    __asm__("smmla %0, %1, %2, %3\n" /* the upper word of the product, plus half an output step */
            "usat  %0, #8, %0, asr #" SNN_STRING(SNN_STEM_SHIFT) " - 32\n"
            : "=r"(out)
            : "r"(sum), "r"(multiplier), "r"(INT32_C(1) << (SNN_STEM_SHIFT - 33)));
    return out;
}

static inline int32_t code_output(int32_t sum, int32_t multiplier)
{
    int32_t out;
    __asm__("smmla %0, %1, %2, %3\n"
            "ssat  %0, #16, %0, asr #" SNN_STRING(SNN_CODE_SHIFT) " - 32\n"
            : "=r"(out)
            : "r"(sum), "r"(multiplier), "r"(INT32_C(1) << (SNN_CODE_SHIFT - 33)));
    return out;
}

#else

static inline const int16_t *add_stem_rows(int32_t sum[4], const int16_t *const *row, const int16_t *weight)
{
    for (; *row; row++) {
        const int16_t *in = *row;
        for (int pair = 0; pair < SNN_STEM_PAIRS; pair += 2) {
            const int taps = pair + 1 < SNN_STEM_PAIRS ? 4 : 2;
            for (int tap = 0; tap < taps; tap++) {
                sum[0] += in[tap] * weight[tap];
                sum[1] += in[tap + 6] * weight[tap];
                sum[2] += in[tap] * weight[taps + tap];
                sum[3] += in[tap + 6] * weight[taps + tap];
            }
            in += taps;
            weight += 2 * taps;
        }
    }
    return weight;
}

static inline const int8_t *add_code_row(int32_t sum[4], const int16_t *in, const int8_t *weight)
{
    for (int taps = 0; taps < SNN_CODE_TAPS; taps += 4) {
        for (int tap = 0; tap < 4; tap++) {
            const int at = tap == 1 ? 2 : tap == 2 ? 1 : tap;
            sum[0] += in[tap] * weight[at];
            sum[1] += in[tap + SNN_CODE_STEP] * weight[at];
            sum[2] += in[tap] * weight[4 + at];
            sum[3] += in[tap + SNN_CODE_STEP] * weight[4 + at];
        }
        in += 4;
        weight += 8;
    }
    return weight;
}

static inline uint64_t add_norm(uint64_t norm, const uint16_t *gamma, const uint32_t *square)
{
    for (int j = 0; j < SNN_GAMMA_ROW; j++)
        norm += (uint64_t)gamma[j] * square[j];
    return norm;
}

/* Every compiler for these devices shifts negative numbers arithmetically, which the standard leaves to them. */
static inline int32_t stem_output(int32_t sum, int32_t multiplier)
{
    const int64_t out = ((int64_t)sum * multiplier + (INT64_C(1) << (SNN_STEM_SHIFT - 1))) >> SNN_STEM_SHIFT;
    return out < 0 ? 0 : out > 255 ? 255 : (int32_t)out;
}

static inline int32_t code_output(int32_t sum, int32_t multiplier)
{
    const int64_t out = ((int64_t)sum * multiplier + (INT64_C(1) << (SNN_CODE_SHIFT - 1))) >> SNN_CODE_SHIFT;
    return out < INT16_MIN ? INT16_MIN : out > INT16_MAX ? INT16_MAX : (int32_t)out;
}

#endif
#endif
