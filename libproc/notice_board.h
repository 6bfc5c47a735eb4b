/* What the manager does about his workers' notices. */
#ifndef LIBPROC_NOTICE_BOARD_H
#define LIBPROC_NOTICE_BOARD_H

#include "pool_state.h"

/* Reads some, so that they do not keep the manager from all else. */
enum notices_left {
    NOTICES_NONE,
    NOTICES_MORE,
    NOTICES_NOT_NOW /* there is one that cannot be read; to be tried again after a while */
};
enum notices_left notice_board_read(struct proc_pool *pool);

/* A message for the worker of that index, from another one's or the manager (-1). -1 with errno. */
int notice_board_post(struct proc_pool *pool, struct letter_head head, const void *data);

#endif
