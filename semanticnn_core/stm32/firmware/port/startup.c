/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a Cortex-M needs before main: a vector table, initialised memory, the FPU where there is one. */
#include <stdint.h>

extern uint32_t _stack_top[], _data_start[], _data_end[], _bss_start[], _bss_end[];
extern const uint32_t _data_flash[];

int main(void);
void Reset_Handler(void);

static void halt(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))_stack_top, Reset_Handler, halt, halt, halt, halt, halt, 0, 0, 0, 0, halt, halt, 0, halt, halt,
};

__attribute__((noreturn)) void Reset_Handler(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the FPU, and Helium */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = _data_flash;
    for (uint32_t *to = _data_start; (uintptr_t)to < (uintptr_t)_data_end; to++)
        *to = *from++;
    for (uint32_t *to = _bss_start; (uintptr_t)to < (uintptr_t)_bss_end; to++)
        *to = 0;
    main();
    for (;;) {
    }
}
