/* A signal that comes between the look at `asked` and the call that waits would be missed. So its handler rings again and again,
 * as long as the thread is on its way into such a call; and never while a job is in hand, whose calls are the user's. */
#include "leaving.h"

#include "ends.h"
#include "kernel.h"
#include "signals.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#define RING_AGAIN_NS 1000000

/* What the kernel sends when the manager dies: none that a program may have put aside, as it may SIGTERM. */
#define MANAGER_DIED KERNEL_SIGNALS
#define RING_AGAIN (KERNEL_SIGNALS - 1)

struct leaving leaving;

/* What the handler needs. */
static pid_t manager, process, thread;
static int grace_after_manager_ms = -1;
static int ring_timer, end_timer;
static volatile sig_atomic_t has_ring_timer, has_end_timer, manager_died, bell_fd = -1;

/* struct sigevent as the kernel has it: the C libraries do not agree on a name for the thread. */
struct kernel_sigevent {
    void *value;
    int signo, notify;
    int thread;
    char unused[44];
};

static bool make_timer(int signo, int notify, int *timer)
{
    struct kernel_sigevent event = {.signo = signo, .notify = notify, .thread = thread};

    return raw(SYS_timer_create, CLOCK_MONOTONIC, &event, timer) == 0;
}

static void set_timer(int timer, int64_t first_ns, int64_t every_ns)
{
    struct itimerspec when = {{every_ns / 1000000000, every_ns % 1000000000}, {first_ns / 1000000000, first_ns % 1000000000}};

    raw(SYS_timer_settime, timer, 0, &when, NULL);
}

/* If its other threads end later than the one that managed, the number is still its own for a moment. */
bool leaving_manager_is_gone(void)
{
    return manager_died || (manager != 0 && raw(SYS_getppid) != manager);
}

static void ring(void)
{
    uint64_t one = 1;

    if (bell_fd >= 0)
        raw(SYS_write, bell_fd, &one, sizeof one);
}

void leaving_ask(void)
{
    if (leaving.asked)
        return;
    leaving.asked = 1;
    ring();
}

/* The signal is the process's: another thread may have been chosen. */
static void on_signal(int signo)
{
    if (raw(SYS_getpid) != process) { /* a job has forked it: this is none of its matters */
        signals_set_default(KERNEL_SIGNAL_BIT(signo));
        raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), signo);
        return;
    }
    if (raw(SYS_gettid) != thread) {
        raw(SYS_tgkill, process, thread, signo);
        return;
    }
    if (signo == MANAGER_DIED)
        manager_died = 1;
    leaving_ask();
    if (leaving.waits && has_ring_timer)
        set_timer(ring_timer, RING_AGAIN_NS, RING_AGAIN_NS);
    if (has_end_timer && leaving_manager_is_gone()) {
        has_end_timer = 0;
        set_timer(end_timer, grace_after_manager_ms * INT64_C(1000000) + 1, 0);
    }
}

static void interrupt(int signo)
{
    (void)signo;
}

void leaving_stop_ringing(void)
{
    if (has_ring_timer)
        set_timer(ring_timer, 0, 0);
}

/* What a terminal or a shell sends to the whole group is the manager's to decide. Ignored, and not caught: so it is for what a
 * worker starts, and nothing of it interrupts a job. */
static void ignore_what_is_the_managers(void)
{
    static const int signals[] = {SIGINT, SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU};
    struct kernel_sigaction action = {.handler = SIG_IGN};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signals_set_action(signals[i], &action);
}

void leaving_prepare(pid_t its_manager)
{
    leaving = (struct leaving){0, 0};
    manager = its_manager;
    process = (pid_t)raw(SYS_getpid);
    thread = (pid_t)raw(SYS_gettid);
    has_end_timer = manager_died = 0;
    bell_fd = -1;
    has_ring_timer = make_timer(RING_AGAIN, SIGEV_THREAD_ID, &ring_timer);
    signals_catch(SIGTERM, on_signal, SIGNALS_EACH_TIME);
    signals_catch(MANAGER_DIED, on_signal, SIGNALS_EACH_TIME);
    signals_catch(RING_AGAIN, interrupt, SIGNALS_EACH_TIME);
    ignore_what_is_the_managers();
}

int leaving_follow_manager(int grace_ms)
{
    grace_after_manager_ms = grace_ms;
    if (grace_ms >= 0 && make_timer(SIGKILL, SIGEV_SIGNAL, &end_timer))
        has_end_timer = 1;
    if (sys(SYS_prctl, PR_SET_PDEATHSIG, MANAGER_DIED) < 0)
        return -1;
    return leaving_manager_is_gone() ? -1 : 0;
}

void leaving_follow_manager_again(void)
{
    raw(SYS_prctl, PR_SET_PDEATHSIG, MANAGER_DIED);
    if (leaving_manager_is_gone())
        leaving_ask();
}

void leaving_unfollow_manager(void)
{
    raw(SYS_prctl, PR_SET_PDEATHSIG, 0);
    has_end_timer = 0;
}

static long open_bell(void)
{
    return raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int leaving_fd(void)
{
    if (bell_fd >= 0)
        return bell_fd;
    int fd = fd_above_stdio((int)kernel_result(open_bell()));
    if (fd < 0)
        return -1;
    bell_fd = fd;
    if (leaving.asked)
        ring();
    return fd;
}
