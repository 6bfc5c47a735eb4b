/* The children in a waiter: which of them have ended, found without asking each.
 *
 * A child that has a pidfd is held: the waiter's epoll says when it has ended, at the same cost however many live, and whoever
 * has reaped it. For the others there is SIGCHLD. It names one child, and others may hide behind it: the kernel is asked for
 * any that has ended. A child of other code that has ended and is never reaped hides the rest from that question; then, and
 * some time after each SIGCHLD as well, since other code may have reaped a child of ours, each is asked for itself (a sweep):
 * often enough to be prompt, rarely enough to cost little. */
#ifndef LIBPROC_WATCHED_H
#define LIBPROC_WATCHED_H

#include "adoption.h"
#include "int_map.h"
#include "process_state.h"

#include <proc/waiter.h>
#include <sys/epoll.h>

struct watched {
    struct observer observer; /* the first member */
    struct watched_set *set;
    struct proc *proc; /* NULL: an orphan */
    struct proc_exit orphan_exit;
    void *data;
    enum watched_state { WATCHED_HELD, WATCHED_UNHELD, WATCHED_ENDED } state;
    bool polled; /* it has ended, and yet cannot be reaped: it is asked again and again */
    struct watched *previous, *next; /* of those in its state; not for held ones */
};

struct watched_list {
    struct watched *first, *last;
};

#define WATCHED_BATCH 64

struct watched_set {
    struct ends *ends; /* the waiter's descriptors */
    pid_t owner;
    bool hears; /* SIGCHLD is ours to take */
    size_t count;          /* of children, orphans not among them */
    struct int_map by_pid; /* those that are not reaped: the number of one that is may be another's by now */
    struct watched_list unheld; /* without a pidfd, or of no use */
    struct watched_list ended;  /* reaped, and to be reported */
    size_t polled;              /* of the unheld ones */
    bool bell_rung; /* END_BELL is readable: there are ended ones */
    struct adoption adoption;
    bool in_doubt; /* whether an orphan is one, or there was no memory for it */
    int64_t sweep_at_ns, swept_at_ns, sweep_took_ns; /* sweep_at_ns: NEVER_NS: not at all */
    struct epoll_event batch[WATCHED_BATCH]; /* what epoll has said, and is not served yet; NULL: nothing to serve */
    int batch_next, batch_end;
};

/* Takes a child in. must_hold: without a pidfd it fails. -1 with errno, and the child is as it was. */
int watched_add(struct watched_set *set, struct proc *proc, void *data, bool must_hold);

bool watched_has(const struct watched_set *set, const struct proc *proc);

/* Takes a pending SIGCHLD, if it is ours to take, and reaps all that are then found to have ended. */
void watched_hear(struct watched_set *set);

/* The time has come to ask each for itself. */
void watched_sweep(struct watched_set *set);

/* A held child whose pidfd is readable. True when it is reaped now, and to be reported. */
bool watched_reap_held(struct watched *child);

/* Fills the event in for one that has ended, and lets go of it. */
void watched_report(struct watched *child, struct proc_event *event);

/* Once all is reaped that epoll has named: takes the SIGCHLDs of those, lest anybody is woken by them, and makes END_BELL
 * readable exactly when there are ended ones. */
void watched_settle(struct watched_set *set);

/* Lets go of all. */
void watched_free(struct watched_set *set);

#endif
