/* The helper has our memory, our descriptors and our directory, but signals of its own: so a timer of its own can end the call,
 * and the program's signals, handlers and timers are left alone. Its end is told to nobody, and no wait() of the program's sees
 * it.
 *
 * It costs 25 us to start, which only those calls pay that must wait anyway, and nothing while it waits. A loop that tries again
 * and again is late by half of its pause, and takes processor time for all of it: see message.c, where it is what is left if
 * there can be no helper.
 *
 * If we are killed the helper goes, too. It may have got something in between: that it gives back. */
#include "beside.h"

#include "clone.h"
#include "signals.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/time.h>

/* The timer goes on ringing, for the first time may come just before the call begins. */
#define RING_AGAIN_US 1000

struct helper {
    const struct beside *beside;
    long caller;          /* the process */
    volatile long result; /* -EINTR: it has none */
};

/* Told when the thread that waits for us has died. Ignored by default, for the handler is used up by the first one. */
#define ABANDONED SIGURG

static void interrupt(int signo)
{
    (void)signo;
}

/* It may come just before the call begins, too: so from now on it rings. */
static void ring_from_now_on(int signo)
{
    struct itimerval timer = {.it_interval = {0, RING_AGAIN_US}, .it_value = {0, 1}};

    (void)signo;
    raw(SYS_setitimer, ITIMER_REAL, &timer, NULL);
}

static bool be_interrupted_at(struct deadline deadline)
{
    int64_t left_us = deadline_left_ns(deadline) / 1000 + 1;
    struct itimerval timer = {.it_interval = {0, RING_AGAIN_US}, .it_value = {left_us / 1000000, left_us % 1000000}};

    signals_catch(SIGALRM, interrupt, SIGNALS_EACH_TIME);
    signals_catch(ABANDONED, ring_from_now_on, SIGNALS_ONCE);
    if (raw(SYS_prctl, PR_SET_PDEATHSIG, ABANDONED) < 0 || raw(SYS_setitimer, ITIMER_REAL, &timer, NULL) < 0)
        return false;
    signals_unblock(KERNEL_SIGNAL_BIT(SIGALRM) | KERNEL_SIGNAL_BIT(ABANDONED));
    return true;
}

/* The process lives on, under its old number, when another of its threads has called execve(): only the signal tells that. */
static bool caller_lives(const struct helper *helper)
{
    return raw(SYS_getppid) == helper->caller && signals_action(ABANDONED).handler != SIG_DFL;
}

static int help(void *argument)
{
    struct helper *helper = argument;
    const struct beside *beside = helper->beside;
    long result;

    if (!be_interrupted_at(beside->deadline))
        return 0;
    do /* once, though it may be late by now: who has to wait is interrupted at once */
        result = beside->work(beside->argument);
    while (result == -EINTR && caller_lives(helper) && deadline_left_ns(beside->deadline) > 0);
    if (result == -EINTR && deadline_left_ns(beside->deadline) == 0)
        result = -ETIMEDOUT;
    helper->result = result;
    if (result >= 0 && !caller_lives(helper))
        beside->give_back(beside->argument, result);
    return 0;
}

static long start(struct helper *helper, struct clone_stack *stack)
{
    struct clone_request request = {
        .flags = CLONE_FILES | CLONE_FS, .beside = true, .entry = help, .argument = (void *)helper};
    kernel_sigset mask = signals_block_all();
    long pid = clone_modern(stack, &request);

    if (pid == -ENOSYS)
        pid = clone_classic(stack, &request);
    signals_set_mask(mask);
    return pid;
}

long beside_do(const struct beside *beside)
{
    struct helper helper = {.beside = beside, .caller = raw(SYS_getpid), .result = -EINTR};
    struct clone_stack stack;

    if (!clone_shares_memory() || clone_would_be_init())
        return -ENOSYS;
    long pid = start(&helper, &stack);
    if (pid < 0)
        return -ENOSYS;
    clone_reap(pid);
    return helper.result == -EINTR ? -ENOSYS : helper.result; /* somebody killed it */
}
