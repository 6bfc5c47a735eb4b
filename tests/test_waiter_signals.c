/* Signals and alarms in a waiter. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct proc_waiter *waiter;
static unsigned flags;

static void make_waiter(int way)
{
    flags = way ? PROC_WAITER_PIDFD : 0;
    waiter = proc_waiter_new(flags);
    ck_assert_ptr_nonnull(waiter);
}

static bool is_readable(int timeout_ms)
{
    return poll(&(struct pollfd){.fd = proc_waiter_fd(waiter), .events = POLLIN}, 1, timeout_ms) == 1;
}

static struct proc_event must_come(enum proc_event_type type)
{
    struct proc_event event;

    ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
    ck_assert_int_eq(event.type, type);
    return event;
}

static void must_be_quiet(void)
{
    struct proc_event event;

    ck_assert(!is_readable(0));
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
}

static volatile sig_atomic_t handled;

static void count(int signo)
{
    (void)signo;
    handled++;
}

/* ---- signals ---- */

START_TEST(a_signal_comes_with_its_sender_and_its_value)
{
    int data;

    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, &data), 0);
    must_be_quiet();
    ck_assert_int_eq(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = -77}), 0);
    ck_assert(is_readable(0));
    struct proc_event event = must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(event.signo, SIGUSR1);
    ck_assert_int_eq(event.sender, getpid());
    ck_assert_int_eq(event.value, -77);
    ck_assert_ptr_eq(event.data, &data);
    must_be_quiet();
    char script[64];
    snprintf(script, sizeof script, "kill -USR1 %d", (int)getpid());
    struct proc *child = must_spawn_shell((struct proc_options){0}, script);
    event = must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(event.sender, proc_pid(child));
    ck_assert_int_eq(event.value, 0);
    proc_free(child);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    ck_assert_int_eq(must_come(PROC_EVENT_SIGNAL).sender, getpid());
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(one_that_the_kernel_sends_has_no_sender)
{
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value = {.sival_int = 33}};
    timer_t timer;

    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGALRM, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 1}}, NULL), 0);
    struct proc_event event = must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(event.signo, SIGALRM);
    ck_assert_int_eq(event.sender, 0);
    ck_assert_int_eq(event.value, 0);
    ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &how, &timer), 0);
    ck_assert_int_eq(timer_settime(timer, 0, &(struct itimerspec){.it_value = {.tv_nsec = 1}}, NULL), 0);
    event = must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(event.sender, 0);
    ck_assert_int_eq(event.value, 33);
    ck_assert_int_eq(timer_delete(timer), 0);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(realtime_signals_come_in_their_order_and_none_is_lost)
{
    enum { MANY = 200 };

    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGRTMIN, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGRTMAX, NULL), 0);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sigqueue(getpid(), i % 2 ? SIGRTMIN : SIGRTMAX, (union sigval){.sival_int = i}), 0);
    int next[2] = {0, 1};
    for (int i = 0; i < MANY; i++) {
        ck_assert(is_readable(0));
        struct proc_event event = must_come(PROC_EVENT_SIGNAL);
        int *expected = &next[event.signo == SIGRTMIN];

        ck_assert_int_eq(event.value, *expected);
        *expected += 2;
    }
    must_be_quiet();
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(any_number_of_signals_can_be_routed)
{
    static const int never[] = {SIGKILL, SIGSTOP, 32, 33};

    make_waiter(_i);
    for (int signo = 1; signo <= 64; signo++) {
        bool may = flags == PROC_WAITER_PIDFD || signo != SIGCHLD;

        for (int i = 0; i < 4; i++)
            may &= signo != never[i];
        ck_assert_int_eq(proc_waiter_signal(waiter, signo, (void *)(intptr_t)signo), may ? 0 : -1);
        if (!may)
            ck_assert_int_eq(errno, EINVAL);
    }
    for (int signo = 64; signo > 0; signo--) {
        if (proc_waiter_unsignal(waiter, signo) < 0) /* one of those that could not be routed */
            continue;
        ck_assert_int_eq(proc_waiter_signal(waiter, signo, (void *)(intptr_t)-signo), 0);
        ck_assert_int_eq(kill(getpid(), signo), 0);
        struct proc_event event = must_come(PROC_EVENT_SIGNAL);
        ck_assert_int_eq(event.signo, signo);
        ck_assert_int_eq((intptr_t)event.data, -signo);
        ck_assert_int_eq(event.sender, getpid());
    }
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(wrong_signals_are_told)
{
    static const int wrong[] = {0, -1, 65, INT_MAX, SIGKILL, SIGSTOP, 32, 33};
    int one, other;

    make_waiter(_i);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(proc_waiter_signal(waiter, wrong[i], NULL), -1);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_int_eq(proc_waiter_unsignal(waiter, wrong[i]), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGUSR1), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, &one), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, &other), 0);
    raise(SIGUSR1);
    ck_assert_ptr_eq(must_come(PROC_EVENT_SIGNAL).data, &other);
    struct proc_waiter *second = proc_waiter_new(PROC_WAITER_PIDFD);
    ck_assert_int_eq(proc_waiter_signal(second, SIGUSR1, NULL), -1);
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_eq(proc_waiter_unsignal(second, SIGUSR1), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGUSR1), 0);
    ck_assert_int_eq(proc_waiter_signal(second, SIGUSR1, NULL), 0);
    if (!flags) {
        ck_assert_int_eq(proc_waiter_signal(second, SIGCHLD, NULL), -1);
        ck_assert_int_eq(errno, EBUSY);
    }
    proc_waiter_free(second);
    proc_waiter_free(waiter);
}
END_TEST

