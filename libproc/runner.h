/* A worker process, as its manager keeps it: started, asked to leave, killed, and what it leaves behind. */
#ifndef LIBPROC_RUNNER_H
#define LIBPROC_RUNNER_H

#include "pool_state.h"

/* Starts one for the member, which is still to be told. `ended` is called when it has ended, and was reaped by the waiter.
 * NULL with errno. */
struct runner *runner_start(struct member *member, void (*ended)(struct reaction *, const struct proc_event *));

/* Asks it to leave, and has it killed after the grace period. Once. */
void runner_ask(struct runner *runner);

/* Now. */
void runner_kill(struct runner *runner);

/* It is none of the pool's any more. */
void runner_detach(struct runner *runner);

/* It has ended: its job is judged, what it has done is added to its row, and it is freed. */
struct runner_end {
    bool was_replaced; /* it has done its share of jobs */
    bool was_killed;  /* by us, for it was stuck */
    bool has_failed, at_once;
};
struct runner_end runner_ended(struct runner *runner, const struct proc_exit *exit);

/* It is detached, and lives on when the pool is gone. */
void runner_leave_behind(struct runner *runner);

bool runner_any_busy(const struct proc_pool *pool);

/* Kills and reaps it, at the end of the pool. */
void runner_free(struct runner *runner);

/* A forked copy of all of them. */
void runner_forget_all(struct proc_pool *pool);

/* The scoreboard's row of an index says that this one holds it. */
void runner_show(struct runner *runner, enum proc_worker_state phase);
struct pool_row *runner_row(const struct proc_pool *pool, unsigned index);

struct slot *runner_slot(const struct runner *runner);

#endif
