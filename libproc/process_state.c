/* The object that stands for a child: made before there is one, and told when there is. */
#include "process_state.h"

#include "deadline.h"
#include "kernel.h"
#include "options.h"

#include <stdlib.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct proc *process_new(const struct proc_options *options, pid_t owner)
{
    struct proc *proc = calloc(1, sizeof *proc);

    if (!proc)
        return NULL;
    ends_enlist(&proc->ends);
    ends_set_child(&proc->ends, owner, 0);
    proc->owner = owner;
    proc->timeout_ms = -1;
    proc->detached = options->flags & PROC_DETACH;
    proc->has_pty = options_use_pty(options);
    proc->leads_group = proc->has_pty || options->flags & (PROC_NEW_GROUP | PROC_NEW_SESSION);
    if (options_use_channel(options))
        proc->channel = options->channel == PROC_NO_CHANNEL ? PROC_STREAM : options->channel;
    proc->started_ns = monotonic_ns();
    return proc;
}

void process_started(struct proc *proc, pid_t pid, int pidfd)
{
    int above = fd_above_stdio(pidfd);

    ends_set_child(&proc->ends, proc->owner, pid);
    proc->pid = proc->exit.pid = pid;
    if (above >= 0)
        ends_set(&proc->ends, END_PIDFD, above);
}

/* Without a channel the child reads its standard input and writes its standard output, where those lead to the parent. */
void process_become_self(struct proc *proc, int channel, const struct proc_options *options)
{
    bool reads = options->in.kind == PROC_STDIO_PIPE || options->in.kind == PROC_STDIO_PTY;
    bool writes = options->out.kind == PROC_STDIO_PIPE || options->out.kind == PROC_STDIO_PTY;

    ends_enlist(&proc->ends);
    proc->ends.fd[END_CHANNEL] = channel;
    proc->ends.fd[END_OUT] = reads ? 0 : -1;
    proc->ends.fd[END_IN] = writes ? 1 : -1;
    proc->is_self = true;
    proc->has_pty = options->out.kind == PROC_STDIO_PTY;
    proc->pid = proc->owner = (pid_t)raw(SYS_getpid);
}

/* Other code may have reaped ours, and the number be a stranger's by now. */
static bool is_child(int pidfd)
{
    siginfo_t info;

    return raw(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) >= 0;
}

static long open_pidfd(const void *pid)
{
    return raw(SYS_pidfd_open, *(const pid_t *)pid, 0);
}

int process_pidfd(struct proc *proc)
{
    int *pidfd = &proc->ends.fd[END_PIDFD];

    if (*pidfd >= 0)
        return *pidfd;
    if (proc->reaped) {
        errno = ESRCH;
        return -1;
    }
    int fd = ends_open(open_pidfd, &proc->pid, &proc->ends, END_PIDFD);
    if (fd < 0 || proc->detached || is_child(fd))
        return fd;
    ends_close(&proc->ends, END_PIDFD);
    errno = ESRCH;
    return -1;
}

void process_drop_pidfd(struct proc *proc)
{
    /* A group's pidfd still serves to signal the rest of it. */
    if (!proc->observer && !proc->pidfd_asked_for && !proc->leads_group)
        ends_close(&proc->ends, END_PIDFD);
}

void process_leave_observer(struct proc *proc)
{
    struct observer *observer = proc->observer;

    if (!observer)
        return;
    observer->let_go(observer);
    proc->observer = NULL;
    if (proc->reaped)
        process_drop_pidfd(proc);
}

void process_discard(struct proc *proc)
{
    if (!proc)
        return;
    process_leave_observer(proc);
    ends_delist(&proc->ends);
    free(proc->unsent);
    free(proc);
}
