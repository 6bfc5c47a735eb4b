/* The program as a service: it goes into the background, tells the command that started it how that went, is alone on its
 * pidfile, and tells a supervisor about itself. */
#ifndef PROC_DAEMON_H
#define PROC_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define PROC_DAEMON_FOREGROUND 0x1u /* no new process and no new session: for supervisors, and to look at it on a terminal */

/* Zero it, fill in what is wanted: zero is the sensible default of every member. The strings are copied; a relative path is
 * relative to the caller's directory, also when it is opened again later. */
struct proc_daemon_options {
    const char *cwd;      /* the daemon's directory; NULL: "/" */
    const char *out;      /* its standard output, appended to, made if need be; NULL: /dev/null, in the foreground as it was */
    const char *err;      /* its standard error, in the same way; it may be the same file */
    const char *pidfile;  /* holds its number as long as it lives; NULL: none */
    mode_t umask;         /* 0 is 0 */
    int ready_timeout_ms; /* how long the command waits for proc_daemon_ready; 0: 30000, -1: for ever */
    unsigned flags;
};

/* Makes the program a daemon: returns 0 in the daemon only, a new process that leads neither a session nor a group. The
 * command that called it never returns: it waits until the daemon calls proc_daemon_ready, and exits with 0; or with the
 * message and the code of proc_daemon_fail; or with a message and 1, because the daemon was killed, or was not ready in time
 * and so is killed now; or with the status with which the daemon has exited, 1 in place of 0. It runs no exit handlers, for
 * these are the daemon's now; what it has printed is written. A command that is ended by SIGINT, SIGTERM, SIGHUP or SIGQUIT
 * while it waits takes the daemon with it.
 *
 * To be called by a program without other threads. The daemon has no blocked signal, /dev/null or the given files as standard
 * streams, and the caller's other descriptors and handlers. Private queues and semaphores are its own; children, held locks,
 * waiters and pools stay the command's: make them afterwards. The pidfile's lock is a descriptor above 2, not to be closed.
 *
 * -1 with errno, in the caller, if it fails before there is a new process. EEXIST: another one runs on that pidfile, see
 * proc_pidfile_read; EINVAL; EALREADY: this process is a daemon; EAGAIN, ENOMEM: no process; what open(2) says of the pidfile.
 * A later failure (the directory, a file of `out` or `err`) ends the command with its message and 1; in the foreground it is
 * -1. */
int proc_daemon_sized(const struct proc_daemon_options *options, size_t options_size);
static inline int proc_daemon(const struct proc_daemon_options *options)
{
    return proc_daemon_sized(options, sizeof *options);
}

/* In the daemon: lets the command that started it exit with 0. Where none waits (in the foreground, a second time, outside a
 * daemon and in a daemon's children) it does nothing and returns 0. -1 with EPIPE: the command was killed meanwhile. */
int proc_daemon_ready(void);

/* In the daemon, before it is ready: ends it, by exit(), and the command, which prints the message (if it is not NULL) and a
 * newline on its standard error, and exits with `code` once the daemon has ended. Anywhere else: prints the message on this
 * process's standard error, and calls exit(code). */
__attribute__((noreturn)) void proc_daemon_fail(int code, const char *message);

/* Opens the files of `out` and `err` anew, for logrotate: those that have been renamed are left. If one cannot be opened, both
 * stay as they are: -1 with errno. Does nothing, and returns 0, where there are none. It is async-signal-safe; a daemon's
 * children call it for themselves. */
int proc_daemon_reopen(void);

/* The number of the daemon that holds the pidfile. -1 with errno. ENOENT: there is no such file; ESRCH: nobody holds it, or
 * there is no number in it; EACCES: this user may not read it. */
pid_t proc_pidfile_read(const char *path);

/* Tells the supervisor that has set NOTIFY_SOCKET (systemd's Type=notify) about this process, in lines like "READY=1",
 * "STATUS=1,000 files", "STOPPING=1", "WATCHDOG=1". Returns 1 when it is sent, 0 where nobody listens, -1 with errno. EINVAL: no
 * text, or no address of a unix socket in NOTIFY_SOCKET; EMSGSIZE: too long; EACCES. */
int proc_notify(const char *state);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
