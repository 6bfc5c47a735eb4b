/* Waiting for a child, and ending it.
 *
 * Other code may reap our child (waitpid(-1), SIGCHLD ignored): then the kernel answers ECHILD, the child has ended, and its
 * pidfd says how. A child is named by its pidfd wherever there is one, since by then its number may be another's. */
#include "wait.h"

#include "deadline.h"
#include "kernel.h"
#include "pidfd.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* How long between two looks where there is neither a pidfd nor a descriptor free for one. */
#define LOOK_EVERY_MS 5

static int invalid(void)
{
    errno = EINVAL;
    return -1;
}

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

/* It has ended, and is not ours to reap, or not any more. */
static int record_unreaped(struct proc *proc)
{
    int status;

    if (proc->ends.fd[END_PIDFD] < 0 || !pidfd_exit_status(proc->ends.fd[END_PIDFD], &status))
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

static int reap_own(struct proc *proc, int options)
{
    siginfo_t info = {0};
    int ended = wait_id(proc, &info, options, &proc->exit.usage);

    if (ended < 0 && errno == ECHILD && proc->owner == raw(SYS_getpid))
        return record_unreaped(proc);
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

static int has_ended(struct proc *proc)
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
        int ended = has_ended(proc);

        if (ended != 0)
            return ended;
        if (deadline_left_ns(deadline) == 0)
            return 0;
        deadline_poll(deadline_in(LOOK_EVERY_MS), NULL, 0);
    }
}

static int wait_for_end(struct proc *proc, struct deadline deadline)
{
    return seen_ended(proc, await_end(proc, deadline));
}

static int reap_in_time(struct proc *proc, int timeout_ms)
{
    /* A detached child is ours to reap after all where we are the one to whom orphans come. */
    if (timeout_ms > 0 || proc->detached) {
        int ended = wait_for_end(proc, deadline_in(timeout_ms));

        if (ended != 1)
            return ended;
    }
    return reap_own(proc, timeout_ms < 0 ? 0 : WNOHANG);
}

int wait_reap(struct proc *proc)
{
    return proc->reaped ? 1 : reap_in_time(proc, 0);
}

/* ---- children that are not libproc's ---- */

pid_t wait_look_for_any(void)
{
    siginfo_t info = {0};

    return raw(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT, NULL) < 0 ? 0 : info.si_pid;
}

bool wait_reap_other(pid_t pid, struct proc_exit *exit)
{
    siginfo_t info = {0};

    *exit = (struct proc_exit){.pid = pid};
    if (raw(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG, &exit->usage) < 0 || info.si_pid == 0)
        return false;
    set_reaped_status(exit, &info);
    return true;
}

/* ---- the caller's calls ---- */

int proc_wait(struct proc *proc, struct proc_exit *exit, int timeout_ms)
{
    if (proc->is_self || timeout_ms < -1)
        return invalid();
    if (!proc->reaped) {
        int ended = reap_in_time(proc, timeout_ms);

        if (ended != 1)
            return ended;
    }
    process_leave_observer(proc);
    if (exit)
        *exit = proc->exit;
    return 1;
}

bool proc_running(struct proc *proc)
{
    return !proc->is_self && !proc->reaped && has_ended(proc) != 1;
}

/* ---- signals ---- */

static bool is_signal(int signo)
{
    return signo >= 0 && signo <= KERNEL_SIGNALS;
}

int proc_kill(struct proc *proc, int signo)
{
    if (proc->is_self || !is_signal(signo))
        return invalid();
    if (proc->reaped) {
        errno = ESRCH;
        return -1;
    }
    int pidfd = process_pidfd(proc);
    if (pidfd >= 0)
        return (int)kernel_result(pidfd_kill(pidfd, signo));
    if (errno == ESRCH || proc->detached)
        return -1;
    siginfo_t info;
    if (wait_id(proc, &info, WNOHANG | WNOWAIT, NULL) < 0) { /* no descriptor left, and other code has reaped it */
        errno = ESRCH;
        return -1;
    }
    return (int)sys(SYS_kill, proc->pid, signo);
}

/* By the group's number: right only as long as its leader is there, dead or alive, to hold that number. */
static long kill_group_by_number(struct proc *proc, int signo)
{
    siginfo_t info;

    if (proc->reaped || (!proc->detached && wait_id(proc, &info, WNOHANG | WNOWAIT, NULL) < 0))
        return -ESRCH;
    if (proc->detached && has_ended(proc) != 0)
        return -ESRCH;
    return raw(SYS_kill, -proc->pid, signo);
}

int proc_kill_group(struct proc *proc, int signo)
{
    if (proc->is_self || !proc->leads_group || !is_signal(signo))
        return invalid();
    int pidfd = process_pidfd(proc);
    long result = pidfd >= 0 ? pidfd_kill_group(pidfd, signo) : -EINVAL;
    if (result == -EINVAL)
        result = kill_group_by_number(proc, signo);
    return (int)kernel_result(result);
}

/* To the group where there is one; to a leader that has left its group as well. */
static int signal_all(struct proc *proc, int signo)
{
    int result = proc->leads_group ? proc_kill_group(proc, signo) : proc_kill(proc, signo);

    if (result < 0 && errno == ESRCH && proc->leads_group)
        result = proc_kill(proc, signo);
    return result < 0 && errno == ESRCH ? 0 : result;
}

static int kill_all(struct proc *proc)
{
    if (signal_all(proc, SIGKILL) < 0)
        return -1;
    return proc->leads_group && proc_kill(proc, SIGKILL) < 0 && errno != ESRCH ? -1 : 0;
}

/* ---- stopping ---- */

/* SIGCONT after SIGTERM: a stopped child hears of it only then. */
static int ask_to_end(struct proc *proc, int grace_ms)
{
    if (grace_ms == 0)
        return has_ended(proc) == 1;
    if (signal_all(proc, SIGTERM) < 0 || signal_all(proc, SIGCONT) < 0)
        return -1;
    return wait_for_end(proc, deadline_in(grace_ms));
}

/* Once the leader is reaped the group's number may be a stranger's, so the rest of the group goes before it. */
static int end_group(struct proc *proc)
{
    if (!proc->leads_group)
        return 0;
    return wait_for_end(proc, deadline_in(-1)) < 0 ? -1 : signal_all(proc, SIGKILL);
}

int proc_stop(struct proc *proc, struct proc_exit *exit, int grace_ms)
{
    if (proc->is_self || grace_ms < -1)
        return invalid();
    if (proc->reaped)
        return proc_wait(proc, exit, 0);
    int ended = ask_to_end(proc, grace_ms);
    if (ended < 0)
        return -1;
    if ((ended == 0 && kill_all(proc) < 0) || end_group(proc) < 0 || proc_wait(proc, exit, -1) < 0)
        return -1;
    return ended == 1 ? 1 : 2;
}
