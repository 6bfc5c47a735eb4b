/* Process descriptors: signals that cannot hit a stranger, and what became of a process that other code reaped. */
#ifndef LIBPROC_PIDFD_H
#define LIBPROC_PIDFD_H

#include "deadline.h"

/* Sends a signal to the process, or to the group of that number, whoever has reaped its leader (Linux 6.9: -EINVAL before). */
long pidfd_kill(int pidfd, int signo);
long pidfd_kill_group(int pidfd, int signo);

/* The wait status of a process that has ended: 1; 0: it is not reaped yet; -1: the kernel cannot tell (before Linux 6.15). */
int pidfd_exit_status(int pidfd, int *status);
void pidfd_await_reaper(int pidfd, struct deadline deadline);

#endif
