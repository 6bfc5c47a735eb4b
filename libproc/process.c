/* What can be asked of a child at any time, and its end as an object. */
#include "reap.h"

#include "kernel.h"

#include <proc.h>

pid_t proc_pid(const struct proc *proc)
{
    return proc->pid;
}

static int not_for_self(const struct proc *proc)
{
    if (!proc->is_self)
        return 0;
    errno = EINVAL;
    return -1;
}

int proc_pidfd(struct proc *proc)
{
    if (not_for_self(proc) < 0)
        return -1;
    if (proc->reaped && !proc->pidfd_asked_for) {
        errno = ESRCH;
        return -1;
    }
    proc->pidfd_asked_for = true;
    return process_pidfd(proc);
}

static int end_of(const struct proc *proc, enum end end)
{
    if (proc->ends.fd[end] < 0)
        errno = EBADF;
    return proc->ends.fd[end];
}

int proc_fd(const struct proc *proc)
{
    return end_of(proc, END_CHANNEL);
}

int proc_in(const struct proc *proc)
{
    return not_for_self(proc) < 0 ? -1 : end_of(proc, END_IN);
}

int proc_out(const struct proc *proc)
{
    return not_for_self(proc) < 0 ? -1 : end_of(proc, END_OUT);
}

int proc_err(const struct proc *proc)
{
    return not_for_self(proc) < 0 ? -1 : end_of(proc, END_ERR);
}

/* Not the owner: a forked copy of the object, in a process whose business the child is not. */
static bool is_ours_and_runs(const struct proc *proc)
{
    return proc->pid > 0 && !proc->reaped && proc->owner == raw(SYS_getpid);
}

void proc_free(struct proc *proc)
{
    if (!proc || proc->is_self)
        return;
    int saved = errno;
    if (is_ours_and_runs(proc)) {
        if (proc->detached)
            reap_in_time(proc, 0); /* if it has ended, and we are its new parent */
        else
            proc_stop(proc, NULL, 0);
    }
    process_discard(proc);
    if (errno != saved) /* a write for nothing would cost a page's copy after a fork */
        errno = saved;
}

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *proc_version(void)
{
    return VERSION(PROC_VERSION_MAJOR, PROC_VERSION_MINOR, PROC_VERSION_PATCH);
}
