/* The descriptors that belong to children: the parent's ends of their streams and channels, while a child is being started
 * the child's ends, and those of the waiters. And so, which children there are.
 *
 * No other child may hold any of them, or end-of-file would never arrive. Programs are safe, since all are close-on-exec.
 * A forked child is not: so every set of ends is on one list, which the child walks to close them, and one lock makes
 * "create and record", "close and forget" and "fork" exclude each other. */
#ifndef LIBPROC_ENDS_H
#define LIBPROC_ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum end {
    END_IN, END_OUT, END_ERR, END_CHANNEL, END_PTY, END_REPORT, END_PIDFD, ENDS,
    END_EPOLL = 0, END_SIGNALS, END_TIMER, END_BELL,  /* a waiter's */
    END_PIDFILE = 0, END_TO_COMMAND, END_TO_DAEMON    /* a daemon's */
};

struct ends {
    struct ends *previous, *next;
    unsigned generation;  /* of forked children: in a later one it is on no list, and its descriptors are none of that one's */
    int fd[ENDS];         /* -1: none */
    pid_t parent, child;  /* child: NO_CHILD, or 0 as long as it has no number yet */
};

#define NO_CHILD (-1)

void ends_enlist(struct ends *ends);
void ends_close(struct ends *ends, enum end end);
void ends_delist(struct ends *ends); /* closes them all */

/* Of which child of which process they are, from before it is made (0) until it has been reaped (NO_CHILD). */
void ends_set_child(struct ends *ends, pid_t parent, pid_t child);

/* Whether a child of this process is one of ours. In doubt: not known, since one of ours is just being started. */
enum ends_whose { WHOSE_OTHER, WHOSE_OURS, WHOSE_IN_DOUBT } ends_whose(pid_t child);

void ends_set(struct ends *ends, enum end end, int fd);
int ends_give(struct ends *ends, enum end end); /* returns the descriptor, and forgets it */

/* Creates a pair of close-on-exec descriptors with `make`, moves them above 2, and records one in each set. */
typedef int ends_make_fn(int pair[2], int argument);
int ends_create(ends_make_fn *make, int argument, struct ends *one, enum end one_end, struct ends *other, enum end other_end);
int ends_make_pipe(int pair[2], int unused);
int ends_make_socketpair(int pair[2], int type);

/* Creates one descriptor, in the same way. `open` returns it, or -errno. */
typedef long ends_open_fn(const void *argument);
int ends_open(ends_open_fn *open, const void *argument, struct ends *ends, enum end end);

int ends_dup(struct ends *ends, enum end from, enum end to);

/* Renumbers a descriptor to `above` or more. */
int ends_lift(struct ends *ends, enum end end, int above);

/* In a forked child: these are its own, too, and on no list of anybody's. */
void ends_keep(struct ends *ends);

/* fork(), at a moment when every end of the process is on the list. In the child, `keep` says which stay open. */
int ends_fork(void);
void ends_close_inherited(bool (*keep)(const void *context, int fd), const void *context);

/* Moves a fresh descriptor above the three standard ones. Takes it over: closes it on failure. Accepts -1. */
int fd_above_stdio(int fd);

#endif
