/* The C library's output buffers across a fork. */
#ifndef LIBPROC_STDIO_BUFFERS_H
#define LIBPROC_STDIO_BUFFERS_H

#include <stdbool.h>

/* Before the fork, in the parent, where the child cannot do the following. */
void stdio_buffers_before_fork(void);

/* Writes what is to be written, without waiting for a stream that another thread holds while it reads. */
void stdio_buffers_write(void);

/* In the child: forgets what the parent has not written yet: the parent will write it. With `input`, also what the parent has
 * read ahead from its standard input, which is not the child's. */
void stdio_buffers_forget(bool input);

#endif
