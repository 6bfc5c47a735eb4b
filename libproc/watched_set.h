/* The set of children in a waiter, and the state that each is in. */
#ifndef LIBPROC_WATCHED_SET_H
#define LIBPROC_WATCHED_SET_H

#include "adoption.h"
#include "int_map.h"
#include "process_state.h"
#include "timer.h"

#include <sys/epoll.h>

struct watched {
    struct observer observer; /* the first member */
    struct watched_set *set;
    struct proc *proc; /* NULL: an orphan */
    struct proc_exit orphan_exit;
    void *data;
    enum watched_state {
        WATCHED_HELD,   /* epoll watches its pidfd */
        WATCHED_UNHELD, /* without a pidfd, or of no use: SIGCHLD tells of it, or it is asked */
        WATCHED_ENDED   /* reaped, and to be reported */
    } state;
    bool polled; /* unheld: it has ended, and yet cannot be reaped, so it is asked again and again */
    struct watched *previous, *next; /* of those in its state; not for held ones */
};

struct watched_list {
    struct watched *first, *last;
};

#define WATCHED_BATCH 64

struct watched_set {
    struct ends *ends; /* the waiter's descriptors */
    struct timer *timer;
    pid_t owner;
    bool serving;          /* proc_waiter_next is at work, and will settle things itself */
    bool hears;            /* SIGCHLD is ours to take */
    size_t count;          /* of children, orphans not among them */
    struct int_map by_pid; /* those that are not reaped: the number of one that is may be another's by now */
    struct watched_list unheld, ended;
    size_t polled;
    bool bell_rung; /* END_BELL is readable: there are ended ones */
    struct adoption adoption;
    bool in_doubt; /* whether there are orphans that have ended */
    int64_t swept_at_ns, sweep_took_ns;
    struct epoll_event batch[WATCHED_BATCH]; /* what epoll has said, and is not served yet; NULL: nothing to serve */
    int batch_next, batch_end;
};

/* Lets epoll watch its pidfd. -1 with errno. */
int watched_hold(struct watched *child);

/* Into another state: with a new child, before it has any, or with one that is in one. */
void watched_enter_unheld(struct watched *child);
void watched_enter_ended(struct watched *child);
void watched_leave_state(struct watched *child);

/* From any other state, once it has been reaped. */
void watched_set_ended(struct watched *child);

/* Reaps it if it has ended. True when it is an ended one now, and was not before. */
bool watched_collect(struct watched *child);

#endif
