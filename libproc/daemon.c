/* A program that goes on as a daemon: with another process, and without all that ties it to where it was started.
 *
 * What can be known before the fork is found out there, above all whether somebody else has the pidfile: so the caller hears of
 * it. handshake.c is how the command hears of the rest. */
#include <proc/daemon.h>

#include "handshake.h"
#include "private_ipc.h"
#include "service.h"
#include "signals.h"
#include "sized_options.h"
#include "stdio_buffers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define USUAL_READY_TIMEOUT_MS 30000
#define LONGEST_MESSAGE 4352 /* with a path in it */

/* ---- the way into the background ---- */

/* Nothing of it has been of use to anybody yet, so nothing of the program's is called. */
static _Noreturn void fail_to_start(struct service *service, const char *what, long result)
{
    char message[LONGEST_MESSAGE];

    pidfile_remove(&service->pidfile, &service->ends);
    snprintf(message, sizeof message, "%s: %s: %s", program_invocation_short_name, what, strerror((int)-result));
    handshake_say_failed(service->ends.fd[END_TO_COMMAND], 1, message);
    for (;;)
        raw(SYS_exit_group, 1);
}

#define FORKS 2 /* from the command to the daemon */

struct departure {
    struct kernel_sigaction of_sigchld; /* ignored, it would hide how children have ended */
    kernel_sigset mask;
};

static void prepare_departure(struct departure *departure)
{
    struct kernel_sigaction usual = {.handler = SIG_DFL};

    stdio_buffers_write(); /* as long as signals end the program that hangs there */
    departure->mask = signals_block_all();
    departure->of_sigchld = signals_action(SIGCHLD);
    signals_set_action(SIGCHLD, &usual);
}

static void undo_departure(const struct departure *departure)
{
    signals_set_action(SIGCHLD, &departure->of_sigchld);
    signals_set_mask(departure->mask);
}

/* No exit handler runs: they are the daemon's. If another thread exits meanwhile, it takes away nothing of what is. */
static _Noreturn void end_command(struct service *service, pid_t keeper, int timeout_ms)
{
    ends_close(&service->ends, END_PIDFILE);
    service_has_left(service);
    private_ipc_disown();
    int status = handshake_wait(&service->ends, keeper, timeout_ms, service->stream_paths[1]);
    if (status != 0) {
        pidfile_clear_away(&service->pidfile, &service->ends);
        private_ipc_take_over(0);
        private_ipc_remove_all();
    }
    if (status < 0) {
        signals_set_default(KERNEL_SIGNAL_BIT(-status));
        raw(SYS_kill, raw(SYS_getpid), -status);
        signals_set_mask(~KERNEL_SIGNAL_BIT(-status));
    }
    for (;;) /* also the first process of a namespace, whom that signal does not end */
        raw(SYS_exit_group, status < 0 ? 128 - status : status);
}

/* Killed with the command, unless that has been killed already. Then nobody waits, and nothing has happened. One in another
 * pid namespace has no number here. */
static void be_tied_to(pid_t command)
{
    raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    long parent = raw(SYS_getppid);
    if (parent != command && parent != 0)
        raw(SYS_exit_group, 1);
}

/* Returns in the daemon only. */
static void become_keeper_of_daemon(struct service *service, pid_t command)
{
    be_tied_to(command);
    if (raw(SYS_getpid) == 1) /* of a new pid namespace, which ends with it */
        fail_to_start(service, "a new pid namespace", -ENOTSUP);
    raw(SYS_setsid);
    ends_close(&service->ends, END_TO_DAEMON);
    pid_t daemon = ends_fork();
    if (daemon == 0)
        return;
    if (daemon < 0)
        fail_to_start(service, "fork", -errno);
    handshake_keep(&service->ends, daemon);
}

static int go_into_background(struct service *service, const struct proc_daemon_options *options)
{
    int timeout_ms = options->ready_timeout_ms ? options->ready_timeout_ms : USUAL_READY_TIMEOUT_MS;
    struct departure departure;
    const char *what = NULL;

    if (handshake_make(&service->ends) < 0)
        return -1;
    pid_t command = (pid_t)raw(SYS_getpid);
    prepare_departure(&departure);
    service_departs();
    pid_t keeper = ends_fork();
    if (keeper > 0)
        end_command(service, keeper, timeout_ms);
    if (keeper < 0) {
        service_arrives(service);
        undo_departure(&departure);
        return -1;
    }
    become_keeper_of_daemon(service, command);
    service_arrives(service);
    stdio_buffers_forget(true);
    private_ipc_take_over(FORKS);
    if (!handshake_has_leave(service->ends.fd[END_TO_COMMAND]))
        fail_to_start(service, "the command", -EPIPE);
    long result = service_settle(service, options->umask, true, &what);
    if (result < 0)
        fail_to_start(service, what, result);
    signals_set_action(SIGCHLD, &departure.of_sigchld);
    return 0;
}

static int stay_in_foreground(struct service *service, const struct proc_daemon_options *options)
{
    kernel_sigset blocked = signals_block(KERNEL_SIGNAL_BIT(SIGXFSZ)); /* of a limit that is below the pidfile's size */
    const char *what;
    siginfo_t info;

    long result = service_settle(service, options->umask, false, &what);
    if (result == -EFBIG)
        signals_take(blocked, &info);
    signals_unblock(blocked);
    return (int)kernel_result(result);
}

static int check(const struct proc_daemon_options *options)
{
    bool right = !(options->flags & ~PROC_DAEMON_FOREGROUND) && !(options->umask & ~(mode_t)0777);

    return right && options->ready_timeout_ms >= -1 ? 0 : (int)kernel_result(-EINVAL);
}

int proc_daemon_sized(const struct proc_daemon_options *given, size_t size)
{
    struct proc_daemon_options options;
    size_t smallest = SIZE_UP_TO(struct proc_daemon_options, flags);

    if (sized_options_copy(&options, sizeof options, smallest, given, size) < 0 || check(&options) < 0)
        return -1;
    struct service *service = service_begin(&options);
    if (!service)
        return -1;
    bool stays = options.flags & PROC_DAEMON_FOREGROUND;
    int result = stays ? stay_in_foreground(service, &options) : go_into_background(service, &options);
    if (result < 0)
        service_end(service);
    else
        signals_set_mask(0);
    return result;
}

pid_t proc_pidfile_read(const char *path)
{
    return path ? pidfile_read(path) : (pid_t)kernel_result(-EINVAL);
}

/* ---- what a daemon says, and does again ---- */

int proc_daemon_ready(void)
{
    struct service *service = service_here();
    int fd = service ? ends_give(&service->ends, END_TO_COMMAND) : -1;

    if (fd < 0)
        return 0;
    long result = handshake_say_ready(fd);
    if (result < 0 && result != -EPIPE) /* it may be said later */
        ends_set(&service->ends, END_TO_COMMAND, fd);
    else
        raw(SYS_close, fd);
    return (int)kernel_result(result);
}

void proc_daemon_fail(int code, const char *message)
{
    struct service *service = service_here();
    int fd = service ? ends_give(&service->ends, END_TO_COMMAND) : -1;

    if ((fd < 0 || handshake_say_failed(fd, code, message) < 0) && message)
        handshake_print(message);
    if (fd >= 0)
        raw(SYS_close, fd);
    exit(code);
}

int proc_daemon_reopen(void)
{
    struct stream_files files = *service_streams();

    long result = stream_files_open(&files, false, NULL);
    if (result == 0)
        result = stream_files_install(&files);
    return (int)kernel_result(result);
}