/* ---- as it was before ---- */

static void set_action(int signo, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    ck_assert_int_eq(sigaction(signo, &action, NULL), 0);
}

static void (*handler_of(int signo))(int)
{
    struct sigaction action;

    ck_assert_int_eq(sigaction(signo, NULL, &action), 0);
    return action.sa_handler;
}

START_TEST(a_handled_signal_goes_to_the_waiter_and_then_to_its_handler_again)
{
    make_waiter(_i);
    set_action(SIGUSR1, count);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    raise(SIGUSR1);
    must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(handled, 0);
    raise(SIGUSR1); /* pending, when … */
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGUSR1), 0);
    ck_assert_int_eq(handled, 1);
    must_be_quiet();
    ck_assert(handler_of(SIGUSR1) == count);
    raise(SIGUSR1);
    ck_assert_int_eq(handled, 2);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    raise(SIGUSR1);
    proc_waiter_free(waiter);
    ck_assert_int_eq(handled, 3);
    set_action(SIGUSR1, SIG_DFL);
}
END_TEST

START_TEST(an_ignored_signal_comes_while_it_is_routed_and_is_ignored_again_after)
{
    make_waiter(_i);
    set_action(SIGTERM, SIG_IGN);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGTERM, NULL), 0);
    ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
    ck_assert_int_eq(must_come(PROC_EVENT_SIGNAL).signo, SIGTERM);
    kill(getpid(), SIGTERM);
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGTERM), 0);
    ck_assert(handler_of(SIGTERM) == SIG_IGN);
    kill(getpid(), SIGTERM);
    must_be_quiet();
    set_action(SIGTERM, SIG_DFL);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(what_is_pending_of_a_default_signal_is_dropped)
{
    make_waiter(_i);
    set_action(SIGTERM, SIG_DFL); /* Check has a handler */
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGTERM, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGRTMIN, NULL), 0);
    kill(getpid(), SIGTERM);
    sigqueue(getpid(), SIGRTMIN, (union sigval){0});
    sigqueue(getpid(), SIGRTMIN, (union sigval){0});
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGTERM), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGTERM, NULL), 0);
    kill(getpid(), SIGTERM);
    proc_waiter_free(waiter); /* or they would end us */
    ck_assert_str_eq(status_of(getpid(), "ShdPnd"), "0000000000000000");
}
END_TEST

