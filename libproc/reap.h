/* Whether a child has ended, and reaping it. */
#ifndef LIBPROC_REAP_H
#define LIBPROC_REAP_H

#include "deadline.h"
#include "process_state.h"

/* Without reaping: 1 when it has ended, 0 when not yet, or the time ran out; -1 with errno. */
int reap_has_ended(struct proc *proc);
int reap_await_end(struct proc *proc, struct deadline deadline);

/* Whether it is a child of this process, alive or dead, that nobody has reaped. */
bool reap_is_there(const struct proc *proc);

/* Reaps it if it ends in time: 1, and proc->exit says how; 0: it has not ended, or a tracer still holds it; -1 with errno. */
int reap_in_time(struct proc *proc, int timeout_ms);

/* It must have been reaped by other code, since its number is another child's. */
void reap_by_others(struct proc *proc);

/* The oldest child of this process that has ended and is not reaped, whosever it is; it is left as it is. 0: there is none. */
pid_t reap_look_for_any(void);

/* Reaps a child that no struct proc stands for. False: it is not there, or has not ended. */
bool reap_other(pid_t pid, struct proc_exit *exit);

#endif
