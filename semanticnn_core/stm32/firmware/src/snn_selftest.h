/* SPDX-License-Identifier: Apache-2.0 */
/* Optional: whether this board computes what it must, without a PC. */
#ifndef SNN_SELFTEST_H
#define SNN_SELFTEST_H

#include "snn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Encode an image made of noise and compare its payload with the one that was exported: return 0 where all bytes are
 * right, else the number of the first wrong one, counted from 1. Takes SNN_PAYLOAD_BYTES and a row of stack. */
int snn_selftest(struct snn_state *state);

#ifdef __cplusplus
}
#endif

#endif
