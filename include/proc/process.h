/* One child: start it, talk to it, wait for it, stop it.
 *
 * Functions return 0 or a count on success and -1 with errno on failure; pointers are NULL with errno. A timeout_ms is
 * in milliseconds on the monotonic clock: -1 for ever, 0 for a try. EINTR never reaches the caller, and no function is a
 * cancellation point but proc_exec and proc_ids_of. Different objects may be used from different threads at once; one
 * object, by one thread at a time. */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* A child; in a callback child, also the child's own view of itself. */
struct proc;

/* What a callback child runs. Its return value is the child's exit status (the low 8 bits). */
typedef int proc_main_fn(struct proc *self, void *arg);

/* What a standard stream of the child is connected to. Use the constants below; zero is PROC_INHERIT. */
enum proc_stdio_kind {
    PROC_STDIO_INHERIT,
    PROC_STDIO_NULL,
    PROC_STDIO_PIPE,
    PROC_STDIO_CHANNEL,
    PROC_STDIO_PTY,
    PROC_STDIO_TO_STDOUT,
    PROC_STDIO_FD,
    PROC_STDIO_READ,
    PROC_STDIO_WRITE,
    PROC_STDIO_APPEND
};

struct proc_stdio {
    enum proc_stdio_kind kind;
    int fd;
    const char *path;
};

#ifdef __cplusplus
#define PROC_STDIO_VALUE(kind, fd, path) (proc_stdio{kind, fd, path})
#else
#define PROC_STDIO_VALUE(kind, fd, path) (struct proc_stdio){kind, fd, path}
#endif

#define PROC_INHERIT PROC_STDIO_VALUE(PROC_STDIO_INHERIT, 0, NULL)      /* the caller's own stream */
#define PROC_NULL PROC_STDIO_VALUE(PROC_STDIO_NULL, 0, NULL)            /* /dev/null */
#define PROC_PIPE PROC_STDIO_VALUE(PROC_STDIO_PIPE, 0, NULL)            /* a pipe; see proc_in, proc_out, proc_err */
#define PROC_CHANNEL PROC_STDIO_VALUE(PROC_STDIO_CHANNEL, 0, NULL)      /* the child's end of the channel */
#define PROC_PTY PROC_STDIO_VALUE(PROC_STDIO_PTY, 0, NULL)              /* a new terminal, the child's controlling one */
#define PROC_TO_STDOUT PROC_STDIO_VALUE(PROC_STDIO_TO_STDOUT, 0, NULL)  /* for err only: wherever out goes */
#define PROC_FD(fd) PROC_STDIO_VALUE(PROC_STDIO_FD, fd, NULL)           /* a descriptor of the caller's, which keeps it */
#define PROC_READ(path) PROC_STDIO_VALUE(PROC_STDIO_READ, 0, path)      /* a file, for reading */
#define PROC_WRITE(path) PROC_STDIO_VALUE(PROC_STDIO_WRITE, 0, path)    /* a file, made or truncated */
#define PROC_APPEND(path) PROC_STDIO_VALUE(PROC_STDIO_APPEND, 0, path)  /* a file, made if need be, written at its end */

/* A socket pair between parent and child. SEQPACKET keeps message boundaries and has an end-of-file; DGRAM has none. */
enum proc_channel { PROC_NO_CHANNEL, PROC_STREAM, PROC_DGRAM, PROC_SEQPACKET };

/* The caller's descriptor `parent` becomes the child's descriptor `child`. */
struct proc_fd {
    int parent;
    int child;
};

/* Who the child becomes. No groups (NULL, 0) means no supplementary groups. */
struct proc_ids {
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t ngroups;
};

struct proc_rlimit {
    int resource; /* RLIMIT_NOFILE, … */
    struct rlimit limit;
};

#define PROC_CLEAR_ENV 0x01u   /* start from an empty environment, not from the caller's */
#define PROC_KEEP_FDS 0x02u    /* a program keeps the descriptors that exec keeps */
#define PROC_NEW_GROUP 0x04u   /* the child leads a process group of its own */
#define PROC_NEW_SESSION 0x08u /* the child leads a session (and so a group) of its own */
#define PROC_DETACH 0x10u      /* the child is not ours to reap, and outlives us */
#define PROC_UMASK 0x20u       /* `umask` is meant */
#define PROC_CGROUP 0x40u      /* `cgroup` is meant */

/* How to start a child. Zero it, fill in what is wanted: zero is the sensible default of every member. Everything that
 * it points to is read during the call only. */
