/* A program that goes on as a daemon: with another process, and without all that ties it to where it was started.
 *
 * What can be known before the fork is found out there, above all whether somebody else has the pidfile: so the caller hears of
 * it. handshake.c is how the command hears of the rest. The lock of the pidfile is taken by the command and inherited; no
 * other child of the program's, before or after, may have it, or it would outlive the daemon. */
#include <proc/daemon.h>

#include "handshake.h"
#include "orderly_end.h"
#include "pidfile.h"
#include "private_ipc.h"
#include "signals.h"
#include "sized_options.h"
#include "stdio_buffers.h"
#include "stream_files.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define USUAL_READY_TIMEOUT_MS 30000
#define LONGEST_PATH 4096

/* What this process is as a daemon; the strings are its own. */
static struct service {
    bool exists;
    char *cwd;
    char *pidfile_paths[2]; /* its own, and the one beside */
    char *stream_paths[2];  /* of out and err */
    struct stream_files streams;
    struct pidfile pidfile;
    struct ends ends;
} service = {.ends = {.fd = {-1, -1, -1, -1, -1, -1, -1}}};

_Static_assert(ENDS == 7, "an end is not initialised");

/* ---- children of the daemon's are no daemons ---- */

/* The two forks that make it one are for the daemon; what other threads fork meanwhile is not. */
static _Thread_local bool becoming;

/* Without the lock of the ends, which may not be free yet: nobody else is in this process. */
static void be_no_daemon(void)
{
    if (!service.exists || becoming)
        return;
    for (int end = 0; end < ENDS; end++) {
        if (service.ends.fd[end] >= 0)
            raw(SYS_close, service.ends.fd[end]);
        service.ends.fd[end] = -1;
    }
    service.exists = false;
}

static void remove_pidfile(void)
{
    if (service.exists)
        pidfile_remove(&service.pidfile, &service.ends);
}

__attribute__((constructor)) static void stand_by(void)
{
    pthread_atfork(NULL, NULL, be_no_daemon);
    orderly_end_add(remove_pidfile);
}

/* ---- before the fork ---- */

static int check(const struct proc_daemon_options *options)
{
    if (options->flags & ~PROC_DAEMON_FOREGROUND || options->ready_timeout_ms < -1 || options->umask & ~(mode_t)0777)
        return (int)kernel_result(-EINVAL);
    return service.exists ? (int)kernel_result(-EALREADY) : 0;
}

static char *joined(const char *directory, const char *between, const char *name)
{
    size_t size = strlen(directory) + strlen(between) + strlen(name) + 1;
    char *path = malloc(size);

    if (path)
        snprintf(path, size, "%s%s%s", directory, between, name);
    return path;
}

/* Of a relative path the directory is named anew, so that the caller's may be gone later, "../log" or not. If there is no such
 * directory, that is found out when it is used. ENOENT: the caller's has no name. */
static char *absolute(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char before[LONGEST_PATH], directory[LONGEST_PATH];

    snprintf(before, sizeof before, "./%.*s", (int)(name - path), path);
    if (realpath(before, directory))
        return joined(directory, "/", name);
    if (sys(SYS_getcwd, directory, sizeof directory) < 0)
        return NULL;
    errno = ENOENT;
    return directory[0] == '/' ? joined(directory, "/", path) : NULL;
}

static int copy_absolute(char **copy, const char *path)
{
    if (!path)
        return 0;
    *copy = path[0] == '/' ? joined("", "", path) : absolute(path);
    return *copy ? 0 : -1;
}

static int copy_paths(const struct proc_daemon_options *options)
{
    char **pidfile = service.pidfile_paths;

    if (copy_absolute(&service.cwd, options->cwd ? options->cwd : "/") < 0 ||
        copy_absolute(&service.stream_paths[0], options->out) < 0 ||
        copy_absolute(&service.stream_paths[1], options->err) < 0 || copy_absolute(&pidfile[0], options->pidfile) < 0)
        return -1;
    pidfile[1] = pidfile[0] ? joined(pidfile[0], "", "~") : NULL;
    if (pidfile[0] && !pidfile[1])
        return -1;
    service.streams = (struct stream_files){.path = {NULL, service.stream_paths[0], service.stream_paths[1]}};
    service.pidfile = (struct pidfile){.path = pidfile[0], .beside = pidfile[1]};
    return 0;
}

static void free_path(char **path)
{
    free(*path);
    *path = NULL;
}

/* Of one that is none, after all. Keeps errno. */
static void release_service(void)
{
    int saved = errno;

    pidfile_remove(&service.pidfile, &service.ends);
    ends_delist(&service.ends);
    free_path(&service.cwd);
    for (int i = 0; i < 2; i++) {
        free_path(&service.pidfile_paths[i]);
        free_path(&service.stream_paths[i]);
    }
    service.pidfile = (struct pidfile){.path = NULL};
    service.streams = (struct stream_files){.path = {NULL}};
    service.exists = false;
    errno = saved;
}

/* ---- in the daemon ---- */

/* 0, or -errno: *what has failed then. What can be put back is put back. */
static long settle(mode_t umask, bool in_background, const char **what)
{
    mode_t before = (mode_t)raw(SYS_umask, umask);
    long result = stream_files_open(&service.streams, in_background, what);

    if (result == 0) {
        *what = service.pidfile.path;
        result = pidfile_publish(&service.pidfile, &service.ends);
    }
    if (result == 0) {
        *what = service.cwd;
        result = raw(SYS_chdir, service.cwd);
    }
    if (result == 0) {
        *what = "standard streams";
        result = stream_files_install(&service.streams);
    }
    if (result < 0) {
        stream_files_close(&service.streams);
        raw(SYS_umask, before);
    }
    return result;
}

