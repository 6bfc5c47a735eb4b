/* What the manager does about his workers' notices. */
#ifndef LIBPROC_NOTICE_BOARD_H
#define LIBPROC_NOTICE_BOARD_H

#include "pool_state.h"

void notice_board_read(struct proc_pool *pool);

/* A message for the worker of that index, from another one's or the manager (-1). -1 with errno. */
int notice_board_post(struct proc_pool *pool, struct letter_head head, const void *data);

#endif
