/* Messages of any size to a worker: what is too large for a packet travels in a file in memory. */
#ifndef LIBPROC_LETTER_H
#define LIBPROC_LETTER_H

#include <stddef.h>
#include <stdint.h>

/* The head of a packet that carries one. */
struct letter_head {
    int32_t from;
    int32_t to;
    uint64_t size;
};

#define LETTER_IN_PACKET 32768 /* bytes */

/* A file that holds it; -errno. */
long letter_make_file(const void *data, size_t size);

/* Reads it from there, and closes it: 0 or -errno. */
long letter_read_file(int fd, void *data, size_t size);

#endif
