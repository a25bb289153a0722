/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoder's work takes: a pin that is high while it lasts, and the cycles of the core's own counter.
 *
 * Compile everything with -include port/measure.h; without it the two macros are empty, and nothing is measured. They
 * stand around the work of snn_push_row and snn_finish. Other measurements: a header of your own that defines both.
 *
 * The pin is B0, as on ST's NUCLEO-H7 boards, where it is also the green LED: the trigger of an oscilloscope or a power
 * analyser. The counter is that of Cortex-M3 and larger (DWT); it stands still between the calls, and a debugger that
 * uses it too disturbs it. 2^32 cycles are 9 s at 480 MHz. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>

#define MEASURE_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define MEASURE_CLOCKS MEASURE_REGISTER(0x580244E0u)   /* RCC_AHB4ENR */
#define MEASURE_MODE MEASURE_REGISTER(0x58020400u)     /* GPIOB_MODER */
#define MEASURE_PIN MEASURE_REGISTER(0x58020418u)      /* GPIOB_BSRR: sets by the lower half, clears by the upper */
#define MEASURE_TRACE MEASURE_REGISTER(0xE000EDFCu)    /* DEMCR */
#define MEASURE_CONTROL MEASURE_REGISTER(0xE0001000u)  /* DWT_CTRL */
#define MEASURE_COUNT MEASURE_REGISTER(0xE0001004u)    /* DWT_CYCCNT */
#define MEASURE_LOCK MEASURE_REGISTER(0xE0001FB0u)     /* DWT_LAR, on Cortex-M7 */

#define SNN_WORK_BEGINS() (MEASURE_PIN = 1u, MEASURE_CONTROL |= 1u)
#define SNN_WORK_ENDS() (MEASURE_CONTROL &= ~1u, MEASURE_PIN = 1u << 16)

/* Make pin and counter ready; once, before the first image. */
static inline void measure_open(void)
{
    MEASURE_CLOCKS |= 1u << 1; /* port B */
    (void)MEASURE_CLOCKS;      /* read back: the clock runs before the registers behind it are touched */
    MEASURE_PIN = 1u << 16;
    MEASURE_MODE = (MEASURE_MODE & ~3u) | 1u; /* an output */
    MEASURE_TRACE |= 1u << 24;
    MEASURE_LOCK = 0xC5ACCE55u;
    MEASURE_CONTROL &= ~1u;
    MEASURE_COUNT = 0;
}

/* Return the cycles of work since this was asked last. */
static inline uint32_t measure_cycles(void)
{
    const uint32_t cycles = MEASURE_COUNT;
    MEASURE_COUNT = 0;
    return cycles;
}

#endif