START_TEST(a_signal_that_was_blocked_before_stays_blocked)
{
    sigset_t usr2, now;

    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &usr2, NULL), 0);
    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR2, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGHUP, NULL), 0);
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGHUP), 0);
    ck_assert_int_eq(proc_waiter_unsignal(waiter, SIGUSR2), 0);
    raise(SIGUSR2); /* pending, and no matter of the waiter's any more */
    must_be_quiet();
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR2, NULL), 0);
    must_come(PROC_EVENT_SIGNAL);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &now), 0);
    ck_assert(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGHUP));
    ck_assert_int_eq(sigismember(&now, SIGCHLD), flags ? 0 : 1); /* the mode with pidfds touches nothing that is not routed */
    proc_waiter_free(waiter);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &now), 0);
    ck_assert(!sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGCHLD));
    ck_assert_int_eq(sigprocmask(SIG_UNBLOCK, &usr2, NULL), 0);
}
END_TEST

START_TEST(a_handler_for_sigchld_runs_again_after)
{
    set_action(SIGCHLD, count);
    make_waiter(0);
    struct proc *child = must_spawn_shell((struct proc_options){0}, "exit 0");
    ck_assert_int_eq(proc_waiter_add(waiter, child, NULL), 0);
    must_come(PROC_EVENT_EXIT);
    ck_assert_int_eq(handled, 0);
    proc_waiter_free(waiter);
    proc_free(child);
    must_end(must_spawn_shell((struct proc_options){0}, "exit 0"));
    ck_assert_int_eq(handled, 1);
    set_action(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(sigchld_can_be_routed_beside_pidfds)
{
    make_waiter(1);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGCHLD, NULL), 0);
    struct proc *child = must_spawn_shell((struct proc_options){0}, "exit 5");
    if (!no_pidfds())
        ck_assert_int_eq(proc_waiter_add(waiter, child, NULL), 0);
    for (int exits = no_pidfds(), signals = 0; exits + signals < 2;) {
        struct proc_event event;

        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        ck_assert(event.type == PROC_EVENT_SIGNAL ? event.signo == SIGCHLD && event.sender == proc_pid(child)
                                                  : event.proc == child);
        ck_assert_int_eq(event.value, 0); /* the kernel keeps the exit status there */
        exits += event.type == PROC_EVENT_EXIT;
        signals += event.type == PROC_EVENT_SIGNAL;
    }
    proc_waiter_free(waiter);
    proc_free(child);
}
END_TEST

static int is_clean(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return strcmp(status_of(getpid(), "SigBlk"), "0000000000000000") != 0 ||
           strcmp(status_of(getpid(), "ShdPnd"), "0000000000000000") != 0 || handler_of(SIGUSR1) != SIG_DFL ||
           handler_of(SIGHUP) != SIG_IGN;
}

START_TEST(children_start_with_clean_signals)
{
    make_waiter(_i);
    set_action(SIGUSR1, count);
    set_action(SIGHUP, SIG_IGN); /* what the program ignores, routed or not, its children ignore */
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGHUP, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGINT, NULL), 0);
    raise(SIGUSR1);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = is_clean})).code, 0);
    char expected[64];
    snprintf(expected, sizeof expected, "0000000000000000\n%s\n", status_of(getpid(), "SigIgn"));
    ck_assert_ptr_nonnull(strchr("13579bdf", expected[32])); /* SIGHUP */
    const char *status = output_of_shell((struct proc_options){0}, "grep -E 'SigBlk|SigIgn' /proc/self/status | cut -f 2");
    ck_assert_str_eq(status, expected);
    must_come(PROC_EVENT_SIGNAL);
    proc_waiter_free(waiter);
    set_action(SIGUSR1, SIG_DFL);
    set_action(SIGHUP, SIG_DFL);
}
END_TEST

/* ---- alarms ---- */

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

