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
