/* Finding out that a child has ended, and reaping it.
 *
 * Other code may reap our child (waitpid(-1), SIGCHLD ignored): then the kernel answers ECHILD, the child has ended, and its
 * pidfd says how. A child is named by its pidfd wherever there is one, since by then its number may be another's. */
#include "reap.h"

#include "kernel.h"
#include "pidfd.h"

#include <signal.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* How long between two looks where there is neither a pidfd nor a descriptor free for one. */
#define LOOK_EVERY_MS 5

/* One that reaps at all needs microseconds; one that never does is not waited for. */
#define REAPER_NS INT64_C(200000000)

/* ---- how it ended ---- */

/* Passes the answer on, and notes the time of the first one that says so. */
static int seen_ended(struct proc *proc, int ended)
{
    if (ended == 1 && proc->ended_ns == 0)
        proc->ended_ns = monotonic_ns();
    return ended;
}

static void set_status(struct proc_exit *exit, int code, int signo, bool core_dumped)
{
    exit->code = code;
    exit->signal = signo;
    exit->core_dumped = core_dumped;
}

static void set_reaped_status(struct proc_exit *exit, const siginfo_t *info)
{
    bool killed = info->si_code != CLD_EXITED;

    set_status(exit, killed ? -1 : info->si_status, killed ? info->si_status : 0, info->si_code == CLD_DUMPED);
}

/* The status is set. */
static void record_end(struct proc *proc)
{
    proc->reaped = true;
    seen_ended(proc, 1);
    proc->exit.elapsed_ns = proc->ended_ns - proc->started_ns;
    ends_set_child(&proc->ends, proc->owner, NO_CHILD);
    process_drop_pidfd(proc);
}

/* What the kernel says of a child that others reap: 1: *status is how it ended; 0: it is not reaped yet; -1: it cannot tell. */
static int told_status(const struct proc *proc, int *status)
{
    return proc->ends.fd[END_PIDFD] < 0 ? -1 : pidfd_exit_status(proc->ends.fd[END_PIDFD], status);
}

/* It has ended, and is not ours to reap, or not any more. Other code in our process that reaps it is in the middle of that;
 * a detached child's new parent may be slow, so the caller's deadline counts there: 0 when it has passed. */
static int record_unreaped(struct proc *proc, struct deadline deadline)
{
    int status, told = told_status(proc, &status);

    seen_ended(proc, 1);
    if (told == 0) {
        struct deadline reaper = {proc->ended_ns + REAPER_NS};
        bool sooner = proc->detached && deadline.at_ns < reaper.at_ns;

        pidfd_await_reaper(proc->ends.fd[END_PIDFD], sooner ? deadline : reaper);
        told = told_status(proc, &status);
        if (told == 0 && sooner && monotonic_ns() < reaper.at_ns)
            return 0;
    }
    if (told != 1)
        set_status(&proc->exit, -1, -1, false);
    else if (WIFSIGNALED(status))
        set_status(&proc->exit, -1, WTERMSIG(status), WCOREDUMP(status));
    else
        set_status(&proc->exit, WEXITSTATUS(status), 0, false);
    record_end(proc);
    return 1;
}

/* ---- has it ended? ---- */

/* waitid on the child: 1 when it has ended, 0 when not yet, -1 with errno; ECHILD when it is not there to be waited for. */
static int wait_id(const struct proc *proc, siginfo_t *info, int options, struct rusage *usage)
{
    int pidfd = proc->ends.fd[END_PIDFD];
    long result;

    info->si_pid = 0;
    do
        result = pidfd >= 0 ? raw(SYS_waitid, P_PIDFD, pidfd, info, WEXITED | __WALL | options, usage)
                            : raw(SYS_waitid, P_PID, proc->pid, info, WEXITED | __WALL | options, usage);
    while (result == -EINTR);
    return result < 0 ? (int)kernel_result(result) : info->si_pid != 0;
}

static int reap_own(struct proc *proc, int options, struct deadline deadline)
{
    siginfo_t info = {0};
    int ended = wait_id(proc, &info, options, &proc->exit.usage);

    if (ended < 0 && errno == ECHILD && proc->owner == raw(SYS_getpid))
        return record_unreaped(proc, deadline);
    if (ended == 1) {
        set_reaped_status(&proc->exit, &info);
        record_end(proc);
    }
    return ended;
}

/* Without reaping. A detached child is not ours to ask waitid about, so it needs a pidfd. */
static int look_for_end(struct proc *proc)
{
    siginfo_t info;
    int pidfd = proc->detached ? process_pidfd(proc) : proc->ends.fd[END_PIDFD];

    if (proc->reaped)
        return 1;
    if (pidfd >= 0)
        return deadline_poll(deadline_in(0), &(struct pollfd){.fd = pidfd, .events = POLLIN}, 1);
    if (proc->detached)
        return errno == ESRCH ? 1 : -1;
    int ended = wait_id(proc, &info, WNOHANG | WNOWAIT, NULL);
    return ended < 0 && errno == ECHILD ? 1 : ended;
}

int reap_has_ended(struct proc *proc)
{
    return seen_ended(proc, look_for_end(proc));
}

/* Waits without reaping: 1 when it has ended, 0 when the time ran out, -1. */
static int await_end(struct proc *proc, struct deadline deadline)
{
    siginfo_t info;

    if (deadline.at_ns == INT64_MAX && !proc->detached)
        return wait_id(proc, &info, WNOWAIT, NULL) < 0 && errno != ECHILD ? -1 : 1;
    int pidfd = process_pidfd(proc);

    if (pidfd >= 0)
        return deadline_poll(deadline, &(struct pollfd){.fd = pidfd, .events = POLLIN}, 1);
    if (errno == ESRCH)
        return 1;
    for (;;) {
        int ended = reap_has_ended(proc);

        if (ended != 0)
            return ended;
        if (deadline_left_ns(deadline) == 0)
            return 0;
        deadline_poll(deadline_in(LOOK_EVERY_MS), NULL, 0);
    }
}

int reap_await_end(struct proc *proc, struct deadline deadline)
{
    return seen_ended(proc, await_end(proc, deadline));
}

bool reap_is_there(const struct proc *proc)
{
    siginfo_t info;

    return wait_id(proc, &info, WNOHANG | WNOWAIT, NULL) >= 0;
}

/* ---- reaping it ---- */

int reap_in_time(struct proc *proc, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);

    if (proc->reaped)
        return 1;
    /* A detached child is ours to reap after all where we are the one to whom orphans come. */
    if (timeout_ms > 0 || proc->detached) {
        int ended = reap_await_end(proc, deadline);

        if (ended != 1)
            return ended;
    }
    return reap_own(proc, timeout_ms < 0 ? 0 : WNOHANG, deadline);
}

void reap_by_others(struct proc *proc)
{
    set_status(&proc->exit, -1, -1, false);
    record_end(proc);
}

/* ---- children that are not libproc's ---- */

pid_t reap_look_for_any(void)
{
    siginfo_t info = {0};

    return raw(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT, NULL) < 0 ? 0 : info.si_pid;
}

bool reap_other(pid_t pid, struct proc_exit *exit)
{
    siginfo_t info = {0};

    *exit = (struct proc_exit){.pid = pid};
    if (raw(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG, &exit->usage) < 0 || info.si_pid == 0)
        return false;
    set_reaped_status(exit, &info);
    return true;
}