START_TEST(an_alarm_rings_once_and_is_over)
{
    int data;

    make_waiter(_i);
    int64_t start = now_us();
    int id = proc_waiter_alarm(waiter, 20000, 0, &data);
    ck_assert_int_gt(id, 0);
    must_be_quiet();
    ck_assert(is_readable(20000));
    struct proc_event event = must_come(PROC_EVENT_ALARM);
    ck_assert_int_ge(now_us() - start, 20000);
    ck_assert_int_eq(event.alarm, id);
    ck_assert_ptr_eq(event.data, &data);
    ck_assert_uint_eq(event.expirations, 1);
    must_be_quiet();
    ck_assert_int_eq(proc_waiter_cancel(waiter, id), -1);
    ck_assert_int_eq(errno, ENOENT);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(an_alarm_of_nought_rings_at_once)
{
    make_waiter(_i);
    for (int i = 0; i < 200; i++) {
        int id = proc_waiter_alarm(waiter, 0, 0, NULL);
        struct proc_event event;

        if (i % 2)
            ck_assert(is_readable(0));
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 1);
        ck_assert_int_eq(event.alarm, id);
        must_be_quiet();
    }
    proc_waiter_free(waiter);
}
END_TEST

/* However late it is asked: the times are those of the beginning, and those that were missed are counted. */
START_TEST(a_repeated_alarm_does_not_drift_and_counts_what_was_missed)
{
    uint64_t rung = 0;

    make_waiter(_i);
    int64_t start = now_us();
    int id = proc_waiter_alarm(waiter, 3000, 2000, NULL);
    while (rung < 100) {
        struct proc_event event = must_come(PROC_EVENT_ALARM);
        int64_t now = now_us();

        ck_assert_int_eq(event.alarm, id);
        rung += event.expirations;
        ck_assert_int_ge(now - start, 3000 + ((int64_t)rung - 1) * 2000);
        if (rung == 40)
            poll(NULL, 0, 15); /* somebody is busy with something else */
    }
    /* no more were counted than there were, and none less */
    poll(NULL, 0, 5);
    int64_t before = now_us();
    uint64_t last = must_come(PROC_EVENT_ALARM).expirations;
    int64_t after = now_us();
    ck_assert_int_ge((int64_t)(rung + last), (before - start - 3000) / 2000 + 1);
    ck_assert_int_le((int64_t)(rung + last), (after - start - 3000) / 2000 + 1);
    ck_assert_int_eq(proc_waiter_cancel(waiter, id), 0);
    must_be_quiet();
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(wrong_alarms_are_told)
{
    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_alarm(waiter, -1, 0, NULL), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_waiter_alarm(waiter, 0, -1, NULL), -1);
    ck_assert_int_eq(errno, EINVAL);
    static const int unknown[] = {0, -1, 1, INT_MAX, INT_MIN};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(proc_waiter_cancel(waiter, unknown[i]), -1);
        ck_assert_int_eq(errno, ENOENT);
    }
    int id = proc_waiter_alarm(waiter, INT64_MAX, INT64_MAX, NULL); /* never, and never again */
    ck_assert_int_gt(id, 0);
    must_be_quiet();
    struct proc_event event;
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 5), 0);
    ck_assert_int_eq(proc_waiter_cancel(waiter, id), 0);
    ck_assert_int_gt(proc_waiter_alarm(waiter, INT64_MAX / 1000, 1, NULL), 0);
    id = proc_waiter_alarm(waiter, 0, INT64_MAX, NULL);
    ck_assert_int_eq(must_come(PROC_EVENT_ALARM).alarm, id);
    must_be_quiet();
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(cancelling_drops_what_is_due)
{
    make_waiter(_i);
    int first = proc_waiter_alarm(waiter, 0, 0, NULL), second = proc_waiter_alarm(waiter, 0, 1, NULL);
    ck_assert(is_readable(20000));
    ck_assert_int_eq(proc_waiter_cancel(waiter, first), 0);
    ck_assert(is_readable(0));
    ck_assert_int_eq(must_come(PROC_EVENT_ALARM).alarm, second);
    ck_assert_int_eq(proc_waiter_cancel(waiter, second), 0);
    must_be_quiet();
    ck_assert_int_eq(proc_waiter_cancel(waiter, second), -1);
    ck_assert_int_eq(errno, ENOENT);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_thousand_alarms_ring_in_their_order_but_those_that_were_cancelled)
{
    enum { MANY = 1000 };
    static int ids[MANY];
    static struct {
        int64_t least, most;
    } due[MANY];
    int64_t last = 0;
    int left = 0;

    make_waiter(_i);
    for (int i = 0; i < MANY; i++) {
        int delay = 40000 + rand() % 50 * 1000;

        due[i].least = now_us() + delay;
        ids[i] = proc_waiter_alarm(waiter, delay, 0, &due[i]);
        due[i].most = now_us() + delay + 1;
        ck_assert_int_gt(ids[i], 0);
        for (int other = 0; other < i; other += 97)
            ck_assert_int_ne(ids[i], ids[other]);
    }
    for (int i = 0; i < MANY; i++) {
        if (rand() % 2)
            left++;
        else
            ck_assert_int_eq(proc_waiter_cancel(waiter, ids[i]), 0);
    }
    for (; left > 0; left--) {
        size_t which = (size_t)((char *)must_come(PROC_EVENT_ALARM).data - (char *)due) / sizeof due[0];

        ck_assert_int_ge(due[which].most, last);
        if (due[which].least > last)
            last = due[which].least;
    }
    must_be_quiet();
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(proc_waiter_cancel(waiter, ids[i]), -1);
    proc_waiter_free(waiter);
}
END_TEST

