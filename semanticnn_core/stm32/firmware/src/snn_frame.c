/* SPDX-License-Identifier: Apache-2.0 */
#include "snn_frame.h"

#define VERSION 1u
#define ORDER 7u /* the code has 2^7 bits */

/* Return the six check bits of the bits before them: the highest of a product, which no sum of code words keeps. */
static uint32_t check(uint32_t number)
{
    return number * 2654435761u >> 26;
}

static uint32_t parity(uint32_t bits)
{
    bits ^= bits >> 4;
    bits ^= bits >> 2;
    bits ^= bits >> 1;
    return bits & 1u;
}

/* Write the code word of 29 bits. It grows from its first four bits, which are the message's last: doubled, the second
 * half is the first one plus a word of the first-order code, a constant and a factor for each bit of the place. */
static void encode(uint32_t message, uint8_t out[SNN_FRAME_HEADER])
{
    uint32_t used = 25; /* bits of the message that come before the last four */

    for (uint32_t byte = 0; byte < SNN_FRAME_HEADER; byte++)
        out[byte] = 0;
    out[0] = (uint8_t)(message >> used & 15u);
    for (uint32_t order = 3; order <= ORDER; order++) {
        uint32_t half = 1u << (order - 1u);

        used -= order;
        for (uint32_t place = 0; place < half; place++) {
            uint32_t factors = message >> (used + 1u) & (half - 1u);
            uint32_t bit = (uint32_t)out[place >> 3] >> (place & 7u) & 1u;
            uint32_t to = place + half;

            bit ^= (message >> used & 1u) ^ parity(factors & place);
            out[to >> 3] = (uint8_t)(out[to >> 3] | bit << (to & 7u));
        }
    }
}

static uint32_t common_divisor(uint32_t one, uint32_t other)
{
    while (other) {
        uint32_t rest = one % other;

        one = other;
        other = rest;
    }
    return one;
}

/* Return the step from one byte that leaves to the next: about 0.618 of the payload, without a common divisor. */
static uint32_t spread_step(uint32_t size)
{
    uint32_t step = (618u * size + 500u) / 1000u;

    step = step ? step : 1u;
    while (common_divisor(step, size) > 1u)
        step++;
    return step;
}

uint16_t snn_frame_parts(const struct snn_framing *framing)
{
    uint32_t share, parts;

    if (framing->packet_bytes <= SNN_FRAME_HEADER || !framing->payload_bytes)
        return 0;
    share = (uint32_t)framing->packet_bytes - SNN_FRAME_HEADER;
    parts = (framing->payload_bytes + share - 1u) / share;
    return (uint16_t)(parts <= SNN_FRAME_PARTS ? parts : 0u);
}

uint16_t snn_frame(const struct snn_framing *framing, const uint8_t *payload, uint8_t sequence, uint8_t part,
                   uint8_t *out)
{
    uint32_t share, start, count, step, place;
    uint32_t message = VERSION | (uint32_t)framing->model << 2 | (uint32_t)sequence << 10 | (uint32_t)part << 18;

    if (part >= snn_frame_parts(framing))
        return 0;
    encode(message | check(message) << 23, out);
    for (uint32_t byte = 0; framing->mask && byte < SNN_FRAME_HEADER; byte++)
        out[byte] = (uint8_t)(out[byte] ^ framing->mask[byte]);
    share = (uint32_t)framing->packet_bytes - SNN_FRAME_HEADER;
    start = part * share;
    count = framing->payload_bytes - start;
    count = count < share ? count : share;
    step = spread_step(framing->payload_bytes);
    place = (uint32_t)((uint64_t)start * step % framing->payload_bytes);
    for (uint32_t byte = 0; byte < count; byte++) {
        out[SNN_FRAME_HEADER + byte] = payload[place];
        place = place + step < framing->payload_bytes ? place + step : place + step - framing->payload_bytes;
    }
    return (uint16_t)(SNN_FRAME_HEADER + count);
}
