/* The C library's output buffers across a fork. */
#ifndef LIBPROC_STDIO_BUFFERS_H
#define LIBPROC_STDIO_BUFFERS_H

/* Before the fork, in the parent, where the child cannot do the following. */
void stdio_buffers_before_fork(void);

/* In the child: forgets what the parent has not written yet. The parent will write it. */
void stdio_buffers_forget(void);

#endif
