/* Taking children in, finding out which have ended, and letting them go. */
#include "watched.h"

#include "deadline.h"
#include "kernel.h"
#include "reap.h"
#include "signals.h"

#include <stdlib.h>
#include <sys/resource.h>

#define MS INT64_C(1000000)

/* A child whose SIGCHLD was lost because other code reaped it is found this much later. */
#define FOLLOW_UP_NS (500 * MS)

/* Where other code's dead hide ours: as often as this, unless it takes more than 1/16 of the time. */
#define SWEEP_EVERY_NS (2 * MS)
#define SWEEP_SHARE 16

/* For a tracer to let go, or a detached child's new parent to reap it: neither may raise a SIGCHLD here. */
#define POLL_EVERY_NS (20 * MS)

/* ---- when to ask each ---- */

static void sweep_by(struct watched_set *set, int64_t at_ns)
{
    if (at_ns < set->timer->wish_ns[TIMER_SWEEP])
        timer_wish(set->timer, TIMER_SWEEP, at_ns);
}

static void sweep_soon(struct watched_set *set)
{
    int64_t rest = SWEEP_SHARE * set->sweep_took_ns;

    sweep_by(set, set->swept_at_ns + (rest > SWEEP_EVERY_NS ? rest : SWEEP_EVERY_NS));
}

/* Its pidfd is readable, and yet it is not to be reaped: a tracer has it first, or its new parent. The kernel would go on
 * saying so. */
static void set_polled(struct watched *child)
{
    watched_leave_state(child);
    watched_enter_unheld(child);
    child->polled = true;
    child->set->polled++;
    sweep_by(child->set, monotonic_ns() + POLL_EVERY_NS);
}

/* ---- coming and going ---- */

static void let_go(struct observer *observer)
{
    struct watched *child = (struct watched *)observer;
    struct watched_set *set = child->set;

    if (child->state != WATCHED_ENDED)
        int_map_remove(&set->by_pid, child->proc->pid);
    watched_leave_state(child);
    set->count--;
    if (!set->serving)
        watched_settle(set);
    free(child);
}

/* The lower half of the descriptor table is enough for pidfds that are not asked for: the rest is the program's. */
static bool is_spare(int pidfd)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    return (rlim_t)pidfd < limit.rlim_cur / 2;
}

static int hold_if_possible(struct watched *child, bool must_hold)
{
    struct proc *proc = child->proc;
    bool had_pidfd = proc->ends.fd[END_PIDFD] >= 0;

    must_hold |= proc->detached; /* its end raises no SIGCHLD here */
    if (process_pidfd(proc) < 0)
        return must_hold && errno != ESRCH ? -1 : 0;
    bool wants_pidfd = must_hold || proc->pidfd_asked_for || proc->leads_group || is_spare(proc->ends.fd[END_PIDFD]);
    if (wants_pidfd && watched_hold(child) == 0)
        return 0;
    if (!wants_pidfd || !had_pidfd)
        ends_close(&proc->ends, END_PIDFD);
    return must_hold ? -1 : 0;
}

/* A new child has the number of this one, which therefore must be gone. Without a pidfd, to ask for it would be to ask for the
 * new one. */
static void make_way(struct watched *child)
{
    if (child->proc->ends.fd[END_PIDFD] >= 0 && watched_collect(child))
        return;
    reap_by_others(child->proc);
    watched_set_ended(child);
}

static void enter(struct watched *child)
{
    struct watched_set *set = child->set;

    child->proc->observer = &child->observer;
    set->count++;
    if (child->proc->reaped) {
        watched_enter_ended(child);
        return;
    }
    struct watched *gone = int_map_get(&set->by_pid, child->proc->pid);
    if (gone)
        make_way(gone);
    int_map_put(&set->by_pid, child->proc->pid, child);
    if (child->state == WATCHED_UNHELD) {
        watched_enter_unheld(child);
        watched_collect(child); /* its SIGCHLD may have come before */
    }
}

int watched_add(struct watched_set *set, struct proc *proc, void *data, bool must_hold)
{
    struct watched *child = malloc(sizeof *child);

    if (!child)
        return -1;
    *child = (struct watched){.observer = {let_go}, .set = set, .proc = proc, .data = data, .state = WATCHED_UNHELD};
    if (int_map_reserve(&set->by_pid) < 0 || (!proc->reaped && hold_if_possible(child, must_hold) < 0)) {
        free(child);
        return -1;
    }
    enter(child);
    watched_settle(set);
    return 0;
}

bool watched_has(const struct watched_set *set, const struct proc *proc)
{
    return proc->observer && ((struct watched *)proc->observer)->set == set;
}

/* ---- who has ended? ---- */

bool watched_reap_held(struct watched *child)
{
    if (reap_in_time(child->proc, 0) == 1)
        return true;
    set_polled(child);
    return false;
}

