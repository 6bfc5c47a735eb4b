/* The waiter: one epoll, over the pidfds of the children, a signalfd, a timer and a bell.
 *
 * The epoll's descriptor is the one that the caller polls, and it is to be readable exactly when there is an event. So what
 * the kernel has said is not taken in advance: a child is reaped, and a signal taken, when its event is returned, and until
 * then its own descriptor stays readable. Only children found by a search are gathered; for those the bell rings.
 *
 * SIGCHLDs need care: each child that has a pidfd raises one as well. It is there by the time that the child can be reaped,
 * and is taken away after that, lest it makes the descriptor readable for nothing. (One that other code's child has raised
 * does, once: the kernel cannot tell.) */
#include "alarms.h"
#include "deadline.h"
#include "kernel.h"
#include "routes.h"
#include "watched.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

struct proc_waiter {
    struct ends ends;
    pid_t owner;
    unsigned flags;
    struct watched_set children;
    struct routes routes;
    struct alarms alarms;
    struct timer timer;
    int gathered_in_a_row; /* children that were reported without a look at what else there is */
};

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool needs_sigchld(const struct proc_waiter *waiter)
{
    return !(waiter->flags & PROC_WAITER_PIDFD) || waiter->flags & PROC_WAITER_ADOPT;
}

/* ---- making one ---- */

static long open_epoll(const void *unused)
{
    (void)unused;
    return raw(SYS_epoll_create1, EPOLL_CLOEXEC);
}

static long open_signals(const void *which)
{
    return raw(SYS_signalfd4, -1, which, sizeof(kernel_sigset), SFD_CLOEXEC | SFD_NONBLOCK);
}

