/* A worker, as it knows itself. */
#ifndef LIBPROC_WORKER_STATE_H
#define LIBPROC_WORKER_STATE_H

#include "pool_state.h"

#define WORKER_FAILED_TO_START 1 /* an exit status */

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

struct slot *worker_slot(const struct proc_worker *worker);

/* A notice from it, to be filled in; and telling it: 0, or -errno. -EPIPE: the manager is gone. */
struct notice worker_notice(const struct proc_worker *worker, enum notice_kind kind);
long worker_tell(const struct proc_worker *worker, const struct notice *notice);
long worker_say(const struct proc_worker *worker, enum notice_kind kind);
long worker_say_queue_fails(const struct proc_worker *worker, int error);

#endif
