/* Bytes of one connection in one direction, as frames: a length of four bytes, most significant first, and so many bytes.
 *
 * A little room of its own serves most; more is taken from the heap as bytes arrive, and given back with the last of them. */
#ifndef LIBPROC_FRAMES_H
#define LIBPROC_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 4
#define FRAMES_OWN_ROOM 512

struct frames {
    char *bytes;               /* `own`, or the heap's */
    size_t start, end, room;   /* what is held, and how much could be */
    size_t after;              /* where the frame that was taken ends */
    _Alignas(16) char own[FRAMES_OWN_ROOM];
};

void frames_init(struct frames *frames);
void frames_clear(struct frames *frames); /* gives the memory back; it can be used on */

/* ---- what comes in ---- */

enum frame_found { FRAME_NONE, FRAME_PART, FRAME_WHOLE, FRAME_REFUSED };

/* What is first. One without content, or with more than `most`, is refused. */
enum frame_found frames_find(const struct frames *frames, size_t most);

/* One attempt to read. How many bytes; 0: end-of-file; -errno. *took_all: there were no more. */
long frames_read(struct frames *frames, int fd, bool *took_all);

/* The content of the first frame, which is whole, on a boundary of 8. It stays until it is dropped. */
const void *frames_take(struct frames *frames, size_t *size);
void frames_drop(struct frames *frames);

/* ---- what goes out: one frame ---- */

/* -1 with errno: EMSGSIZE, ENOMEM. */
int frames_add(struct frames *frames, const void *data, size_t size);

/* The frame is complete: it may be empty. */
void frames_finish(struct frames *frames);

/* One attempt to send. How many bytes are left; -errno. */
long frames_send(struct frames *frames, int fd);

#endif