/* Nothing of it has been of use to anybody yet, so nothing of the program's is called. */
static _Noreturn void fail_to_settle(const char *what, long result)
{
    char message[LONGEST_PATH + 256];

    pidfile_remove(&service.pidfile, &service.ends);
    snprintf(message, sizeof message, "%s: %s: %s", program_invocation_short_name, what, strerror((int)-result));
    handshake_say_failed(service.ends.fd[END_TO_COMMAND], 1, message);
    for (;;)
        raw(SYS_exit_group, 1);
}

/* ---- the way into the background ---- */

struct departure {
    struct kernel_sigaction of_sigchld; /* ignored, it would hide how children have ended */
    struct private_ipc *objects;
    kernel_sigset mask;
};

static void prepare_departure(struct departure *departure)
{
    struct kernel_sigaction usual = {.handler = SIG_DFL};

    stdio_buffers_before_fork();
    departure->mask = signals_block_all();
    departure->of_sigchld = signals_action(SIGCHLD);
    departure->objects = private_ipc_all();
    signals_set_action(SIGCHLD, &usual);
}

static void undo_departure(const struct departure *departure)
{
    signals_set_action(SIGCHLD, &departure->of_sigchld);
    signals_set_mask(departure->mask);
}

/* No exit handler runs: they are the daemon's. */
static _Noreturn void end_command(pid_t keeper, int timeout_ms)
{
    fflush(NULL); /* what was printed until now; the daemon forgets it */
    int status = handshake_wait(&service.ends, keeper, timeout_ms, service.stream_paths[1]);
    if (status != 0) {
        pidfile_remove(&service.pidfile, &service.ends);
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

/* Killed with the command, unless that has been killed already. Then nobody waits, and nothing has happened. */
static void be_tied_to(pid_t command)
{
    raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (raw(SYS_getppid) != command)
        raw(SYS_exit_group, 1);
}

/* Returns in the daemon only. */
static void become_keeper_of_daemon(pid_t command)
{
    be_tied_to(command);
    raw(SYS_setsid);
    ends_close(&service.ends, END_TO_DAEMON);
    pid_t daemon = ends_fork();
    if (daemon == 0)
        return;
    if (daemon < 0)
        fail_to_settle("fork", -errno);
    handshake_keep(&service.ends, daemon);
}

static int go_into_background(const struct proc_daemon_options *options)
{
    int timeout_ms = options->ready_timeout_ms ? options->ready_timeout_ms : USUAL_READY_TIMEOUT_MS;
    struct departure departure;
    const char *what = NULL;

    if (handshake_make(&service.ends) < 0)
        return -1;
    pid_t command = (pid_t)raw(SYS_getpid);
    prepare_departure(&departure);
    becoming = true;
    pid_t keeper = ends_fork();
    if (keeper > 0)
        end_command(keeper, timeout_ms);
    if (keeper < 0) {
        becoming = false;
        undo_departure(&departure);
        return -1;
    }
    become_keeper_of_daemon(command);
    becoming = false;
    stdio_buffers_forget(true);
    private_ipc_inherit(departure.objects);
    long result = settle(options->umask, true, &what);
    if (result < 0)
        fail_to_settle(what, result);
    signals_set_action(SIGCHLD, &departure.of_sigchld);
    return 0;
}

static int stay_in_foreground(const struct proc_daemon_options *options)
{
    const char *what;

    return (int)kernel_result(settle(options->umask, false, &what));
}

int proc_daemon_sized(const struct proc_daemon_options *given, size_t size)
{
    struct proc_daemon_options options;
    size_t smallest = SIZE_UP_TO(struct proc_daemon_options, flags);

    if (sized_options_copy(&options, sizeof options, smallest, given, size) < 0 || check(&options) < 0)
        return -1;
    release_service(); /* what this process has of its parent's */
    ends_enlist(&service.ends);
    service.exists = true;
    if (copy_paths(&options) < 0 || pidfile_claim(&service.pidfile, &service.ends, 0644 & ~options.umask) < 0 ||
        (options.flags & PROC_DAEMON_FOREGROUND ? stay_in_foreground(&options) : go_into_background(&options)) < 0) {
        release_service();
        return -1;
    }
    signals_set_mask(0);
    return 0;
}

/* ---- what a daemon says, and does again ---- */

int proc_daemon_ready(void)
{
    int fd = service.exists ? ends_give(&service.ends, END_TO_COMMAND) : -1;

    if (fd < 0)
        return 0;
    long result = handshake_say_ready(fd);
    if (result < 0 && result != -EPIPE) /* it may be said later */
        ends_set(&service.ends, END_TO_COMMAND, fd);
    else
        raw(SYS_close, fd);
    return (int)kernel_result(result);
}

void proc_daemon_fail(int code, const char *message)
{
    int fd = service.exists ? ends_give(&service.ends, END_TO_COMMAND) : -1;

    if ((fd < 0 || handshake_say_failed(fd, code, message) < 0) && message)
        handshake_print(message);
    if (fd >= 0)
        raw(SYS_close, fd);
    exit(code);
}

int proc_daemon_reopen(void)
{
    struct stream_files files = service.streams;

    long result = stream_files_open(&files, false, NULL);
    if (result == 0)
        result = stream_files_install(&files);
    return (int)kernel_result(result);
}