static void *send_often(void *is_over)
{
    while (!*(atomic_bool *)is_over) {
        kill(getpid(), SIGUSR1);
        poll(NULL, 0, 1);
    }
    return NULL;
}

START_TEST(interruptions_neither_end_nor_lengthen_a_wait)
{
    atomic_bool is_over = false;
    struct proc_event event;
    pthread_t sender;

    make_waiter(_i);
    set_action(SIGUSR1, count);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_often, &is_over), 0);
    for (int i = 0; i < 5; i++) {
        int64_t start = now_us();

        ck_assert_int_eq(proc_waiter_next(waiter, &event, 60), 0);
        ck_assert_int_ge(now_us() - start, 60000);
    }
    is_over = true;
    pthread_join(sender, NULL);
    ck_assert_int_gt(handled, 0);
    set_action(SIGUSR1, SIG_DFL);
    proc_waiter_free(waiter);
}
END_TEST

/* One kind of event does not keep the others waiting. */
START_TEST(every_kind_gets_its_turn)
{
    bool exited = false, signalled = false;
    int quick = 0;

    make_waiter(_i);
    if (flags && no_pidfds()) {
        proc_waiter_free(waiter);
        return;
    }
    int id = proc_waiter_alarm(waiter, 0, 1, NULL); /* always due */
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGRTMIN, NULL), 0);
    struct proc *child = must_spawn_shell((struct proc_options){0}, "exit 0");
    ck_assert_int_eq(proc_waiter_add(waiter, child, NULL), 0);
    while (!exited || !signalled || quick < 1000) {
        struct proc_event event;

        sigqueue(getpid(), SIGRTMIN, (union sigval){0}); /* always pending */
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 1);
        exited |= event.type == PROC_EVENT_EXIT;
        signalled |= event.type == PROC_EVENT_SIGNAL;
        quick += event.type == PROC_EVENT_ALARM;
        ck_assert(event.type != PROC_EVENT_ALARM || event.alarm == id);
    }
    proc_waiter_free(waiter);
    proc_free(child);
}
END_TEST

