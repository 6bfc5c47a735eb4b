/* Starting a child by fork: callback children, and programs where memory cannot be shared.
 *
 * The child waits at a gate until its parent has its pidfd. Then it says over a socket pair how its set-up went; nothing is
 * said, and no pair is made, where there is none. A detached child is forked by a process in between, which ends at once. */
#include "callback.h"
#include "child.h"
#include "clone.h"
#include "deadline.h"
#include "gate.h"
#include "step.h"
#include "stdio_buffers.h"

#include <poll.h>
#include <sys/socket.h>

static bool reports(const struct launch *launch)
{
    return launch->options.argv || launch->options.flags & PROC_DETACH || launch_has_set_up(launch);
}

/* ---- in the child ---- */

/* Every word names the child, so that a detached one may even be heard before the process in between. */
static void say(struct launch *launch)
{
    int fd = launch->ends.fd[END_REPORT];

    if (fd < 0)
        return;
    if (launch->report.pid == 0)
        launch->report.pid = (pid_t)raw(SYS_getpid);
    while (raw(SYS_sendto, fd, &launch->report, sizeof launch->report, MSG_NOSIGNAL, NULL, 0) == -EINTR)
        ;
}

static void say_ready(struct launch *launch)
{
    launch->report = (struct report){.error = 0};
    say(launch);
    ends_close(&launch->ends, END_REPORT);
}

static _Noreturn void become_child(struct launch *launch)
{
    int status = 127;
    kernel_sigset inherited = gate_pass();

    signals_set_default(launch->options.main ? inherited & ~SIGNALS_OF_THE_C_LIBRARY : inherited);
    launch->handlers_cleared = true;
    if (launch->options.main)
        callback_live(launch, say_ready);
    else
        status = child_become_program(launch);
    say(launch);
    for (;;)
        raw(SYS_exit_group, status);
}

static _Noreturn void become_parent_of_detached(struct launch *launch)
{
    long pid = ends_fork();

    if (pid == 0)
        become_child(launch);
    launch->report = (struct report){.pid = (pid_t)pid, .error = pid < 0 ? errno : 0, .step = "clone"};
    say(launch);
    for (;;)
        raw(SYS_exit_group, 0);
}

/* ---- in the parent ---- */

/* Waits for the child's word, or its end: a stranger's forked child may hold the socket open, so end-of-file alone will not
 * do. A child that was killed on the way is one that started: its exit says the rest. */
static bool hear(struct launch *launch)
{
    int fd = launch->proc->ends.fd[END_REPORT];
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = launch->pidfd, .events = POLLIN}};

    bool ready = deadline_poll(deadline_in(-1), fds, launch->pidfd >= 0 ? 2 : 1) > 0;
    long result;
    do
        result = raw(SYS_recvfrom, fd, &launch->report, sizeof launch->report, ready ? MSG_DONTWAIT : 0, NULL, NULL);
    while (result == -EINTR);
    return result == sizeof launch->report;
}

/* Its number is sure to be its own until it has passed the gate. Without a pidfd, if there is no room for one. */
static void take_hold(struct launch *launch, long pid)
{
    launch->pidfd = (int)raw(SYS_pidfd_open, pid, 0);
    gate_open((pid_t)pid);
}

static long hear_of_detached(struct launch *launch, long middle)
{
    bool heard = hear(launch);
    long pid = launch->report.pid;

    clone_reap(middle);
    if (!heard)
        return -ECHILD;
    if (launch->report.error)
        return -launch->report.error;
    take_hold(launch, pid);
    return pid;
}

static long hear_of_child(struct launch *launch, long pid)
{
    bool detached = launch->options.flags & PROC_DETACH;

    if (!detached)
        take_hold(launch, pid);
    ends_close(&launch->ends, END_REPORT); /* so that the child's is the only one */
    if (detached)
        pid = hear_of_detached(launch, pid);
    if (pid < 0 || !reports(launch) || !hear(launch) || launch->report.error == 0)
        return pid;
    if (!detached)
        clone_reap(pid);
    if (launch->pidfd >= 0)
        raw(SYS_close, launch->pidfd);
    return -launch->report.error;
}

static long fork_child(struct launch *launch)
{
    kernel_sigset mask = signals_block_all();

    long pid = ends_fork();
    int failure = errno;
    if (pid == 0 && launch->options.flags & PROC_DETACH)
        become_parent_of_detached(launch);
    if (pid == 0)
        become_child(launch);
    pid = pid < 0 ? -failure : hear_of_child(launch, pid);
    ends_close(&launch->proc->ends, END_REPORT);
    signals_set_mask(mask);
    return pid;
}

static int make_report_pair(struct launch *launch)
{
    if (!reports(launch))
        return 0;
    if (ends_create(ends_make_socketpair, SOCK_SEQPACKET, &launch->proc->ends, END_REPORT, &launch->ends, END_REPORT) < 0)
        return -1;
    return launch_keep_clear(launch, END_REPORT);
}

int launch_forked(struct launch *launch)
{
    launch->shares_table = launch->handlers_cleared = false;
    launch->joins_cgroup = launch->options.flags & PROC_CGROUP;
    launch->pidfd = -1;
    if (make_report_pair(launch) < 0 || fd_map_seal(&launch->map, launch->ends.fd[END_REPORT]) < 0)
        return step_failed("pipe");
    launch->report = (struct report){.step = "clone"};
    stdio_buffers_before_fork();
    long pid = fork_child(launch);
    if (pid < 0) {
        step_failed(launch->report.step);
        return (int)kernel_result(pid);
    }
    process_started(launch->proc, (pid_t)pid, launch->pidfd);
    return 0;
}
