/* SPDX-License-Identifier: Apache-2.0 */
/* Bits on their way out: code words fill bytes, and what leaves is counted into the parity, where there is one. */
#ifndef SNN_BITS_H
#define SNN_BITS_H

#include "snn.h"

#if defined(__GNUC__)
#define STAGE static __attribute__((noinline)) /* so that a profile tells the stages apart */
#else
#define STAGE static
#endif

#if SNN_PARITY_ROWS
/* Rotate the word of bytes that is complete, or the last, and add it to its rows. */
STAGE void add_word(struct snn_state *s)
{
    const uint16_t *edge = s->edge ? s->edge : snn_parity_edge;
    int last;
    do {
        const uint32_t shift = *edge & 31, row = *edge >> 6;
        s->parity[row] ^= s->word << shift | s->word >> (-shift & 31);
        last = *edge++ & 32;
    } while (!last);
    s->edge = edge;
    s->word = 0;
}

/* Count a byte of the code in; what only waits for its window does not leave yet. */
static void protect(struct snn_state *s, uint8_t byte)
{
    if (!s->leaving)
        return;
    s->word |= (uint32_t)byte << s->bytes % 4 * 8;
    if (++s->bytes % 4 == 0)
        add_word(s);
}

/* Write the parity: the rows' running sums, from the last row on in the first, one bit higher. */
STAGE uint8_t *put_parity(struct snn_state *s, uint8_t *out)
{
    if (s->bytes % 4)
        add_word(s);
    for (int row = 1; row < SNN_PARITY_ROWS; row++)
        s->parity[row] ^= s->parity[row - 1];
    uint32_t carry = s->parity[SNN_PARITY_ROWS - 1] << 1;
    for (int step = 1; step < 32; step *= 2)
        carry ^= carry << step;
    for (int row = 0; row < SNN_PARITY_ROWS; row++)
        for (int bit = 0; bit < 32; bit += 8)
            *out++ = (uint8_t)((s->parity[row] ^ carry) >> bit);
    return out;
}
#else
static void protect(struct snn_state *s, uint8_t byte) { (void)s, (void)byte; }
#endif

/* Append the lowest `count` bits of a value, least significant bit first. */
static struct snn_writer put(struct snn_state *s, struct snn_writer to, uint32_t value, int count)
{
    to.bits |= value << to.held;
    for (to.held += count; to.held >= 8; to.held -= 8) {
        protect(s, *to.at++ = (uint8_t)to.bits);
        to.bits >>= 8;
    }
    return to;
}

/* Append what fills no byte. */
static struct snn_writer flush(struct snn_state *s, struct snn_writer to)
{
    return put(s, to, 0, -to.held & 7);
}

#endif
