/* A worker's index: that there is always a process that has it. */
#ifndef LIBPROC_MEMBER_H
#define LIBPROC_MEMBER_H

#include "pool_state.h"

/* Who rings the bell is kept alive as workers are, beside them. NULL with errno. */
struct member *member_new_ringer(struct proc_pool *pool);

/* The member of that index, made if need be. NULL with errno. */
struct member *member_get(struct proc_pool *pool, unsigned index);
void member_free(struct member *member);
void member_forget(struct member *member); /* a forked copy of it */

/* It is to have a process, or not: looked at by member_settle when all that has come is known. */
void member_look_later(struct member *member);
void member_settle(struct member *member);

/* Its processes are asked to leave, and none is started for it. */
void member_let_go(struct member *member);

/* Starts a process that is to take the holder's place, if there is none yet. */
void member_replace(struct member *member);

/* What its processes say. */
void member_ready(struct runner *runner);
void member_detached(struct runner *runner);

#endif
