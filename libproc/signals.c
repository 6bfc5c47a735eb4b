/* Signal masks and dispositions, with the kernel's own structures: the C library's calls hide two signals, and its
 * sigaction takes a lock. */
#include "signals.h"

#include <stdbool.h>
#include <stddef.h>

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    kernel_sigset mask;
};

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

static bool is_for_children(int signo)
{
    struct kernel_sigaction action = {.handler = SIG_DFL};

    raw(SYS_rt_sigaction, signo, NULL, &action, sizeof action.mask);
    if (action.handler == SIG_IGN)
        return !(SIGNALS_NEVER_IGNORED & KERNEL_SIGNAL_BIT(signo));
    return action.handler == SIG_DFL;
}

kernel_sigset signals_not_for_children(void)
{
    kernel_sigset found = 0;

    for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
        if (signo != SIGKILL && signo != SIGSTOP && !is_for_children(signo))
            found |= KERNEL_SIGNAL_BIT(signo);
    return found;
}

void signals_set_default(kernel_sigset which)
{
    struct kernel_sigaction action = {.handler = SIG_DFL};

    for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
        if (which & KERNEL_SIGNAL_BIT(signo))
            raw(SYS_rt_sigaction, signo, &action, NULL, sizeof action.mask);
}
