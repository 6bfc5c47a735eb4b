/* Feeding and draining a child by hand. */
#ifndef BENCH_POLL_LOOP_H
#define BENCH_POLL_LOOP_H

#include <stddef.h>

/* Sends size bytes through cat, over pipes that hold pipe_size bytes, into memory, and checks what came back. */
void poll_loop(const char *input, size_t size, int pipe_size);

#endif
