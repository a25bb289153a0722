/* SPDX-License-Identifier: Apache-2.0 */
/* Optional: a payload in packets, as `semanticnn serve` takes them, each behind a header that survives a bad link.
 *
 *     struct snn_framing framing = {SNN_PAYLOAD_BYTES, 222, SNN_MODEL_NUMBER, key};
 *     for (uint8_t part = 0; part < snn_frame_parts(&framing); part++)
 *         radio_send(frame, snn_frame(&framing, payload, sequence, part, frame));
 *
 * A header is 16 bytes: version, model, sequence number, part and a checksum in the second-order Reed-Muller (128, 29)
 * code. Behind it come the payload's bytes in an order that spreads neighbours over the packets. No state, no heap, no
 * recursion.
 */
#ifndef SNN_FRAME_H
#define SNN_FRAME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SNN_FRAME_HEADER 16
#define SNN_FRAME_PARTS 32

/* What device and edge agree on: bytes of a payload and of a packet, SNN_MODEL_NUMBER, which stands for
 * codec and slice, and what the header is
 * masked with, 16 bytes, or NULL without a key. */
struct snn_framing {
    uint16_t payload_bytes;
    uint16_t packet_bytes;
    uint8_t model;
    const uint8_t *mask;
};

/* Return how many packets a payload takes; 0 where it takes more than SNN_FRAME_PARTS or a packet has no room. */
uint16_t snn_frame_parts(const struct snn_framing *framing);

/* Write one packet of a payload to `out`, at most packet_bytes, and return its bytes; 0 where there is no such part. */
uint16_t snn_frame(const struct snn_framing *framing, const uint8_t *payload, uint8_t sequence, uint8_t part,
                   uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
