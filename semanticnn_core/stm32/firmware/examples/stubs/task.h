/* SPDX-License-Identifier: Apache-2.0 */
/* A stub: see FreeRTOS.h. */
#ifndef FREERTOS_TASK_STUB_H
#define FREERTOS_TASK_STUB_H

#include "FreeRTOS.h"

typedef struct task *TaskHandle_t;
typedef struct {
    uint32_t words[32];
} StaticTask_t;
typedef void (*TaskFunction_t)(void *);
typedef enum { eNoAction, eSetBits, eIncrement, eSetValueWithOverwrite, eSetValueWithoutOverwrite } eNotifyAction;

#define tskIDLE_PRIORITY ((UBaseType_t)0)

TaskHandle_t xTaskCreateStatic(TaskFunction_t function, const char *name, uint32_t words, void *parameters,
                               UBaseType_t priority, StackType_t *stack, StaticTask_t *task);
BaseType_t xTaskNotifyFromISR(TaskHandle_t task, uint32_t value, eNotifyAction action, BaseType_t *woken);
BaseType_t xTaskNotifyWait(uint32_t clear_before, uint32_t clear_after, uint32_t *value, TickType_t wait);
void vTaskStartScheduler(void);

#endif
