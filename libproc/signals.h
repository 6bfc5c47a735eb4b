/* Signal masks and dispositions: around the start of a child, where none may run a handler of the parent's in it, and for the
 * signals that go to a waiter. Raw system calls only. */
#ifndef LIBPROC_SIGNALS_H
#define LIBPROC_SIGNALS_H

#include "kernel.h"

#include <signal.h>
#include <stdbool.h>

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    kernel_sigset mask;
};

/* Blocks every signal in this thread, the C library's own included, and returns the mask that was set. */
kernel_sigset signals_block_all(void);
void signals_set_mask(kernel_sigset mask);

/* The signals whose disposition no child shall have: caught ones, and SIGPIPE and SIGCHLD where they are ignored. What else
 * is ignored stays so, for nohup's sake. */
kernel_sigset signals_not_for_children(void);

/* Those of them that are no matter of handlers. */
#define SIGNALS_NEVER_IGNORED (KERNEL_SIGNAL_BIT(SIGPIPE) | KERNEL_SIGNAL_BIT(SIGCHLD))

/* The C library's own, which a child that goes on in C keeps: they are needed there, and installed but once. */
#ifdef __GLIBC__
#define SIGNALS_OF_THE_C_LIBRARY (KERNEL_SIGNAL_BIT(32) | KERNEL_SIGNAL_BIT(33))
#else
#define SIGNALS_OF_THE_C_LIBRARY (KERNEL_SIGNAL_BIT(32) | KERNEL_SIGNAL_BIT(33) | KERNEL_SIGNAL_BIT(34))
#endif

void signals_set_default(kernel_sigset which);

struct kernel_sigaction signals_action(int signo);
void signals_set_action(int signo, const struct kernel_sigaction *action);

/* Runs the handler at each such signal; once: only at the first, which is at its default from then on. Nothing else knows of
 * it, as the sanitizers know of what the C library's sigaction() sets: so a call that waits is interrupted under them, too. */
enum signals_how_often { SIGNALS_EACH_TIME, SIGNALS_ONCE };
void signals_catch(int signo, void (*handler)(int), enum signals_how_often how_often);

/* Block signals in this thread, returning those of them that were not; and let them through again. */
kernel_sigset signals_block(kernel_sigset which);
void signals_unblock(kernel_sigset which);

/* Takes a pending signal, if there is one of these: its number, or 0. */
int signals_take(kernel_sigset which, siginfo_t *info);

#endif
