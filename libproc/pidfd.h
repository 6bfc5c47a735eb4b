/* Process descriptors: signals that cannot hit a stranger, and what became of a process that other code reaped. */
#ifndef LIBPROC_PIDFD_H
#define LIBPROC_PIDFD_H

#include <stdbool.h>

/* Sends a signal to the process, or to the group of that number, whoever has reaped its leader (Linux 6.9: -EINVAL before). */
long pidfd_kill(int pidfd, int signo);
long pidfd_kill_group(int pidfd, int signo);

/* The wait status of a process that has ended and been reaped, if the kernel can tell (6.15). Waits a moment for the reaper. */
bool pidfd_exit_status(int pidfd, int *status);

#endif
