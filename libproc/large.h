/* Messages that are too large for a queue: each lies in a file in shared memory, and a reference to it travels in its place. */
#ifndef LIBPROC_LARGE_H
#define LIBPROC_LARGE_H

#include "deadline.h"
#include "large_files.h"

#include <stddef.h>
#include <stdbool.h>
#include <sys/ipc.h>

/* A reference is as long as this; so a message that is shorter is none. */
#define LARGE_REFERENCE 2048

struct large {
    struct large_place place;
    struct ipc_perm owner; /* of the queue, and so of its files */
    struct shared *shared;
};

/* All of these: -errno on failure. */

/* Also sweeps. -EACCES: this user may not read it; -EIDRM: it was removed
 * meanwhile; -EINVAL: it is another C library's; -ENOSYS: the kernel cannot look at a
 * message without taking it. */
int large_open(struct large *large, int queue);
void large_close(struct large *large);

/* 0; -ETIMEDOUT. */
long large_send(const struct large *large, long type, const void *data, size_t size, struct deadline deadline);

/* A message of a user's own that would be taken for one that lies in a file: it must lie in a file. */
bool large_looks_like_reference(const void *data, size_t size);

/* Of what looks so: where it lies, and its size. */
void large_reference_read(const void *data, struct large_name *name, size_t *size);

/* Takes the next message of that type, if it is as long as a reference or longer: its size, in *found the type. -EAGAIN: there
 * is none, or a shorter one; -E2BIG: it is larger than buf, and stays; -EBADMSG: the file is gone; -ETIMEDOUT. */
long large_take(struct large *large, long type, void *buf, size_t size, long *found, struct deadline deadline);

#endif
