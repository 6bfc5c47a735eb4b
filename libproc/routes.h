/* The signals that go to a waiter: blocked in the thread that made it, and taken from there one by one. */
#ifndef LIBPROC_ROUTES_H
#define LIBPROC_ROUTES_H

#include "signals.h"

struct routes {
    kernel_sigset taken;   /* all that are routed, and SIGCHLD where the waiter itself needs it */
    kernel_sigset blocked; /* those of them that were not blocked before */
    void *data[KERNEL_SIGNALS];
    bool children_revived;                    /* SIGCHLD was ignored, or made children vanish: … */
    struct kernel_sigaction before, instead;  /* … as it was, and what it was set to */
};

/* Claims a signal for this waiter and blocks it. -1 with EBUSY: another waiter of the process has it. */
int routes_take(struct routes *routes, int signo);

/* Takes SIGCHLD, and sees to it that it comes and that children stay until they are reaped. */
int routes_take_children(struct routes *routes);

/* Puts a signal back as it was: a pending one is dropped, or delivered where the program has a handler. */
void routes_give_back(struct routes *routes, int signo);
void routes_give_back_all(struct routes *routes);

#endif
