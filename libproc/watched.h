/* The children in a waiter: which of them have ended, found without asking each.
 *
 * A child that has a pidfd is held: the waiter's epoll says when it has ended, at the same cost however many live, and whoever
 * has reaped it. For the others there is SIGCHLD. It names one child, and others may hide behind it: the kernel is asked for
 * any that has ended. A child of other code that has ended and is never reaped hides the rest from that question; then, and
 * some time after each SIGCHLD as well, since other code may have reaped a child of ours, each is asked for itself (a sweep):
 * often enough to be prompt, rarely enough to cost little. */
#ifndef LIBPROC_WATCHED_H
#define LIBPROC_WATCHED_H

#include "watched_set.h"

#include <proc/waiter.h>

/* Takes a child in. must_hold: without a pidfd it fails. -1 with errno, and the child is as it was. */
int watched_add(struct watched_set *set, struct proc *proc, void *data, bool must_hold);

bool watched_has(const struct watched_set *set, const struct proc *proc);

/* Takes a pending SIGCHLD, if it is ours to take, and reaps all that are then found to have ended. */
void watched_hear(struct watched_set *set);

/* The time of TIMER_SWEEP has come. */
void watched_sweep(struct watched_set *set);

/* A held child whose pidfd is readable. True when it is reaped now, and to be reported. */
bool watched_reap_held(struct watched *child);

/* Fills the event in for one that has ended, and lets go of it. */
void watched_report(struct watched *child, struct proc_event *event);

/* To be called last, whatever was done: nobody is to be woken by the SIGCHLDs of children that are reaped, and everybody by
 * ended ones. */
void watched_settle(struct watched_set *set);

/* Lets go of all. */
void watched_free(struct watched_set *set);

#endif
