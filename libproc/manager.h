/* Who manages pools: one waiter for their workers, their alarms and the signals, and one descriptor for all that can happen. */
#ifndef LIBPROC_MANAGER_H
#define LIBPROC_MANAGER_H

#include "deadline.h"
#include "pool_state.h"

struct manager {
    struct ends ends; /* END_EPOLL, END_BELL */
    pid_t owner;      /* 0: it is not open */
    struct proc_waiter *waiter;
    pid_t thread;     /* that manages */
    struct proc_pool *const *pools;
    size_t count;
    struct reaction signals;
    bool was_terminated; /* by SIGTERM */
    bool is_at_it; /* in a step: and so, whatever the program does now, it does in an event's function */
};

/* Its descriptor, which is readable from now on: there are workers to start. -1 with errno. */
int manager_open(struct manager *manager);
void manager_close(struct manager *manager); /* keeps errno */

/* Makes the waiter. */
int manager_begin(struct manager *manager, unsigned waiter_flags, struct proc_pool *const *pools, size_t count);

/* From now on a pool's notices are something that can happen. */
int manager_hear(struct manager *manager, const struct proc_pool *pool);

/* SIGTERM and the others that control a pool. */
int manager_take_signals(struct manager *manager);

/* Draws the conclusions of what has been told to the pools. */
void manager_settle(struct manager *manager);

/* Waits up to a deadline, and does what there is to be done: 1; 0: the time ran out; -1 with errno. */
int manager_step(struct manager *manager, struct deadline deadline);

#endif
