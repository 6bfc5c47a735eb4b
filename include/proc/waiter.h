/* Many children, signals and alarms behind one descriptor.
 *
 * Events are pulled: the caller's own loop asks for the next one, and may call any function of the library between two of
 * them. A waiter and the children in it are used by one thread at a time. */
#ifndef PROC_WAITER_H
#define PROC_WAITER_H

#include <proc/process.h>
#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_waiter;

#define PROC_WAITER_PIDFD 0x01u /* one descriptor per child, and SIGCHLD is left alone */
#define PROC_WAITER_ADOPT 0x02u /* orphaned descendants become ours, are reaped, and reported */

enum proc_event_type {
    PROC_EVENT_EXIT,   /* a child has ended, is reaped, and has left the waiter; it is still to be given to proc_free */
    PROC_EVENT_SIGNAL, /* a routed signal has come */
    PROC_EVENT_ALARM,  /* an alarm has rung */
    PROC_EVENT_ORPHAN  /* a process that was adopted has ended, and is reaped */
};

struct proc_event {
    enum proc_event_type type;
    void *data;            /* what was registered; NULL for ORPHAN */
    struct proc *proc;     /* EXIT */
    struct proc_exit exit; /* EXIT; ORPHAN, with elapsed_ns 0 */
    int signo;             /* SIGNAL: which, … */
    pid_t sender;          /* … who sent it (0: the kernel), … */
    int value;             /* … and the value given to sigqueue, else 0 */
    int alarm;             /* ALARM: its id, … */
    uint64_t expirations;  /* … and how often it has rung since it was reported last, at least 1 */
};

/* Makes a waiter. Without PROC_WAITER_PIDFD, or with PROC_WAITER_ADOPT, it blocks SIGCHLD in this thread, which has to be
 * blocked in all threads while the waiter lives: make it before them. EBUSY: another waiter of this process has SIGCHLD;
 * EINVAL: unknown flags; EMFILE, ENFILE, ENOMEM. */
struct proc_waiter *proc_waiter_new(unsigned flags);

/* A descriptor that is readable as long as proc_waiter_next has something to return: to be polled, and never read or closed.
 * It stays the same. */
int proc_waiter_fd(const struct proc_waiter *waiter);

/* Watches a child: its end will be reported once, also when it has ended already. The child stays the caller's; waiting for
 * it or freeing it by hand takes it out of the waiter. EEXIST: it is in this waiter; EBUSY: in another one. EINVAL: a child
 * of another process, or the caller's own `self`. EMFILE, ENFILE, ENOSPC (see epoll(7)): with pidfds, or for a detached child,
 * one more is needed, and there is none; the child can be waited for as before. ENOMEM. */
int proc_waiter_add(struct proc_waiter *waiter, struct proc *proc, void *data);

/* Takes a child out, with what was due of it. ENOENT: it is not in this waiter. */
int proc_waiter_remove(struct proc_waiter *waiter, struct proc *proc);

/* Routes a signal to the waiter: it is blocked in this thread and reported as an event. For a routed signal, just replaces
 * data. EBUSY: another waiter has it; EINVAL: no signal that can be blocked, or SIGCHLD in a waiter that needs it itself. */
int proc_waiter_signal(struct proc_waiter *waiter, int signo, void *data);

/* Puts it back as it was. One that is pending is dropped where the program ignores it or leaves it at its default, and
 * delivered to the program's handler otherwise. ENOENT: it is not routed; EINVAL: as above. */
int proc_waiter_unsignal(struct proc_waiter *waiter, int signo);

/* Rings after first_us microseconds (0: at once), and then every every_us (0: only once). Returns the alarm's id, above 0.
 * An alarm that is late does not drift. EINVAL: a negative time; ENOMEM. */
int proc_waiter_alarm(struct proc_waiter *waiter, int64_t first_us, int64_t every_us, void *data);

/* Ends an alarm, and drops what is due of it. ENOENT: there is none of that id, or it rang once and is over. */
int proc_waiter_cancel(struct proc_waiter *waiter, int alarm);

/* Waits up to timeout_ms for the next event. Returns 1 and fills *event, 0 when the time ran out, -1 with errno; ECHILD when
 * asked to wait for ever with neither a child, a signal nor an alarm in the waiter. */
int proc_waiter_next(struct proc_waiter *waiter, struct proc_event *event, int timeout_ms);

/* How many children are in the waiter: added, and neither reported nor taken out. */
size_t proc_waiter_children(const struct proc_waiter *waiter);

/* Lets go of everything, and frees the waiter; to be called by the thread that made it. The children live on, the signal mask
 * and dispositions are as they were before. In a forked child it only frees memory. Keeps errno; accepts NULL. */
void proc_waiter_free(struct proc_waiter *waiter);

/* Sends this process a signal every interval_us microseconds: `which` is ITIMER_REAL (SIGALRM, by the clock),
 * ITIMER_VIRTUAL (SIGVTALRM, by processor time in user mode) or ITIMER_PROF (SIGPROF, by all processor time). 0 or less stops
 * it. The process has one timer of each kind, which children do not inherit. EINVAL: none of the three. */
int proc_alarm(int64_t interval_us, int which);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
