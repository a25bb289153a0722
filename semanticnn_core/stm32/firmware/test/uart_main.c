/* SPDX-License-Identifier: Apache-2.0 */
/* Rows come in over a UART, payload bytes go out: what test/send_vectors.py talks to.
 *
 * Both sides send messages: the bytes 'S' and 'N', a number of 16 bits, content, and a CRC-16 (CCITT, from 0xFFFF) of
 * number and content, the lower byte first. Of the host the number is that of a row, and the content the row, 3 *
 * SNN_IMAGE_SIZE bytes. The board answers each: the number says how many payload bytes follow, and behind them come the
 * cycles that they took, 32 bits, 0 where nothing was measured (port/measure.h); or that the row was REFUSED because it
 * was damaged or not the next one, and nothing follows. Row 0 begins an image at any time; what lies between messages is
 * skipped, so that a byte too many or too few costs one image and not the connection.
 *
 * USART3 on PD8 and PD9, as on ST's NUCLEO-H7 boards, at 115,200 baud from the 64 MHz internal clock that the chip
 * starts with. Other boards: change the three functions that touch registers. With HOST_UART defined it talks over
 * standard input and output of a PC. */
#include <stdint.h>

#include "snn.h"

#define REFUSED 0xFFFFu

#ifndef SNN_WORK_BEGINS
static void measure_open(void)
{
}

static uint32_t measure_cycles(void)
{
    return 0;
}
#endif

int main(void);

#ifdef HOST_UART
#include <stdio.h>
#include <stdlib.h>

static void open_uart(void)
{
}

static uint8_t receive(void)
{
    const int byte = getchar();
    if (byte == EOF)
        exit(0);
    return (uint8_t)byte;
}

static void send(uint8_t byte)
{
    putchar(byte);
    fflush(stdout);
}
#else
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

#endif

static uint16_t crc(uint16_t sum, uint8_t byte)
{
    sum = (uint16_t)(sum ^ byte << 8);
    for (int bit = 0; bit < 8; bit++)
        sum = (uint16_t)(sum & 0x8000 ? sum << 1 ^ 0x1021 : sum << 1);
    return sum;
}

static uint8_t receive_checked(uint16_t *sum)
{
    const uint8_t byte = receive();
    *sum = crc(*sum, byte);
    return byte;
}

static void send_checked(uint8_t byte, uint16_t *sum)
{
    send(byte);
    *sum = crc(*sum, byte);
}

/* Wait for a row; returns its number, or -1 where it came damaged. */
static int receive_row(uint8_t *row)
{
    uint16_t sum = 0xFFFF;
    for (uint8_t before = 0, byte = 0; before != 'S' || byte != 'N';) {
        before = byte;
        byte = receive();
    }
    int number = receive_checked(&sum);
    number |= receive_checked(&sum) << 8;
    for (int i = 0; i < 3 * SNN_IMAGE_SIZE; i++)
        row[i] = receive_checked(&sum);
    int sent = receive();
    sent |= receive() << 8;
    return sent == sum ? number : -1;
}

static void answer(const uint8_t *bytes, unsigned number, uint32_t cycles)
{
    uint16_t sum = 0xFFFF;
    send('S');
    send('N');
    send_checked((uint8_t)number, &sum);
    send_checked((uint8_t)(number >> 8), &sum);
    for (unsigned i = 0; i < number && number != REFUSED; i++)
        send_checked(bytes[i], &sum);
    for (unsigned shift = 0; shift < 32 && number != REFUSED; shift += 8)
        send_checked((uint8_t)(cycles >> shift), &sum);
    send((uint8_t)sum);
    send((uint8_t)(sum >> 8));
}

int main(void)
{
    static struct snn_state state;
    static uint8_t row[3 * SNN_IMAGE_SIZE];
    static uint8_t payload[SNN_PAYLOAD_BYTES];
    int next = -1; /* the row that may come, beside row 0 */
    open_uart();
    measure_open();
    for (;;) {
        const int number = receive_row(row);
        if (number == 0) {
            snn_reset(&state);
            next = 0;
        }
        if (number < 0 || number != next) {
            next = -1;
            answer(payload, REFUSED, 0);
            continue;
        }
        int count = snn_push_row(&state, row, payload);
        if (++next == SNN_IMAGE_SIZE)
            count += snn_finish(&state, payload + count);
        answer(payload, (unsigned)count, measure_cycles());
    }
}
