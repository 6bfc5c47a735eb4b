/* Frames, read and written piece by piece. */
#include "frames.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ALIGNMENT 8
#define LEAST_ON_HEAP 8192

void frames_init(struct frames *frames)
{
    frames->bytes = frames->own;
    frames->room = sizeof frames->own;
    frames->start = frames->end = ALIGNMENT - FRAME_HEADER; /* so that the content of a first frame is aligned */
}

void frames_clear(struct frames *frames)
{
    if (frames->bytes != frames->own)
        free(frames->bytes);
    frames_init(frames);
}

static int move_to(struct frames *frames, size_t room)
{
    char *bytes = frames->bytes == frames->own ? malloc(room) : realloc(frames->bytes, room);

    if (!bytes)
        return -1;
    if (frames->bytes == frames->own)
        memcpy(bytes, frames->own, frames->end);
    frames->bytes = bytes;
    frames->room = room;
    return 0;
}

/* ---- what comes in ---- */

static size_t length_at(const struct frames *frames, size_t start)
{
    const unsigned char *header = (const unsigned char *)frames->bytes + start;

    return (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
}

enum frame_found frames_find(const struct frames *frames, size_t most)
{
    size_t held = frames->end - frames->start;

    if (held < FRAME_HEADER)
        return held == 0 ? FRAME_NONE : FRAME_PART;
    size_t length = length_at(frames, frames->start);
    if (length == 0 || length > most || length > SIZE_MAX / 4)
        return FRAME_REFUSED;
    return held - FRAME_HEADER < length ? FRAME_PART : FRAME_WHOLE;
}

static void move_to_front(struct frames *frames)
{
    const size_t front = ALIGNMENT - FRAME_HEADER;

    if (frames->start == front)
        return;
    memmove(frames->bytes + front, frames->bytes + frames->start, frames->end - frames->start);
    frames->end -= frames->start - front;
    frames->start = front;
}

/* Room for at least one more byte, and never for much more than has arrived: a length costs its sender nothing. */
static int make_room(struct frames *frames)
{
    if (frames->end < frames->room)
        return 0;
    move_to_front(frames);
    if (frames->end < frames->room)
        return 0;
    size_t whole = frames->start + FRAME_HEADER + length_at(frames, frames->start);
    size_t room = frames->room < LEAST_ON_HEAP / 2 ? LEAST_ON_HEAP : 2 * frames->room;
    return move_to(frames, whole < room ? whole : room);
}

long frames_read(struct frames *frames, int fd, bool *took_all)
{
    if (make_room(frames) < 0)
        return -ENOMEM;
    size_t room = frames->room - frames->end;
    long got = raw(SYS_recvfrom, fd, frames->bytes + frames->end, room, MSG_DONTWAIT, NULL, NULL);
    *took_all = got < (long)room;
    if (got > 0)
        frames->end += (size_t)got;
    return got;
}

const void *frames_take(struct frames *frames, size_t *size)
{
    size_t at = frames->start + FRAME_HEADER, off = at % ALIGNMENT;

    *size = length_at(frames, frames->start);
    frames->after = at + *size;
    /* Over its header, and what was before that: the first frame is aligned as it is, so there is room. */
    if (off > 0)
        memmove(frames->bytes + at - off, frames->bytes + at, *size);
    return frames->bytes + at - off;
}

void frames_drop(struct frames *frames)
{
    frames->start = frames->after;
    if (frames->start == frames->end)
        frames_clear(frames);
}

/* ---- what goes out ---- */

int frames_add(struct frames *frames, const void *data, size_t size)
{
    size_t held = frames->end == frames->start ? FRAME_HEADER : frames->end - frames->start;

    if (size > UINT32_MAX || held - FRAME_HEADER > UINT32_MAX - size || held + size > SIZE_MAX / 4) {
        errno = EMSGSIZE;
        return -1;
    }
    size_t end = frames->start + held + size;
    if (end > frames->room && move_to(frames, end < 2 * frames->room ? 2 * frames->room : end) < 0)
        return -1;
    if (size > 0)
        memcpy(frames->bytes + frames->start + held, data, size);
    frames->end = end;
    return 0;
}

void frames_finish(struct frames *frames)
{
    if (frames->end == frames->start)
        frames->end += FRAME_HEADER;
    size_t length = frames->end - frames->start - FRAME_HEADER;
    for (int i = 0; i < FRAME_HEADER; i++)
        frames->bytes[frames->start + i] = (char)(length >> (24 - 8 * i));
}

long frames_send(struct frames *frames, int fd)
{
    size_t held = frames->end - frames->start;
    long sent = raw(SYS_sendto, fd, frames->bytes + frames->start, held, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);

    if (sent < 0)
        return sent == -EAGAIN || sent == -EINTR ? (long)held : sent;
    frames->start += (size_t)sent;
    if (frames->start == frames->end)
        frames_clear(frames);
    return (long)(held - (size_t)sent);
}
