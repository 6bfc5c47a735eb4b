/* What becomes of a job whose worker has died, or has failed in it. */
#ifndef LIBPROC_JUDGE_H
#define LIBPROC_JUDGE_H

#include "pool_state.h"

/* The slot's process has ended. */
void judge_dead(struct proc_pool *pool, uint32_t slot, pid_t pid);

/* The process lives, and waits until its slot is free. */
void judge_failed(struct proc_pool *pool, uint32_t slot, pid_t pid);

/* What the slot's process has done until now is noted in the row of its index. */
void judge_note_done(struct proc_pool *pool, uint32_t slot);

/* A slot that no process has and that holds no job; false: there is none. */
bool judge_find_free(struct proc_pool *pool, uint32_t *slot);

/* Goes through what an earlier manager has left. Slots whose processes live are noted as foreign. */
void judge_what_was_left(struct proc_pool *pool);

/* Looks again at those; false: there are none any more. */
bool judge_foreign(struct proc_pool *pool);

/* Whether a job is in the queue or in a slot, in whatever state. */
bool judge_has_jobs(const struct proc_pool *pool);

#endif
