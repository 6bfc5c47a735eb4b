/* A callback child that becomes a program after all. */
#include <proc/process.h>

#include "environment.h"
#include "kernel.h"
#include "search.h"
#include "step.h"

#include <stdio.h>
#include <stdlib.h>

int proc_exec(const char *path, const char *const *argv, const char *const *env)
{
    struct search search;
    char **environment = environ;

    if (!path || !argv || !argv[0]) {
        errno = EINVAL;
        return step_failed("options");
    }
    if (env && !(environment = environment_merge(env, false)))
        return step_failed("options");
    fflush(NULL); /* exec would drop what is not written yet */
    int failure;
    if (search_plan(&search, path, environment, false) < 0) {
        failure = errno;
    } else {
        failure = search_exec(&search, argv, environment);
        search_release(&search);
    }
    if (environment != environ)
        free(environment);
    errno = failure;
    return step_failed("execve");
}
