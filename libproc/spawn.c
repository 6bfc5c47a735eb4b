/* Starting a child: plan it, start it in the way that suits it, clear away what is left of the plan. */
#include "spawn.h"

#include "clone.h"
#include "launch.h"
#include "options.h"
#include "step.h"

/* A program shares our memory until it execs, where that is possible; all else is forked. */
static int start(struct launch *launch)
{
    return launch->options.argv && clone_shares_memory() ? launch_program(launch) : launch_forked(launch);
}

struct proc *spawn_with_hooks(const struct proc_options *options, struct launch_hooks hooks)
{
    struct launch launch;
    struct proc *proc = NULL;
    int planned = launch_plan(&launch, options);

    launch.hooks = hooks;
    if (planned == 0 && start(&launch) == 0) {
        proc = launch.proc;
        launch.proc = NULL;
    }
    launch_release(&launch);
    return proc;
}

struct proc *proc_spawn_sized(const struct proc_options *given, size_t size)
{
    struct proc_options options;

    if (options_copy(&options, given, size) < 0) {
        step_failed("options");
        return NULL;
    }
    return spawn_with_hooks(&options, (struct launch_hooks){NULL, NULL});
}
