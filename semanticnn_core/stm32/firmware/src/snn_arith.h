/* SPDX-License-Identifier: Apache-2.0 */
/* The five inner operations: on Cortex-M4 and M7 with their DSP instructions, elsewhere in plain C, to the same bits. */
#ifndef SNN_ARITH_H
#define SNN_ARITH_H

#include <stdint.h>

#include "snn_model.h"

/* One kernel row of the stem, for two output channels (a, b) at two neighbouring output columns (0, 1):
 * sum = {a0, a1, b0, b1}. Taps come in pairs, of a, then of b, two pairs at a time; returns the next row's weights.
 * Neighbouring output columns lie two pixels, 6 numbers, apart. */
static inline const int16_t *add_stem_row(int32_t sum[4], const int16_t *in, const int16_t *weight);

/* One kernel row of the encoder's convolution, the same way; four taps of a, then four of b. The second column lies
 * SNN_CODE_STEP bytes further. */
static inline const int8_t *add_code_row(int32_t sum[4], const uint8_t *in, const int8_t *weight);

/* (sum · multiplier + 2^(shift − 1)) >> shift, cut to 0 … 255. */
static inline int32_t stem_output(int32_t sum, int32_t multiplier);

/* The same with the encoder's shift, cut to −32768 … 32767. */
static inline int32_t code_output(int32_t sum, int32_t multiplier);

/* Σ gamma · square over the code's channels, filled up to whole fours. */
static inline uint64_t add_norm(uint64_t norm, const uint16_t *gamma, const uint32_t *square);

#if defined(__ARM_FEATURE_DSP) && defined(__thumb__) && !defined(SNN_PORTABLE)

#define SNN_STRING_(text) #text
#define SNN_STRING(text) SNN_STRING_(text)

static inline const int16_t *add_stem_row(int32_t sum[4], const int16_t *in, const int16_t *weight)
{
    int32_t a0 = sum[0], a1 = sum[1], b0 = sum[2], b1 = sum[3];
    int32_t x0, x1, wa0, wa1, wb0, wb1;
    __asm__(".rept " SNN_STRING(SNN_STEM_PAIRS) " / 2\n"
            "ldrd  %[wa0], %[wa1], [%[w]], #8\n"
            "ldrd  %[wb0], %[wb1], [%[w]], #8\n"
            "ldrd  %[x0], %[x1], [%[in]], #8\n"
            "smlad %[a0], %[x0], %[wa0], %[a0]\n"
            "smlad %[b0], %[x0], %[wb0], %[b0]\n"
            "smlad %[a0], %[x1], %[wa1], %[a0]\n"
            "smlad %[b0], %[x1], %[wb1], %[b0]\n"
            "ldrd  %[x0], %[x1], [%[in], #4]\n" /* 12 bytes after where `in` was */
            "smlad %[a1], %[x0], %[wa0], %[a1]\n"
            "smlad %[b1], %[x0], %[wb0], %[b1]\n"
            "smlad %[a1], %[x1], %[wa1], %[a1]\n"
            "smlad %[b1], %[x1], %[wb1], %[b1]\n"
            ".endr\n"
            ".if " SNN_STRING(SNN_STEM_PAIRS) " & 1\n"
            "ldrd  %[wa0], %[wb0], [%[w]], #8\n"
            "ldr   %[x0], [%[in]]\n"
            "ldr   %[x1], [%[in], #12]\n"
            "smlad %[a0], %[x0], %[wa0], %[a0]\n"
            "smlad %[b0], %[x0], %[wb0], %[b0]\n"
            "smlad %[a1], %[x1], %[wa0], %[a1]\n"
            "smlad %[b1], %[x1], %[wb0], %[b1]\n"
            ".endif\n"
            : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [in] "+r"(in), [w] "+r"(weight),
              [x0] "=&r"(x0), [x1] "=&r"(x1), [wa0] "=&r"(wa0), [wa1] "=&r"(wa1), [wb0] "=&r"(wb0), [wb1] "=&r"(wb1)
            :
            : "memory");
    sum[0] = a0, sum[1] = a1, sum[2] = b0, sum[3] = b1;
    return weight;
}

static inline const int8_t *add_code_row(int32_t sum[4], const uint8_t *in, const int8_t *weight)
{
    const int8_t *const end = weight + 2 * SNN_CODE_TAPS;
    int32_t a0 = sum[0], a1 = sum[1], b0 = sum[2], b1 = sum[3];
    int32_t x0, x1, y0, y1, wa, wb, half;
    do {
        __asm__(".rept " SNN_STRING(SNN_CODE_UNROLL) "\n"
                "ldr    %[y0], [%[in], #" SNN_STRING(SNN_CODE_STEP) "]\n"
                "ldr    %[x0], [%[in]], #4\n"
                "ldrd   %[wa], %[wb], [%[w]], #8\n"
                "uxtb16 %[x1], %[x0], ror #8\n" /* bytes 1 and 3 */
                "uxtb16 %[x0], %[x0]\n"         /* bytes 0 and 2 */
                "uxtb16 %[y1], %[y0], ror #8\n"
                "uxtb16 %[y0], %[y0]\n"
                "sxtb16 %[half], %[wa]\n"
                "smlad  %[a0], %[x0], %[half], %[a0]\n"
                "smlad  %[a1], %[y0], %[half], %[a1]\n"
                "sxtb16 %[half], %[wa], ror #8\n"
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

static inline const int16_t *add_stem_row(int32_t sum[4], const int16_t *in, const int16_t *weight)
{
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
    return weight;
}

static inline const int8_t *add_code_row(int32_t sum[4], const uint8_t *in, const int8_t *weight)
{
    for (int taps = 0; taps < SNN_CODE_TAPS; taps += 4) {
        for (int tap = 0; tap < 4; tap++) {
            sum[0] += in[tap] * weight[tap];
            sum[1] += in[tap + SNN_CODE_STEP] * weight[tap];
            sum[2] += in[tap] * weight[4 + tap];
            sum[3] += in[tap + SNN_CODE_STEP] * weight[4 + tap];
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
