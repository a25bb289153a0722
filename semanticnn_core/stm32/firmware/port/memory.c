/* SPDX-License-Identifier: Apache-2.0 */
/* What compilers call on their own where no C library is linked. Compile with -fno-builtin, or these call themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *to, const void *from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if (((uintptr_t)t | (uintptr_t)f) % 4 == 0)
        for (; count >= 4; count -= 4, t += 4, f += 4)
            *(uint32_t *)(void *)t = *(const uint32_t *)(const void *)f;
    while (count-- > 0)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *t = to;
    const uint32_t byte = (uint8_t)value, word = byte * 0x01010101u;
    if ((uintptr_t)t % 4 == 0)
        for (; count >= 4; count -= 4, t += 4)
            *(uint32_t *)(void *)t = word;
    while (count-- > 0)
        *t++ = (uint8_t)byte;
    return to;
}

#if defined(__ARM_EABI__) /* the names that the ARM ABI gives them; its memset takes the count before the value */
#define SAME_AS(name) __attribute__((alias(#name)))
void __aeabi_memset(void *to, size_t count, int value);
void __aeabi_memclr(void *to, size_t count);
void __aeabi_memset(void *to, size_t count, int value) { memset(to, value, count); }
void __aeabi_memclr(void *to, size_t count) { memset(to, 0, count); }
void *__aeabi_memcpy(void *to, const void *from, size_t count) SAME_AS(memcpy);
void *__aeabi_memcpy4(void *to, const void *from, size_t count) SAME_AS(memcpy);
void *__aeabi_memcpy8(void *to, const void *from, size_t count) SAME_AS(memcpy);
void __aeabi_memset4(void *to, size_t count, int value) SAME_AS(__aeabi_memset);
void __aeabi_memset8(void *to, size_t count, int value) SAME_AS(__aeabi_memset);
void __aeabi_memclr4(void *to, size_t count) SAME_AS(__aeabi_memclr);
void __aeabi_memclr8(void *to, size_t count) SAME_AS(__aeabi_memclr);
#endif

/* Cortex-M0, M0+ and M23 have no long multiplication, and the first two no division. */
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
uint64_t __aeabi_lmul(uint64_t a, uint64_t b);
uint64_t __aeabi_idivmod(int32_t a, int32_t b);
int32_t __aeabi_idiv(int32_t a, int32_t b);

/* The product, modulo 2^64, from products of halves of words. */
uint64_t __aeabi_lmul(uint64_t a, uint64_t b)
{
    const uint32_t a0 = (uint32_t)a & 0xFFFFu, a1 = (uint32_t)a >> 16, b0 = (uint32_t)b & 0xFFFFu, b1 = (uint32_t)b >> 16;
    const uint32_t low = a0 * b0, one = a1 * b0, other = a0 * b1;
    const uint32_t middle = (low >> 16) + (one & 0xFFFFu) + (other & 0xFFFFu);
    const uint32_t across = (uint32_t)a * (uint32_t)(b >> 32) + (uint32_t)(a >> 32) * (uint32_t)b;
    const uint32_t high = a1 * b1 + (one >> 16) + (other >> 16) + (middle >> 16) + across;
    return (uint64_t)high << 32 | (low & 0xFFFFu) | middle << 16;
}

/* The quotient in the lower word, the remainder, with the sign of a, in the upper: by one bit at a time. */
uint64_t __aeabi_idivmod(int32_t a, int32_t b)
{
    const uint32_t divisor = b < 0 ? 0u - (uint32_t)b : (uint32_t)b;
    uint32_t left = a < 0 ? 0u - (uint32_t)a : (uint32_t)a, quotient = 0, rest = 0;
    for (int bit = 0; bit < 32; bit++, left <<= 1) {
        rest = rest << 1 | left >> 31;
        quotient <<= 1;
        if (rest >= divisor)
            rest -= divisor, quotient |= 1;
    }
    if ((a < 0) != (b < 0))
        quotient = 0u - quotient;
    if (a < 0)
        rest = 0u - rest;
    return (uint64_t)rest << 32 | quotient;
}

int32_t __aeabi_idiv(int32_t a, int32_t b) { return (int32_t)__aeabi_idivmod(a, b); }
#endif
