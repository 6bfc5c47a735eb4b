/* Signal masks and dispositions, with the kernel's own structures: the C library's calls hide two signals, and its
 * sigaction takes a lock. */
#include "signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    kernel_sigset mask;
};

/* Cancellation and setuid-in-all-threads, in glibc and in musl. */
static const kernel_sigset of_the_c_library = KERNEL_SIGNAL_BIT(32) | KERNEL_SIGNAL_BIT(33);

/* What is back at its default in every child, even if the caller ignores it. */
static const kernel_sigset never_ignored = KERNEL_SIGNAL_BIT(SIGPIPE) | KERNEL_SIGNAL_BIT(SIGCHLD);

kernel_sigset signals_block_all(void)
{
    kernel_sigset all = KERNEL_ALL_SIGNALS, old = 0;

    raw(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof old);
    return old;
}

void signals_set_mask(kernel_sigset mask)
{
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

static void set_default(int signo)
{
    struct kernel_sigaction action = {.handler = SIG_DFL};

    raw(SYS_rt_sigaction, signo, &action, NULL, sizeof action.mask);
}

static bool is_caught(int signo, bool ignored_too)
{
    struct kernel_sigaction action = {.handler = SIG_DFL};

    raw(SYS_rt_sigaction, signo, NULL, &action, sizeof action.mask);
    return action.handler != SIG_DFL && (ignored_too || action.handler != SIG_IGN);
}

static void reset_all_but(kernel_sigset spared)
{
    for (int signo = 1; signo <= KERNEL_SIGNALS; signo++) {
        kernel_sigset bit = KERNEL_SIGNAL_BIT(signo);

        if (!(spared & bit) && is_caught(signo, never_ignored & bit))
            set_default(signo);
    }
}

void signals_reset(void)
{
    reset_all_but(KERNEL_SIGNAL_BIT(SIGKILL) | KERNEL_SIGNAL_BIT(SIGSTOP));
}

void signals_reset_callback(void)
{
    reset_all_but(KERNEL_SIGNAL_BIT(SIGKILL) | KERNEL_SIGNAL_BIT(SIGSTOP) | of_the_c_library);
}

void signals_reset_ignored(void)
{
    set_default(SIGPIPE);
    set_default(SIGCHLD);
}
