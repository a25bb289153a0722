/* SPDX-License-Identifier: Apache-2.0 */
/* A program that begins an image and no more: an emulator calls the four functions from outside, with this state. */
#include "snn.h"

struct snn_state state;

int main(void);

int main(void)
{
    snn_reset(&state);
    return 0;
}
