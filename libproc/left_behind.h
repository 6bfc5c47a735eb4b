/* Children that live on when what they belonged to is gone, and are to be reaped all the same. */
#ifndef LIBPROC_LEFT_BEHIND_H
#define LIBPROC_LEFT_BEHIND_H

#include <proc/process.h>

/* Takes the child over. */
void left_behind_add(struct proc *proc);

/* Reaps those that have ended. */
void left_behind_reap(void);

#endif
