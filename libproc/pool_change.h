/* A pool that is to have other processes, or another number of them. */
#ifndef LIBPROC_POOL_CHANGE_H
#define LIBPROC_POOL_CHANGE_H

#include "pool_state.h"

/* 0, or -1 with errno. */
int pool_reload(struct proc_pool *pool);
int pool_resize(struct proc_pool *pool, unsigned workers);

void pool_change_go_on(struct proc_pool *pool);

#endif
