/* A pool from the moment that it has a manager until it has none. */
#ifndef LIBPROC_POOL_LIFE_H
#define LIBPROC_POOL_LIFE_H

#include "pool_state.h"

/* This process, and this thread, manages it from now on. -1 with errno: EBUSY: somebody else does. */
int pool_begin(struct proc_pool *pool, struct proc_waiter *waiter);

/* Reads what its workers say; all of it, also what takes long. */
void pool_hear(struct proc_pool *pool);
void pool_hear_out(struct proc_pool *pool);

/* Draws the conclusions of all that has come: starts what is to be started, goes on with a reload, ends. */
void pool_settle(struct proc_pool *pool);

/* In a forked copy: frees memory, and closes descriptors of its own. */
void pool_forget(struct proc_pool *pool);

/* Lets go of everything; workers that are left are killed. */
void pool_end(struct proc_pool *pool);

/* Whether it is being managed, and has workers: it runs, or drains. */
bool pool_is_at_work(const struct proc_pool *pool);

/* 0, or -1 with errno. */
int pool_stop(struct proc_pool *pool);
int pool_drain(struct proc_pool *pool);

#endif
