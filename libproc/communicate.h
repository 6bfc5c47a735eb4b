/* The exchange of proc_communicate and proc_run. */
#ifndef LIBPROC_COMMUNICATE_H
#define LIBPROC_COMMUNICATE_H

#include <proc/process.h>

/* proc_communicate; only if it will be called `again` is input that was not taken worth remembering. */
int communicate_with(struct proc *proc, const void *input, size_t size, struct proc_output *output, int timeout_ms,
                     bool again);

#endif