/* What has been reaped has to be reported, so there is memory for it first. An orphan that is not to be reaped, since a tracer
 * has it or its other threads live on, raises a SIGCHLD when it is. */
static bool collect_orphan(struct watched_set *set, pid_t pid)
{
    struct watched *orphan = calloc(1, sizeof *orphan);

    if (!orphan) {
        set->in_doubt = true;
        return false;
    }
    orphan->set = set;
    if (!reap_other(pid, &orphan->orphan_exit)) {
        free(orphan);
        return false;
    }
    watched_enter_ended(orphan);
    return true;
}

static bool collect_if_adopted(struct watched_set *set, pid_t pid)
{
    enum adopted adopted = adoption_has(&set->adoption, pid);

    set->in_doubt |= adopted == ADOPTED_IN_DOUBT;
    return adopted == ADOPTED && collect_orphan(set, pid);
}

/* The one that the signal names needs no search; others may hide behind it. */
static void collect_ended(struct watched_set *set, pid_t named)
{
    struct watched *child = int_map_get(&set->by_pid, named);
    pid_t pid;

    if (child && child->state == WATCHED_UNHELD)
        watched_collect(child);
    if (!set->unheld.first && !set->adoption.begun)
        return;
    while ((pid = reap_look_for_any()) > 0) {
        child = int_map_get(&set->by_pid, pid);
        if (child ? !watched_collect(child) : !collect_if_adopted(set, pid)) {
            sweep_soon(set);
            return;
        }
    }
    if (set->unheld.first)
        sweep_by(set, monotonic_ns() + FOLLOW_UP_NS);
}

/* One is pending at most, however many children have ended. */
void watched_hear(struct watched_set *set)
{
    siginfo_t info;

    if (set->hears && signals_take(KERNEL_SIGNAL_BIT(SIGCHLD), &info))
        collect_ended(set, info.si_pid);
}

static void sweep_orphan(void *set, pid_t zombie)
{
    if (!int_map_get(&((struct watched_set *)set)->by_pid, zombie))
        collect_if_adopted(set, zombie);
}

void watched_sweep(struct watched_set *set)
{
    int64_t start = monotonic_ns();

    set->in_doubt = false;
    for (struct watched *child = set->unheld.first, *next; child; child = next) {
        next = child->next;
        watched_collect(child);
    }
    if (set->adoption.begun && adoption_each_zombie(sweep_orphan, set) < 0)
        set->in_doubt = true;
    set->swept_at_ns = monotonic_ns();
    set->sweep_took_ns = set->swept_at_ns - start;
    timer_wish(set->timer, TIMER_SWEEP, NEVER_NS);
    if (set->polled > 0)
        sweep_by(set, set->swept_at_ns + POLL_EVERY_NS);
    if (set->in_doubt)
        sweep_soon(set);
}

/* ---- reporting ---- */

static void discard_ended(struct watched *child)
{
    if (child->proc) {
        process_leave_observer(child->proc);
        return;
    }
    watched_leave_state(child);
    free(child);
}

void watched_report(struct watched *child, struct proc_event *event)
{
    if (child->proc)
        *event = (struct proc_event){
            .type = PROC_EVENT_EXIT, .data = child->data, .proc = child->proc, .exit = child->proc->exit};
    else
        *event = (struct proc_event){.type = PROC_EVENT_ORPHAN, .exit = child->orphan_exit};
    discard_ended(child);
}

static bool is_child(const struct watched_set *set, const void *source)
{
    const int *other = source;

    return other && (other < set->ends->fd || other >= set->ends->fd + ENDS);
}

static bool has_more_in_batch(const struct watched_set *set)
{
    for (int i = set->batch_next; i < set->batch_end; i++)
        if (is_child(set, set->batch[i].data.ptr))
            return true;
    return false;
}

static void ring(struct watched_set *set, bool rings)
{
    uint64_t one = 1;

    if (rings == set->bell_rung)
        return;
    if (rings)
        raw(SYS_write, set->ends->fd[END_BELL], &one, sizeof one);
    else
        raw(SYS_read, set->ends->fd[END_BELL], &one, sizeof one);
    set->bell_rung = rings;
}

/* A forked copy of the waiter shares signals and bell with nobody, or with its parent: it leaves them alone. */
void watched_settle(struct watched_set *set)
{
    if (!set->serving && set->owner != raw(SYS_getpid))
        return;
    if (!has_more_in_batch(set)) /* or the signals of those are taken with theirs */
        watched_hear(set);
    ring(set, set->ended.first != NULL);
}

void watched_free(struct watched_set *set)
{
    struct watched *child;

    set->hears = false;
    for (size_t place = 0; (child = int_map_from(&set->by_pid, &place));)
        process_leave_observer(child->proc);
    for (struct watched *next = set->ended.first; (child = next);) {
        next = child->next;
        discard_ended(child);
    }
    int_map_free(&set->by_pid);
    adoption_free(&set->adoption);
}
