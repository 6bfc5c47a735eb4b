/* A forked child has a copy of everything that its parent printed but has not written yet, and would write it again.
 *
 * With glibc the child throws its copy away: all open streams are on a list that the C library exports. The parent is not
 * touched; above all, no flush of ours waits for a stream that another thread holds while it reads. musl keeps its list to
 * itself: there the parent writes everything out before the fork. Streams without a descriptor (open_memstream) are memory
 * like any other, and stay. */
#include "stdio_buffers.h"

#include <stdio.h>
#include <stdio_ext.h>

#ifdef __GLIBC__

/* Linked by the member _chain; both are part of glibc's ABI. To be compiled with -fPIC: a program's direct access would make
 * the linker copy the variable, and the copy is not kept up to date. */
extern FILE *_IO_list_all;

void stdio_buffers_before_fork(void)
{
}

static bool has_output(FILE *stream)
{
    return fileno_unlocked(stream) >= 0 && __fwriting(stream) && __fpending(stream) > 0;
}

static void forget_output(void)
{
    for (FILE *stream = _IO_list_all; stream; stream = stream->_chain)
        if (has_output(stream))
            __fpurge(stream);
}

void stdio_buffers_write(void)
{
    for (FILE *stream = _IO_list_all; stream; stream = stream->_chain)
        if (has_output(stream))
            fflush(stream);
}
#else
void stdio_buffers_before_fork(void)
{
    fflush(NULL);
}

void stdio_buffers_write(void)
{
    fflush(NULL);
}

static void forget_output(void)
{
}
#endif

void stdio_buffers_forget(bool input)
{
    forget_output();
    if (input)
        __fpurge(stdin);
}
