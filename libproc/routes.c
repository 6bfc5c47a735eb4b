/* Signals belong to the process, so it is known for the whole process which of them a waiter has.
 *
 * A disposition needs no change for a signal to arrive: one that is blocked is kept pending even where it is ignored, and no
 * handler runs. (SIGCHLD is the exception: where it is ignored, children vanish.) So what children inherit, and what the
 * program sets while a signal is routed, stays what the program made it. */
#include "routes.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic kernel_sigset claimed;

static void claim_nothing(void)
{
    atomic_store(&claimed, 0);
}

/* A forked child has none of its parent's waiters. */
__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(NULL, NULL, claim_nothing);
}

int routes_take(struct routes *routes, int signo)
{
    kernel_sigset bit = KERNEL_SIGNAL_BIT(signo);

    if (atomic_fetch_or(&claimed, bit) & bit) {
        errno = EBUSY;
        return -1;
    }
    routes->taken |= bit;
    routes->blocked |= signals_block(bit);
    return 0;
}

int routes_take_children(struct routes *routes)
{
    if (routes_take(routes, SIGCHLD) < 0)
        return -1;
    struct kernel_sigaction action = signals_action(SIGCHLD);
    if (action.handler != SIG_IGN && !(action.flags & SA_NOCLDWAIT))
        return 0;
    routes->before = action;
    routes->children_revived = true;
    if (action.handler == SIG_IGN)
        action.handler = SIG_DFL;
    action.flags &= ~(unsigned long)SA_NOCLDWAIT;
    signals_set_action(SIGCHLD, &action);
    routes->instead = signals_action(SIGCHLD);
    return 0;
}

/* Unless the program has set something else meanwhile. */
static void put_children_back(struct routes *routes)
{
    struct kernel_sigaction now = signals_action(SIGCHLD);

    if (now.handler == routes->instead.handler && now.flags == routes->instead.flags && now.mask == routes->instead.mask)
        signals_set_action(SIGCHLD, &routes->before);
    routes->children_revived = false;
}

static bool is_handled(int signo)
{
    void (*handler)(int) = signals_action(signo).handler;

    return handler != SIG_DFL && handler != SIG_IGN;
}

void routes_give_back(struct routes *routes, int signo)
{
    kernel_sigset bit = KERNEL_SIGNAL_BIT(signo);
    siginfo_t dropped;

    if (signo == SIGCHLD && routes->children_revived)
        put_children_back(routes);
    while (!is_handled(signo) && signals_take(bit, &dropped))
        ;
    signals_unblock(routes->blocked & bit);
    routes->taken &= ~bit;
    routes->blocked &= ~bit;
    atomic_fetch_and(&claimed, ~bit);
}

void routes_give_back_all(struct routes *routes)
{
    for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
        if (routes->taken & KERNEL_SIGNAL_BIT(signo))
            routes_give_back(routes, signo);
}
