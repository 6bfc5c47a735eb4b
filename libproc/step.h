/* The name of the step at which a spawn failed, for proc_spawn_step. */
#ifndef LIBPROC_STEP_H
#define LIBPROC_STEP_H

/* Notes that `step` (a constant string) failed in this thread. Returns -1, and keeps errno. */
int step_failed(const char *step);

#endif
