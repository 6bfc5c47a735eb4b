/* Waiting for a child, signalling it, and ending it. */
#include "reap.h"

#include "kernel.h"
#include "pidfd.h"

#include <signal.h>

static int invalid(void)
{
    errno = EINVAL;
    return -1;
}

/* ---- waiting ---- */

int proc_wait(struct proc *proc, struct proc_exit *exit, int timeout_ms)
{
    if (proc->is_self || timeout_ms < -1)
        return invalid();
    int ended = reap_in_time(proc, timeout_ms);
    if (ended != 1)
        return ended;
    process_leave_observer(proc);
    if (exit)
        *exit = proc->exit;
    return 1;
}

bool proc_running(struct proc *proc)
{
    return !proc->is_self && !proc->reaped && reap_has_ended(proc) != 1;
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
    if (!reap_is_there(proc)) { /* no descriptor left, and other code has reaped it */
        errno = ESRCH;
        return -1;
    }
    return (int)sys(SYS_kill, proc->pid, signo);
}

/* By the group's number: right only as long as its leader is there, dead or alive, to hold that number. */
static long kill_group_by_number(struct proc *proc, int signo)
{
    if (proc->reaped || (!proc->detached && !reap_is_there(proc)))
        return -ESRCH;
    if (proc->detached && reap_has_ended(proc) != 0)
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
        return reap_has_ended(proc) == 1;
    if (signal_all(proc, SIGTERM) < 0 || signal_all(proc, SIGCONT) < 0)
        return -1;
    return reap_await_end(proc, deadline_in(grace_ms));
}

/* Once the leader is reaped the group's number may be a stranger's, so the rest of the group goes before it. */
static int end_group(struct proc *proc)
{
    if (!proc->leads_group)
        return 0;
    return reap_await_end(proc, deadline_in(-1)) < 0 ? -1 : signal_all(proc, SIGKILL);
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
