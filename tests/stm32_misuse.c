/* Random calls on two states in turn, and on a camera, beside a model of what they must answer. What lies around states
 * and payloads is watched; the states begin as memory that nobody cleared. */
#include <stdint.h>

#include "snn.h"
#include "snn_camera.c"

enum { GUARD = 64, TWO = 2, FILLING = 0xA5 };

struct image {
    enum snn_status status;
    int rows, sent;
    uint8_t low[GUARD];
    struct snn_state state;
    uint8_t mid[GUARD], payload[SNN_PAYLOAD_BYTES], high[GUARD];
};

static struct image images[TWO];
static struct {
    enum snn_status status;
    int rows, lines;
    uint8_t *payload;
    uint8_t low[GUARD];
    struct snn_camera camera;
    uint8_t mid[GUARD], place[SNN_PAYLOAD_BYTES], high[GUARD];
} front;
static uint32_t random_state;
static uint8_t row[3 * SNN_IMAGE_SIZE + 3];

uint32_t misuse(uint32_t calls, uint32_t seed);

static int draw(int below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)below);
}

static int touched(const uint8_t *guard)
{
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != FILLING)
            return 1;
    return 0;
}

static void fill(void *memory, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        ((uint8_t *)memory)[i] = FILLING;
}

/* What is wrong with a row, or with finish, after so many rows; the first thing wrong stays. */
static enum snn_status pushed(enum snn_status before, int rows, int given)
{
    return before != SNN_OK ? before : rows >= SNN_IMAGE_SIZE ? SNN_TOO_MANY : given ? SNN_OK : SNN_NULL;
}

static enum snn_status finished(enum snn_status before, int rows, int given)
{
    const enum snn_status few_or_many = rows < SNN_IMAGE_SIZE ? SNN_TOO_FEW : SNN_TOO_MANY;
    return before != SNN_OK ? before : rows != SNN_IMAGE_SIZE ? few_or_many : given ? SNN_OK : SNN_NULL;
}

static void reset(struct image *at)
{
    snn_reset(&at->state);
    at->status = SNN_OK, at->rows = at->sent = 0;
}

static uint32_t no_state(uint8_t *out)
{
    snn_reset(0);
    return snn_push_row(0, row, out) || snn_finish(0, out) || snn_check(0) != SNN_NULL;
}

/* One call on a state; returns which promise it broke. */
static uint32_t call_state(struct image *at)
{
    const int what = draw(SNN_IMAGE_SIZE + 4);
    uint8_t *const out = draw(200) ? at->payload + at->sent : 0;
    int wrote = 0, most = 0;
    if (draw(300) == 0 && no_state(out))
        return 1;
    if (what == 0) {
        reset(at);
    } else if (what < 3) {
        at->status = finished(at->status, at->rows, out != 0);
        const int good = at->status == SNN_OK;
        wrote = snn_finish(&at->state, out), most = good ? SNN_PAYLOAD_BYTES - at->sent : 0;
        if (good && wrote != most)
            return 2;
        at->rows += good;
    } else {
        const uint8_t *const given = draw(500) ? row + draw(4) : 0;
        at->status = pushed(at->status, at->rows, given && (out || SNN_PUSH_BYTES == 0));
        most = at->status == SNN_OK ? SNN_PUSH_BYTES : 0;
        wrote = snn_push_row(&at->state, given, out);
        at->rows += at->status == SNN_OK;
    }
    if (wrote < 0 || wrote > most)
        return 3;
    if (snn_check(&at->state) != at->status)
        return 4;
    at->sent += wrote;
    if (at->sent > SNN_PAYLOAD_BYTES)
        return 5;
    if (at->rows > SNN_IMAGE_SIZE && draw(2))
        reset(at);
    return 0;
}

static void begin(void)
{
    front.payload = draw(20) ? front.place : 0;
    snn_camera_begin(&front.camera, (enum snn_format)draw(3), front.payload);
    front.status = SNN_OK, front.rows = front.lines = 0;
}

/* One call on the camera: lines that are too short, missing, too many, an image begun again at any time. */
static uint32_t call_camera(void)
{
    if (draw(2 * SNN_IMAGE_SIZE) == 0)
        begin();
    const int size = draw(100) ? SNN_LINE_BYTES + draw(9) : draw(SNN_LINE_BYTES);
    uint8_t *const line = draw(200) ? front.camera.line[draw(TWO)] : 0;
    for (int i = 0; line && i < SNN_LINE_BYTES; i++)
        line[i] = (uint8_t)draw(256);
    const int given = line && size >= SNN_LINE_BYTES;
    front.status = pushed(front.status, front.rows, given && (front.payload || SNN_PUSH_BYTES == 0));
    front.rows += front.status == SNN_OK;
    if (++front.lines == SNN_IMAGE_SIZE) {
        front.status = finished(front.status, front.rows, front.payload != 0);
        front.rows += front.status == SNN_OK;
    }
    if (snn_camera_line(&front.camera, line, (size_t)size) != front.lines)
        return 7;
    if (snn_check(&front.camera.state) != front.status)
        return 8;
    if (front.camera.sent > SNN_PAYLOAD_BYTES || (front.rows > SNN_IMAGE_SIZE && front.camera.sent != SNN_PAYLOAD_BYTES))
        return 9;
    if (front.lines > SNN_IMAGE_SIZE && draw(2))
        begin();
    return 0;
}

static int guards_touched(void)
{
    for (int i = 0; i < TWO; i++)
        if (touched(images[i].low) || touched(images[i].mid) || touched(images[i].high))
            return 1;
    return touched(front.low) || touched(front.mid) || touched(front.high);
}

/* Make so many calls and return which promise was broken, 0 where none was. */
uint32_t misuse(uint32_t calls, uint32_t seed)
{
    random_state = seed;
    fill(images, sizeof images);
    fill(&front, sizeof front);
    for (int i = 0; i < TWO; i++)
        images[i].status = SNN_NOT_RESET, images[i].rows = images[i].sent = 0;
    begin();
    for (int i = 0; i < (int)sizeof row; i++)
        row[i] = (uint8_t)draw(256);
    for (uint32_t call = 0; call < calls; call++) {
        row[draw((int)sizeof row)] = (uint8_t)draw(256);
        const int which = draw(TWO + 1);
        const uint32_t broken = which < TWO ? call_state(&images[which]) : call_camera();
        if (broken || guards_touched())
            return broken ? broken : 6;
    }
    return 0;
}

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M' /* an emulator calls misuse itself */
int main(void);
int main(void) { return (int)misuse(0, 0); }
#else
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words)
{
    if (count != 3)
        return 1;
    printf("%u", (unsigned)misuse((uint32_t)atol(words[1]), (uint32_t)atol(words[2])));
    return 0;
}
#endif
