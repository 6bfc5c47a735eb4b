/* Starting a program: clone with shared memory, in which the child leaves word of a failure; no pipe, no copied page table,
 * and the parent runs again at the moment of the exec.
 *
 * Signals stay blocked in the parent meanwhile, so that the child, born with that mask, runs none of its handlers. */
#include "child.h"
#include "clone.h"
#include "dumpable.h"
#include "step.h"

#include <sched.h>
#include <signal.h>

static int run_program(void *argument)
{
    return child_become_program(argument);
}

/* The cgroup is entered at birth where the kernel can (5.7); otherwise the child writes itself into it, and needs a
 * descriptor table of its own for that. */
static long clone_child(struct launch *launch, struct clone_stack *stack, struct clone_request *request)
{
    uint64_t flags = request->flags;
    bool cgroup = launch->options.flags & PROC_CGROUP;

    launch->shares_table = true;
    launch->joins_cgroup = false;
    launch->handlers_cleared = true;
    request->flags = flags | CLONE_FILES | (cgroup ? CLONE_INTO_CGROUP : 0);
    request->cgroup = launch->options.cgroup;
    long pid = clone_modern(stack, request);
    if (pid == -ENOSYS) {
        launch->shares_table = !cgroup;
        launch->joins_cgroup = cgroup;
        launch->handlers_cleared = false;
        request->flags = flags | (cgroup ? 0 : CLONE_FILES);
        pid = clone_classic(stack, request);
    }
    request->flags = flags;
    return pid;
}

/* With a pidfd from birth, so that the child's end, and how it ended, can be told even if other code reaps it. A process at
 * its limit of descriptors goes without. */
static long clone_with_pidfd(struct launch *launch, struct clone_stack *stack)
{
    struct clone_request request = {.flags = CLONE_PIDFD,
                                    .exit_signal = SIGCHLD,
                                    .pidfd = &launch->pidfd,
                                    .entry = run_program,
                                    .argument = launch};
    long pid = clone_child(launch, stack, &request);

    if (pid == -EMFILE || pid == -ENFILE) {
        request.flags = 0;
        pid = clone_child(launch, stack, &request);
    }
    return pid;
}

/* Takes the failure that the child left, and the child with it. */
static long child_or_failure(struct launch *launch, long pid)
{
    if (pid < 0 || launch->report.error == 0)
        return pid;
    clone_reap(pid);
    if (launch->pidfd >= 0)
        raw(SYS_close, launch->pidfd);
    launch->pidfd = -1;
    return -launch->report.error;
}

struct detour {
    struct launch *launch;
    struct clone_stack *stack;
    long pid;
};

static int run_detour(void *argument)
{
    struct detour *detour = argument;

    detour->pid = child_or_failure(detour->launch, clone_with_pidfd(detour->launch, detour->stack));
    return 0;
}

/* A detached child is the child of one that ends at once. That one shares our descriptor table, so the pidfd lands in ours;
 * its end raises no SIGCHLD, and no waitpid of other code can see it. */
static long clone_detached(struct launch *launch, struct clone_stack *stack)
{
    struct clone_stack outer;
    struct detour detour = {.launch = launch, .stack = stack, .pid = -ECHILD};
    struct clone_request request = {.flags = CLONE_FILES, .entry = run_detour, .argument = &detour};
    long pid = clone_modern(&outer, &request);

    if (pid == -ENOSYS)
        pid = clone_classic(&outer, &request);
    if (pid < 0)
        return pid;
    clone_reap(pid);
    return detour.pid;
}

static long start(struct launch *launch)
{
    struct clone_stack stack;

    launch->report = (struct report){.step = "clone"};
    launch->pidfd = -1;
    if (launch->options.flags & PROC_DETACH)
        return clone_detached(launch, &stack);
    return child_or_failure(launch, clone_with_pidfd(launch, &stack));
}

static long start_near_or_far(struct launch *launch)
{
    static _Atomic bool cannot_fetch; /* a sandbox forbids it: once is enough to find out */

    launch->map.far_by_copy = cannot_fetch;
    long pid = start(launch);
    if (pid != FD_MAP_TOO_FAR)
        return pid;
    cannot_fetch = launch->map.far_by_copy = true; /* what lies far above: copy the table up to there */
    return start(launch);
}

static long start_as(struct launch *launch)
{
    if (!launch->options.ids)
        return start_near_or_far(launch);
    dumpable_hold();
    long pid = start_near_or_far(launch);
    dumpable_restore();
    return pid;
}

static bool is_about_cgroup(const struct launch *launch, long failure)
{
    return launch->options.flags & PROC_CGROUP && launch->report.error == 0 && failure != -EAGAIN && failure != -ENOMEM;
}

int launch_program(struct launch *launch)
{
    if (fd_map_seal(&launch->map, -1) < 0)
        return step_failed("descriptors");
    kernel_sigset mask = signals_block_all();
    long pid = start_as(launch);
    signals_set_mask(mask);
    if (pid < 0) {
        step_failed(is_about_cgroup(launch, pid) ? "cgroup" : launch->report.step);
        return (int)kernel_result(pid);
    }
    process_started(launch->proc, (pid_t)pid, launch->pidfd);
    return 0;
}