struct proc_options {
    proc_main_fn *main; /* a C function in a forked child … */
    void *arg;
    const char *const *argv; /* … or a program and its arguments, NULL at the end; exactly one of main and argv */
    const char *path;        /* the program's file when argv[0] is not it; without a slash it is searched in PATH */
    struct proc_stdio in, out, err;
    enum proc_channel channel;
    const struct proc_fd *fds; /* mapped as if all at once: any permutation is right */
    size_t nfds;
    const char *const *env; /* "NAME=value" adds or replaces, "NAME" removes; NULL at the end */
    const char *cwd;
    const char *title;                /* callback child: what ps shows */
    const struct proc_ids *ids;       /* groups, then gid, then uid */
    const struct proc_rlimit *limits; /* set before the child gives up any privilege */
    size_t nlimits;
#if defined __GLIBC__ || defined CPU_SETSIZE
    const cpu_set_t *affinity;
#else
    const struct cpu_set_t *affinity; /* musl names the type only with _GNU_SOURCE */
#endif
    size_t affinity_size; /* in bytes */
    int nice;             /* added to the caller's */
    mode_t umask;         /* with PROC_UMASK */
    int death_signal;     /* sent to the child when the *thread* that spawned it ends; 0: none */
    int cgroup;           /* with PROC_CGROUP: a descriptor of a cgroup v2 directory */
    unsigned flags;
};

/* Starts a child. Every failure up to the start of the program (or of main) is reported here, leaves nothing behind, and
 * proc_spawn_step() then names the step that failed. The result is to be given to proc_free. Thread-safe. */
struct proc *proc_spawn_sized(const struct proc_options *options, size_t options_size);
static inline struct proc *proc_spawn(const struct proc_options *options)
{
    return proc_spawn_sized(options, sizeof *options);
}

/* The step at which this thread's last failed proc_spawn, proc_run or proc_exec failed: "execve", "chdir", "setgid", …;
 * "" when none has failed. A constant string. */
const char *proc_spawn_step(void);

/* Looks up a user's ids and groups in the user database, for the `ids` option. ENOENT: no such user. Free the result with
 * proc_ids_free, which accepts NULL and a zeroed struct. */
int proc_ids_of(const char *user, struct proc_ids *ids);
void proc_ids_free(struct proc_ids *ids);

/* The child's process id, also after it has ended; in the child, its own. */
pid_t proc_pid(const struct proc *proc);

/* A pidfd of the child, readable when it has ended. The proc owns it: do not close it. ESRCH once the child was reaped,
 * unless it was asked for before. */
int proc_pidfd(struct proc *proc);

/* This side's end of the channel; -1 with EBADF when there is none. The proc owns it. */
int proc_fd(const struct proc *proc);

/* The parent's ends of the streams that are PROC_PIPE (or the terminal's master side); -1 with EBADF when there is none.
 * They block, are close-on-exec, and belong to the proc. */
int proc_in(const struct proc *proc);
int proc_out(const struct proc *proc);
int proc_err(const struct proc *proc);

/* Whether the child has not ended yet. Reaps nothing; a stopped child is running, a zombie is not. */
bool proc_running(struct proc *proc);

/* Sends a signal to the child. ESRCH once it was reaped: a stranger with the same pid is never signalled. */
int proc_kill(struct proc *proc, int signo);

/* Sends a signal to the child's group. EINVAL unless PROC_NEW_GROUP or PROC_NEW_SESSION (or a terminal) gave it one;
 * ESRCH once the group is empty or can no longer be told from a stranger's. */
int proc_kill_group(struct proc *proc, int signo);

/* How a child ended. exited: code >= 0, signal 0. killed: code -1, signal > 0. Both -1: it ended, and nobody can say how,
 * since other code reaped it. */
struct proc_exit {
    pid_t pid;
    int code;
    int signal;
    bool core_dumped;
    int64_t elapsed_ns; /* from its start until it was seen to have ended */
    struct rusage usage;
};

/* Waits up to timeout_ms for the child to end, and reaps it. Returns 1 and fills *exit (which may be NULL), 0 when the
 * time ran out, -1 with errno. Once reaped, later calls return the same answer at once. */
int proc_wait(struct proc *proc, struct proc_exit *exit, int timeout_ms);

/* Ends the child: SIGTERM and SIGCONT, then SIGKILL after grace_ms (0: at once, -1: never), to its group if it leads one;
 * what is left of that group is killed before the child is reaped. Returns 1 when the child ended by itself or by SIGTERM,
 * 2 when it took SIGKILL, -1 with errno (EPERM: it has become somebody else). */
