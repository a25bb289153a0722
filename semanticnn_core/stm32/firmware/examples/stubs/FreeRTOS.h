/* SPDX-License-Identifier: Apache-2.0 */
/* A stub: the few declarations of FreeRTOS that freertos_task.c needs to compile where FreeRTOS is not there. */
#ifndef FREERTOS_STUB_H
#define FREERTOS_STUB_H

#include <stddef.h>
#include <stdint.h>

typedef long BaseType_t;
typedef unsigned long UBaseType_t;
typedef uint32_t TickType_t;
typedef uint32_t StackType_t;

#define pdFALSE ((BaseType_t)0)
#define portMAX_DELAY UINT32_MAX
#define portYIELD_FROM_ISR(woken) (void)(woken)

#endif
