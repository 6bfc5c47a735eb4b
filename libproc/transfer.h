/* Reading and writing that neither raises SIGPIPE nor, when asked, blocks, whatever kind of descriptor it is.
 *
 * O_NONBLOCK is not used: it belongs to the open file, which others may share. Each attempt says for itself that it shall
 * not block. All answers are -errno; -EAGAIN means "not now". */
#ifndef LIBPROC_TRANSFER_H
#define LIBPROC_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

struct sink {
    int fd;
    bool is_terminal;
    bool flags_refused; /* this descriptor or kernel does not take RWF_NOWAIT or RWF_NOSIGNAL */
};

long transfer_read(int fd, void *buf, size_t size, bool block);
long transfer_write(struct sink *sink, const void *data, size_t size, bool block);

#endif
