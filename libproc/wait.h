/* Reaping, for the waiter. */
#ifndef LIBPROC_WAIT_H
#define LIBPROC_WAIT_H

#include "process_state.h"

/* Reaps the child if it has ended: 1, and proc->exit says how; 0: not yet, or a tracer still holds it; -1 with errno. */
int wait_reap(struct proc *proc);

/* The oldest child of this process that has ended and is not reaped, whosever it is; it is left as it is. 0: there is none. */
pid_t wait_look_for_any(void);

/* Reaps a child that no struct proc stands for. False: it is not there, or has not ended. */
bool wait_reap_other(pid_t pid, struct proc_exit *exit);

#endif