static long open_timer(const void *unused)
{
    (void)unused;
    return raw(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

static long open_bell(const void *unused)
{
    (void)unused;
    return raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Opens one end, which epoll shall watch as `source`. */
static int add_end(struct proc_waiter *waiter, enum end end, ends_open_fn *open, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    int fd = ends_open(open, &waiter->routes.taken, &waiter->ends, end);

    return fd < 0 ? -1 : (int)sys(SYS_epoll_ctl, waiter->ends.fd[END_EPOLL], EPOLL_CTL_ADD, fd, &event);
}

static int open_ends(struct proc_waiter *waiter)
{
    int *fd = waiter->ends.fd;

    if (ends_open(open_epoll, NULL, &waiter->ends, END_EPOLL) < 0 ||
        add_end(waiter, END_SIGNALS, open_signals, &fd[END_SIGNALS]) < 0 ||
        add_end(waiter, END_TIMER, open_timer, &fd[END_TIMER]) < 0)
        return -1;
    return add_end(waiter, END_BELL, open_bell, NULL); /* what it rings for is looked at in any case */
}

static int prepare(struct proc_waiter *waiter)
{
    if (needs_sigchld(waiter) && routes_take_children(&waiter->routes) < 0)
        return -1;
    if (open_ends(waiter) < 0)
        return -1;
    return waiter->flags & PROC_WAITER_ADOPT ? adoption_begin(&waiter->children.adoption) : 0;
}

struct proc_waiter *proc_waiter_new(unsigned flags)
{
    if (flags & ~(PROC_WAITER_PIDFD | PROC_WAITER_ADOPT)) {
        errno = EINVAL;
        return NULL;
    }
    struct proc_waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return NULL;
    ends_enlist(&waiter->ends);
    waiter->owner = waiter->children.owner = (pid_t)raw(SYS_getpid);
    waiter->flags = flags;
    waiter->children.ends = &waiter->ends;
    waiter->children.hears = needs_sigchld(waiter);
    waiter->children.timer = &waiter->timer;
    timer_init(&waiter->timer, &waiter->ends);
    if (prepare(waiter) == 0)
        return waiter;
    proc_waiter_free(waiter);
    return NULL;
}

/* What the children and the signals are is the owner's matter: a forked copy just forgets. */
void proc_waiter_free(struct proc_waiter *waiter)
{
    if (!waiter)
        return;
    int saved = errno;
    bool owns = waiter->owner == raw(SYS_getpid);
    if (owns) {
        adoption_end(&waiter->children.adoption);
        routes_give_back_all(&waiter->routes);
    }
    watched_free(&waiter->children);
    alarms_free(&waiter->alarms);
    ends_delist(&waiter->ends);
    free(waiter);
    errno = saved;
}

int proc_waiter_fd(const struct proc_waiter *waiter)
{
    return waiter->ends.fd[END_EPOLL];
}

/* ---- time ---- */

static void set_alarm_timer(struct proc_waiter *waiter)
{
    timer_wish(&waiter->timer, TIMER_ALARM, alarms_next_ns(&waiter->alarms));
}

int proc_waiter_alarm(struct proc_waiter *waiter, int64_t first_us, int64_t every_us, void *data)
{
    if (first_us < 0 || every_us < 0)
        return fail(EINVAL);
    int id = alarms_add(&waiter->alarms, monotonic_ns(), first_us, every_us, data);
    set_alarm_timer(waiter);
    return id;
}

int proc_waiter_cancel(struct proc_waiter *waiter, int alarm)
{
    int result = alarms_cancel(&waiter->alarms, alarm);

    set_alarm_timer(waiter);
    return result;
}

static bool take_time(struct proc_waiter *waiter, struct proc_event *event)
{
    struct rung rung;
    int64_t now = monotonic_ns();

    if (waiter->timer.wish_ns[TIMER_SWEEP] <= now)
        watched_sweep(&waiter->children);
    if (!alarms_ring(&waiter->alarms, now, &rung))
        return false;
    set_alarm_timer(waiter);
    *event = (struct proc_event){
        .type = PROC_EVENT_ALARM, .data = rung.data, .alarm = rung.id, .expirations = rung.expirations};
    return true;
}

/* ---- signals ---- */

static bool can_be_routed(const struct proc_waiter *waiter, int signo)
{
    kernel_sigset never = SIGNALS_OF_THE_C_LIBRARY | KERNEL_SIGNAL_BIT(SIGKILL) | KERNEL_SIGNAL_BIT(SIGSTOP);

    if (needs_sigchld(waiter))
        never |= KERNEL_SIGNAL_BIT(SIGCHLD);
    return signo >= 1 && signo <= KERNEL_SIGNALS && !(never & KERNEL_SIGNAL_BIT(signo));
}

static int set_signals(struct proc_waiter *waiter)
{
    return (int)sys(SYS_signalfd4, waiter->ends.fd[END_SIGNALS], &waiter->routes.taken, sizeof(kernel_sigset), 0);
}

int proc_waiter_signal(struct proc_waiter *waiter, int signo, void *data)
{
    if (!can_be_routed(waiter, signo))
        return fail(EINVAL);
    if (!(waiter->routes.taken & KERNEL_SIGNAL_BIT(signo))) {
        if (routes_take(&waiter->routes, signo) < 0)
            return -1;
        if (set_signals(waiter) < 0) {
            int failure = errno;

            routes_give_back(&waiter->routes, signo);
            return fail(failure);
        }
    }
    waiter->routes.data[signo - 1] = data;
    return 0;
}

int proc_waiter_unsignal(struct proc_waiter *waiter, int signo)
{
    if (!can_be_routed(waiter, signo))
        return fail(EINVAL);
    if (!(waiter->routes.taken & KERNEL_SIGNAL_BIT(signo)))
        return fail(ENOENT);
    routes_give_back(&waiter->routes, signo);
    set_signals(waiter); /* an existing one is given another set: that cannot fail */
    return 0;
}

/* How kill, sigqueue and the like say who sent it; and a child's SIGCHLD names the child. */
static bool has_sender(const siginfo_t *info)
{
    return info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL || info->si_code == SI_MESGQ ||
           info->si_signo == SIGCHLD;
}

static bool has_value(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE || info->si_code == SI_MESGQ || info->si_code == SI_TIMER;
}

static bool take_signal(struct proc_waiter *waiter, struct proc_event *event)
{
    siginfo_t info;
    kernel_sigset own = needs_sigchld(waiter) ? KERNEL_SIGNAL_BIT(SIGCHLD) : 0;
    int signo = signals_take(waiter->routes.taken & ~own, &info);

    if (signo == 0)
        return false;
    *event = (struct proc_event){.type = PROC_EVENT_SIGNAL,
                                 .data = waiter->routes.data[signo - 1],
                                 .signo = signo,
                                 .sender = has_sender(&info) ? info.si_pid : 0,
                                 .value = has_value(&info) ? info.si_value.sival_int : 0};
    return true;
}

/* ---- children ---- */

int proc_waiter_add(struct proc_waiter *waiter, struct proc *proc, void *data)
{
    if (proc->is_self || proc->owner != raw(SYS_getpid))
        return fail(EINVAL);
    if (proc->observer)
        return fail(watched_has(&waiter->children, proc) ? EEXIST : EBUSY);
    return watched_add(&waiter->children, proc, data, waiter->flags & PROC_WAITER_PIDFD);
}

int proc_waiter_remove(struct proc_waiter *waiter, struct proc *proc)
{
    if (!watched_has(&waiter->children, proc))
        return fail(ENOENT);
    process_leave_observer(proc);
    return 0;
}

size_t proc_waiter_children(const struct proc_waiter *waiter)
{
    return waiter->children.count;
}

/* ---- events ---- */

static bool serve(struct proc_waiter *waiter, const void *source, struct proc_event *event)
{
    const int *fd = waiter->ends.fd;

    if (source == &fd[END_TIMER])
        return take_time(waiter, event);
    if (source == &fd[END_SIGNALS]) {
        watched_hear(&waiter->children);
        return take_signal(waiter, event);
    }
    struct watched *child = (struct watched *)source;
    if (!watched_reap_held(child))
        return false;
    watched_report(child, event);
    return true;
}

static bool take_event(struct proc_waiter *waiter, struct proc_event *event)
{
    struct watched_set *children = &waiter->children;

    while (children->batch_next < children->batch_end) {
        struct epoll_event *ready = &children->batch[children->batch_next++];

        if (ready->data.ptr && serve(waiter, ready->data.ptr, event))
            return true;
    }
    if (!children->ended.first || waiter->gathered_in_a_row == WATCHED_BATCH)
        return false;
    waiter->gathered_in_a_row++;
    watched_report(children->ended.first, event);
    return true;
}

static int milliseconds_left(struct deadline deadline)
{
    int64_t left = deadline_left_ns(deadline);

    if (left == INT64_MAX)
        return -1;
    return left / 1000000 >= INT_MAX ? INT_MAX : (int)((left + 999999) / 1000000);
}

/* Returns how many sources are ready, 0 when the time ran out. */
static int look(struct proc_waiter *waiter, struct deadline deadline)
{
    struct watched_set *children = &waiter->children;
    long ready;

    do
        ready = raw(SYS_epoll_pwait, waiter->ends.fd[END_EPOLL], children->batch, WATCHED_BATCH, milliseconds_left(deadline),
                    NULL, sizeof(kernel_sigset));
    while (ready == -EINTR || (ready == 0 && deadline_left_ns(deadline) > 0));
    waiter->gathered_in_a_row = 0;
    children->batch_next = 0;
    children->batch_end = ready > 0 ? (int)ready : 0;
    return (int)kernel_result(ready);
}

static bool awaits_nothing(const struct proc_waiter *waiter)
{
    kernel_sigset own = needs_sigchld(waiter) ? KERNEL_SIGNAL_BIT(SIGCHLD) : 0;

    return !(waiter->flags & PROC_WAITER_ADOPT) && proc_waiter_children(waiter) == 0 && waiter->alarms.count == 0 &&
           !(waiter->routes.taken & ~own);
}

static int wait_for_event(struct proc_waiter *waiter, struct proc_event *event, struct deadline deadline)
{
    while (!take_event(waiter, event)) {
        int ready = look(waiter, deadline);

        if (ready < 0)
            return -1;
        if (ready == 0) /* the timer may be a little late */
            return take_time(waiter, event) || take_event(waiter, event);
    }
    return 1;
}

int proc_waiter_next(struct proc_waiter *waiter, struct proc_event *event, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (timeout_ms == -1 && awaits_nothing(waiter))
        return fail(ECHILD);
    waiter->children.serving = true;
    int result = wait_for_event(waiter, event, deadline_in(timeout_ms));
    watched_settle(&waiter->children);
    waiter->children.serving = false;
    return result;
}