int proc_stop(struct proc *proc, struct proc_exit *exit, int grace_ms);

/* Closes the proc's descriptors and frees it. A child that still runs is killed (with its group, if it leads one) and
 * reaped: to let one live on, use PROC_DETACH. In a process that did not start the child, it is left alone. Keeps errno. */
void proc_free(struct proc *proc);

/* Whether the child exited with status 0. */
bool proc_exit_ok(const struct proc_exit *exit);

/* "exited with status 3", "killed by SIGSEGV (core dumped)"; cut to size, NUL included. Returns buf. */
char *proc_exit_string(const struct proc_exit *exit, char *buf, size_t size);

/* Reads from the channel, or without one from the child's out (in the child: its in). Returns the bytes read, 0 at
 * end-of-file. ETIMEDOUT; EMSGSIZE when a datagram did not fit (it is gone); EBADF when there is nothing to read from. */
ssize_t proc_read(struct proc *proc, void *buf, size_t size);

/* Writes all of data to the channel, or without one to the child's in (in the child: its out). Returns size; less, but not
 * 0, when the time ran out after some bytes. ETIMEDOUT; EPIPE (never SIGPIPE); EMSGSIZE; EBADF. */
ssize_t proc_write(struct proc *proc, const void *data, size_t size);

/* Limits each later proc_read, proc_write, proc_send_fd and proc_recv_fd, and the proc_close of a terminal that is full; -1,
 * the default: no limit, 0: a try. */
int proc_set_timeout(struct proc *proc, int timeout_ms);

#define PROC_CLOSE_IN 0x01    /* the child's in: it reads end-of-file */
#define PROC_CLOSE_OUT 0x02   /* the child's out: its writes fail */
#define PROC_CLOSE_ERR 0x04   /* the child's err */
#define PROC_CLOSE_READ 0x08  /* the reading half of what proc_read uses */
#define PROC_CLOSE_WRITE 0x10 /* the writing half of what proc_write uses */

/* Closes this side's ends; EBADF, and nothing is closed, when one of them is not open. Both halves of the channel: all of
 * it. Closing the `in` of a terminal sends its end-of-file character. */
int proc_close(struct proc *proc, int ends);

/* Passes a descriptor over the channel. The sender keeps its own; the receiver owns what it got, which is close-on-exec and
 * above 2. proc_recv_fd: EPIPE at end-of-file, ENOMSG for a message that carries no descriptor,
 * EMFILE when there is no room for it. */
int proc_send_fd(struct proc *proc, int fd);
int proc_recv_fd(struct proc *proc);

/* In a callback child: becomes a program, keeping its streams. path, without a slash, is searched in PATH; env changes the
 * environment as in the options. Returns only on failure, -1 with errno. */
int proc_exec(const char *path, const char *const *argv, const char *const *env);

/* What a child wrote, and how it ended. Zero it, set `limit` if wanted, free it with proc_output_free. */
struct proc_output {
    char *out; /* both end in a NUL that is not counted; never NULL after a call that did not fail */
    size_t out_size;
    char *err;
    size_t err_size;
    struct proc_exit exit;
    size_t limit; /* bytes of out and err together; 0: none. More: the child is stopped, EFBIG, what came is kept */
};

/* Feeds input to the child's in, closes it, drains out and err, and reaps the child, all at once, so that no amount of data
 * deadlocks. Returns 1 when the child has ended and what it wrote is drained (a grandchild may still hold the pipes), 0 when
 * the time ran out: then the child runs on, what came is in *output, input that was not taken is remembered, and the call may
 * be repeated with the same output and no input. -1 with errno: EFBIG, ENOMEM, …. output may be NULL: what comes is dropped. */
int proc_communicate(struct proc *proc, const void *input, size_t size, struct proc_output *output, int timeout_ms);

/* Spawns, communicates, frees. out and err are captured and in is fed from input (PROC_NULL without one) where the options
 * leave them at PROC_INHERIT. Returns 1, or 0 when the time ran out (the child is stopped, what came is kept), or -1 with
 * errno. Always free the output. */
int proc_run_sized(const struct proc_options *options, size_t options_size, const void *input, size_t size,
                   struct proc_output *output, int timeout_ms);
static inline int proc_run(const struct proc_options *options, const void *input, size_t size, struct proc_output *output,
                           int timeout_ms)
{
    return proc_run_sized(options, sizeof *options, input, size, output, timeout_ms);
}

/* Frees what is in the output and zeroes it, but for `limit`. Accepts NULL. */
void proc_output_free(struct proc_output *output);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *proc_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
