/* Workers that are stuck: in one job, or without a sign of life. */
#ifndef LIBPROC_STUCK_H
#define LIBPROC_STUCK_H

#include "pool_state.h"

void stuck_init(struct proc_pool *pool);

/* Kills those that are, and sees to it that the others are looked at in time. */
void stuck_look(struct proc_pool *pool);

#endif
