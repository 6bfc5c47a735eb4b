/* A system call that knows no timeout, made by a helper process in our memory while we wait for it. */
#ifndef LIBPROC_BESIDE_H
#define LIBPROC_BESIDE_H

#include "deadline.h"

struct beside {
    long (*work)(void *argument);                   /* makes the call, once: raw system calls only */
    void (*give_back)(void *argument, long result); /* we are dead, and it has taken something */
    void *argument;
    struct deadline deadline; /* a point in time */
};

/* What `work` returned; -ETIMEDOUT; -ENOSYS: there is no such helper here, or not now. */
long beside_do(const struct beside *beside);

#endif
