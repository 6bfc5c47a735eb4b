/* Signal masks and dispositions, with the kernel's own structures: the C library's calls hide two signals, and its
 * sigaction takes a lock. */
#include "signals.h"

#include <stddef.h>
#include <time.h>

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

struct kernel_sigaction signals_action(int signo)
{
    struct kernel_sigaction action = {.handler = SIG_DFL};

    raw(SYS_rt_sigaction, signo, NULL, &action, sizeof action.mask);
    return action;
}

void signals_set_action(int signo, const struct kernel_sigaction *action)
{
    raw(SYS_rt_sigaction, signo, action, NULL, sizeof action->mask);
}

static bool is_for_children(int signo)
{
    struct kernel_sigaction action = signals_action(signo);

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
            signals_set_action(signo, &action);
}

kernel_sigset signals_block(kernel_sigset which)
{
    kernel_sigset old = 0;

    raw(SYS_rt_sigprocmask, SIG_BLOCK, &which, &old, sizeof old);
    return which & ~old;
}

void signals_unblock(kernel_sigset which)
{
    raw(SYS_rt_sigprocmask, SIG_UNBLOCK, &which, NULL, sizeof which);
}

int signals_take(kernel_sigset which, siginfo_t *info)
{
    struct timespec at_once = {0};
    long signo = raw(SYS_rt_sigtimedwait, &which, info, &at_once, sizeof which);

    return signo > 0 ? (int)signo : 0;
}

#ifdef __x86_64__
#define HAS_RESTORER 0x04000000
/* Where a handler returns to; elsewhere the kernel brings it along. */
__attribute__((naked)) static void return_from_handler(void)
{
    __asm__ volatile("mov $15, %eax\n\tsyscall"); /* rt_sigreturn */
}
#else
#define HAS_RESTORER 0
#define return_from_handler NULL
#endif

void signals_catch(int signo, void (*handler)(int), enum signals_how_often how_often)
{
    struct kernel_sigaction action = {.handler = handler, .flags = HAS_RESTORER, .restorer = return_from_handler};

    if (how_often == SIGNALS_ONCE)
        action.flags |= SA_RESETHAND;
    signals_set_action(signo, &action);
}