/* A hundred children that are found by a search do not go before all else. */
START_TEST(gathered_children_leave_the_signals_their_turn)
{
    enum { MANY = 200 };
    struct proc *children[MANY];
    struct proc_event event;
    int before = 0;

    seam_off("pidfd");
    make_waiter(0);
    for (int i = 0; i < MANY; i++) {
        siginfo_t info;

        children[i] = must_spawn_shell((struct proc_options){0}, "exit 0");
        ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(children[i]), &info, WEXITED | WNOWAIT), 0);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
    }
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 1);
    raise(SIGUSR1);
    for (; event.type != PROC_EVENT_SIGNAL; before++)
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 1);
    ck_assert_int_lt(before, MANY / 2);
    for (int i = 0; i < MANY; i++)
        proc_free(children[i]);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(proc_alarm_sends_signals_until_it_is_stopped)
{
    struct proc_event event;

    make_waiter(_i);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGALRM, NULL), 0);
    ck_assert_int_eq(proc_alarm(2000, ITIMER_REAL), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(must_come(PROC_EVENT_SIGNAL).signo, SIGALRM);
    for (int64_t stop = 0; stop >= -1; stop--) {
        struct itimerval timer;

        ck_assert_int_eq(proc_alarm(stop, ITIMER_REAL), 0);
        while (proc_waiter_next(waiter, &event, 0) == 1) /* one that was pending */
            ;
        ck_assert_int_eq(getitimer(ITIMER_REAL, &timer), 0);
        ck_assert(timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0);
        must_be_quiet();
        ck_assert_int_eq(proc_alarm(INT64_C(3600000000) + 5, ITIMER_REAL), 0);
        ck_assert_int_eq(getitimer(ITIMER_REAL, &timer), 0);
        ck_assert_int_eq(timer.it_interval.tv_sec, 3600);
        ck_assert_int_eq(timer.it_interval.tv_usec, 5);
    }
    ck_assert_int_eq(proc_alarm(INT64_MIN, ITIMER_REAL), 0);
    set_action(SIGVTALRM, count);
    set_action(SIGPROF, count);
    ck_assert_int_eq(proc_alarm(1000, ITIMER_VIRTUAL), 0);
    while (handled == 0)
        poll(NULL, 0, 0); /* a sanitizer runs handlers at such calls only */
    ck_assert_int_eq(proc_alarm(0, ITIMER_VIRTUAL), 0);
    handled = 0;
    ck_assert_int_eq(proc_alarm(1000, ITIMER_PROF), 0);
    while (handled == 0)
        poll(NULL, 0, 0); /* a sanitizer runs handlers at such calls only */
    ck_assert_int_eq(proc_alarm(0, ITIMER_PROF), 0);
    ck_assert_int_eq(proc_alarm(1000, 3), -1);
    ck_assert_int_eq(errno, EINVAL);
    proc_waiter_free(waiter);
}
END_TEST

static void add_in_each_way(TCase *tcase, const TTest *test)
{
    tcase_add_loop_test(tcase, test, 0, 2);
}

Suite *suite_make(void)
{
    Suite *suite = suite_create("waiter_signals");
    TCase *tcase = tcase_checked(suite, "signals");

    add_in_each_way(tcase, a_signal_comes_with_its_sender_and_its_value);
    add_in_each_way(tcase, one_that_the_kernel_sends_has_no_sender);
    add_in_each_way(tcase, realtime_signals_come_in_their_order_and_none_is_lost);
    add_in_each_way(tcase, any_number_of_signals_can_be_routed);
    add_in_each_way(tcase, wrong_signals_are_told);
    tcase = tcase_checked(suite, "as before");
    add_in_each_way(tcase, a_handled_signal_goes_to_the_waiter_and_then_to_its_handler_again);
    add_in_each_way(tcase, an_ignored_signal_comes_while_it_is_routed_and_is_ignored_again_after);
    add_in_each_way(tcase, what_is_pending_of_a_default_signal_is_dropped);
    add_in_each_way(tcase, a_signal_that_was_blocked_before_stays_blocked);
    tcase_add_test(tcase, a_handler_for_sigchld_runs_again_after);
    tcase_add_test(tcase, sigchld_can_be_routed_beside_pidfds);
    add_in_each_way(tcase, children_start_with_clean_signals);
    tcase = tcase_checked(suite, "alarms");
    add_in_each_way(tcase, an_alarm_rings_once_and_is_over);
    add_in_each_way(tcase, an_alarm_of_nought_rings_at_once);
    add_in_each_way(tcase, a_repeated_alarm_does_not_drift_and_counts_what_was_missed);
    add_in_each_way(tcase, wrong_alarms_are_told);
    add_in_each_way(tcase, cancelling_drops_what_is_due);
    add_in_each_way(tcase, a_thousand_alarms_ring_in_their_order_but_those_that_were_cancelled);
    tcase = tcase_checked(suite, "together");
    add_in_each_way(tcase, interruptions_neither_end_nor_lengthen_a_wait);
    add_in_each_way(tcase, every_kind_gets_its_turn);
    tcase_add_test(tcase, gathered_children_leave_the_signals_their_turn);
    add_in_each_way(tcase, proc_alarm_sends_signals_until_it_is_stopped);
    return suite;
}
