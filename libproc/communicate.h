/* The exchange of proc_communicate and proc_run. */
#ifndef LIBPROC_COMMUNICATE_H
#define LIBPROC_COMMUNICATE_H

#include <proc/process.h>

/* Between SIGTERM and SIGKILL for a child that wrote too much, or whose time is up. */
#define COMMUNICATE_GRACE_MS 1000

/* proc_communicate; only if it will be called `again` is input that was not taken worth remembering. */
int communicate_with(struct proc *proc, const void *input, size_t size, struct proc_output *output, int timeout_ms,
                     bool again);

#endif
