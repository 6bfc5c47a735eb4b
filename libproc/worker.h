/* A worker: what a pool's process does from its birth to its end. */
#ifndef LIBPROC_WORKER_H
#define LIBPROC_WORKER_H

#include "worker_state.h"

/* All with the runner as argument: what the new process keeps of its manager's descriptors, what it does before any signal can
 * come, and its main. */
void worker_keep(void *runner);
void worker_prepare(void *runner);
int worker_main(struct proc *self, void *runner);

/* The worker that this process is, of whichever pool; NULL: none. */
struct proc_worker *worker_current(void);

#endif
