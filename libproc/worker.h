/* A worker: what a pool's process does from its birth to its end. */
#ifndef LIBPROC_WORKER_H
#define LIBPROC_WORKER_H

#include "pool_state.h"

struct proc_worker {
    struct proc_pool *pool;
    pid_t pid;
    uint32_t slot;
    unsigned index, generation;
    uint64_t serial;
    bool is_detached;
    int mailbox; /* -1: not asked for yet */
    int fd;      /* proc_worker_fd's; -1: not made yet */
    unsigned jobs_left; /* of its share; 0: no end */
};

/* Both with the runner as argument: what the new process does before any signal can come, and its main. */
void worker_prepare(void *runner);
int worker_main(struct proc *self, void *runner);

/* The worker that this process is, of whichever pool; NULL: none. */
struct proc_worker *worker_current(void);

/* A notice from it, to be filled in. */
struct notice worker_notice(const struct proc_worker *worker, enum notice_kind kind);
long worker_tell(const struct proc_worker *worker, const struct notice *notice);

#endif
