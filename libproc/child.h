/* What the new child does before it is anybody: see child.c. */
#ifndef LIBPROC_CHILD_H
#define LIBPROC_CHILD_H

#include "launch.h"

/* Carries out the options, step by step. -1 with launch->report filled. */
int child_set_up(struct launch *launch);

/* The whole life of a program's child until execve. Returns only on failure: its exit status, launch->report filled. */
int child_become_program(struct launch *launch);

#endif
