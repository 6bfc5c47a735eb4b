/* A child as an object: from proc_spawn to proc_free, and what can be asked of it at any time. */
#include "process_state.h"

#include "kernel.h"
#include "deadline.h"
#include "launch.h"
#include "options.h"
#include "step.h"

#include <proc.h>
#include <stdlib.h>

struct proc *process_new(const struct proc_options *options, pid_t owner)
{
    struct proc *proc = calloc(1, sizeof *proc);

    if (!proc)
        return NULL;
    ends_enlist(&proc->ends);
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

struct proc *proc_spawn_sized(const struct proc_options *given, size_t size)
{
    struct proc_options options;
    struct launch launch;
    struct proc *proc = NULL;

    if (options_copy(&options, given, size) < 0) {
        step_failed("options");
        return NULL;
    }
    if (launch_plan(&launch, &options) == 0 && launch_run(&launch) == 0) {
        proc = launch.proc;
        launch.proc = NULL;
    }
    launch_release(&launch);
    return proc;
}

pid_t proc_pid(const struct proc *proc)
{
    return proc->pid;
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
    int fd = fd_above_stdio((int)sys(SYS_pidfd_open, proc->pid, 0));
    if (fd >= 0)
        ends_set(&proc->ends, END_PIDFD, fd);
    return fd;
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
    return proc->pid > 0 && !proc->reaped && !proc->detached && proc->owner == raw(SYS_getpid);
}

void proc_free(struct proc *proc)
{
    if (!proc || proc->is_self)
        return;
    int saved = errno;
    if (is_ours_and_runs(proc))
        proc_stop(proc, NULL, 0);
    ends_delist(&proc->ends);
    conversation_free(proc->conversation);
    free(proc);
    if (errno != saved) /* a write for nothing would cost a page's copy after a fork */
        errno = saved;
}

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *proc_version(void)
{
    return VERSION(PROC_VERSION_MAJOR, PROC_VERSION_MINOR, PROC_VERSION_PATCH);
}
