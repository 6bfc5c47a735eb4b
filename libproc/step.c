/* The step that failed last, for each thread. */
#include "step.h"

#include <proc/process.h>

static _Thread_local const char *failed = "";

int step_failed(const char *step)
{
    failed = step;
    return -1;
}

const char *proc_spawn_step(void)
{
    return failed;
}
