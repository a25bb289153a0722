/* SPDX-License-Identifier: Apache-2.0 */
/* A stub: the few declarations of Zephyr that zephyr_thread.c needs to compile where Zephyr is not there. */
#ifndef ZEPHYR_KERNEL_STUB_H
#define ZEPHYR_KERNEL_STUB_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t ticks;
} k_timeout_t;
typedef void (*k_thread_entry_t)(void *, void *, void *);
struct k_msgq {
    uint32_t size, most;
};
struct k_thread {
    k_thread_entry_t entry;
};

#define K_NO_WAIT ((k_timeout_t){0})
#define K_FOREVER ((k_timeout_t){-1})
#define K_MSGQ_DEFINE(name, size, most, align) struct k_msgq name = {size, most}
#define K_THREAD_DEFINE(name, stack, entry, one, two, three, priority, options, delay) \
    struct k_thread name = {entry}

int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t wait);
int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t wait);

#endif
