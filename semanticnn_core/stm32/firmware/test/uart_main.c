/* SPDX-License-Identifier: Apache-2.0 */
/* Rows come in over a UART, payload bytes go out: what test/send_vectors.py talks to.
 *
 * The host sends one row (3·SNN_IMAGE_SIZE bytes); the board answers with a byte that says how many payload bytes
 * follow, then these. 255 stands for 254 bytes and another such answer behind them. After the last row comes what
 * snn_finish gives, the same way.
 *
 * USART3 on PD8 and PD9, as on ST's NUCLEO-H7 boards, at 115,200 baud from the 64 MHz internal clock that the chip
 * starts with. Other boards: change the four functions that touch registers. */
#include <stdint.h>

#include "snn.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define RCC_AHB4ENR REGISTER(0x580244E0u)
#define RCC_APB1LENR REGISTER(0x580244E8u)
#define GPIOD_MODER REGISTER(0x58020C00u)
#define GPIOD_AFRH REGISTER(0x58020C24u)
#define USART3_CR1 REGISTER(0x40004800u)
#define USART3_BRR REGISTER(0x4000480Cu)
#define USART3_ISR REGISTER(0x4000481Cu)
#define USART3_RDR REGISTER(0x40004824u)
#define USART3_TDR REGISTER(0x40004828u)

int main(void);

static void open_uart(void)
{
    RCC_AHB4ENR |= 1u << 3;   /* port D */
    RCC_APB1LENR |= 1u << 18; /* USART3 */
    (void)RCC_APB1LENR;       /* read back: the clocks run before the registers behind them are touched */
    GPIOD_MODER = (GPIOD_MODER & ~(0xFu << 16)) | 0xAu << 16; /* pins 8 and 9: alternate function */
    GPIOD_AFRH = (GPIOD_AFRH & ~0xFFu) | 0x77u;               /* number 7 */
    USART3_BRR = 64000000u / 115200u;
    USART3_CR1 = 1u << 3 | 1u << 2 | 1u; /* send, receive, on */
}

static uint8_t receive(void)
{
    while (!(USART3_ISR & 1u << 5)) {
    }
    return (uint8_t)USART3_RDR;
}

static void send(uint8_t byte)
{
    while (!(USART3_ISR & 1u << 7)) {
    }
    USART3_TDR = byte;
}

static void send_all(const uint8_t *bytes, int count)
{
    for (int i = 0; i < count; i++)
        send(bytes[i]);
}

static void answer(const uint8_t *bytes, int count)
{
    for (; count > 254; count -= 254, bytes += 254) {
        send(255);
        send_all(bytes, 254);
    }
    send((uint8_t)count);
    send_all(bytes, count);
}

int main(void)
{
    static struct snn_state state;
    static uint8_t row[3 * SNN_IMAGE_SIZE];
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    open_uart();
    for (;;) {
        snn_reset(&state);
        for (int y = 0; y < SNN_IMAGE_SIZE; y++) {
            for (int i = 0; i < (int)sizeof row; i++)
                row[i] = receive();
            answer(payload, snn_push_row(&state, row, payload));
        }
        answer(payload, snn_finish(&state, payload));
    }
}
