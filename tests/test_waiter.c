/* Children in a waiter, in each way of finding out that they have ended: alone, in thousands, beside other code's children,
 * and against other code that reaps. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the ways ---- */

enum { BY_SIGNAL, BY_PIDFD, BY_SIGNAL_ALONE, WAYS };

/* NULL: this machine cannot do it in that way. */
static struct proc_waiter *waiter_by(int way)
{
    if (way == BY_PIDFD && no_pidfds())
        return NULL;
    if (way == BY_SIGNAL_ALONE)
        seam_off("pidfd");
    struct proc_waiter *waiter = proc_waiter_new(way == BY_PIDFD ? PROC_WAITER_PIDFD : 0);
    ck_assert_msg(waiter != NULL, "proc_waiter_new: %s", strerror(errno));
    return waiter;
}

static int nap_when_fed(struct proc *self, void *code)
{
    char byte;

    proc_read(self, &byte, 1);
    return (int)(intptr_t)code;
}

/* It ends with this code when its channel is written to, or closed. */
static struct proc *spawn_waiting(int code)
{
    return must_spawn((struct proc_options){.main = nap_when_fed, .arg = (void *)(intptr_t)code, .channel = PROC_STREAM});
}

static void feed(struct proc *proc)
{
    ck_assert_int_eq(proc_write(proc, "x", 1), 1);
}

static void await_zombie(struct proc *proc)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WEXITED | WNOWAIT), 0);
}

static bool is_readable(const struct proc_waiter *waiter, int timeout_ms)
{
    return poll(&(struct pollfd){.fd = proc_waiter_fd(waiter), .events = POLLIN}, 1, timeout_ms) == 1;
}

/* The next event has to be this child's end. */
static struct proc_exit must_report(struct proc_waiter *waiter, struct proc *proc, const void *data)
{
    struct proc_event event;

    ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
    ck_assert_int_eq(event.type, PROC_EVENT_EXIT);
    ck_assert_ptr_eq(event.proc, proc);
    ck_assert_ptr_eq(event.data, data);
    ck_assert_int_eq(event.exit.pid, proc_pid(proc));
    return event.exit;
}

static void must_be_quiet(struct proc_waiter *waiter)
{
    struct proc_event event;

    ck_assert(!is_readable(waiter, 0));
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
}

/* ---- one ---- */

START_TEST(an_exit_is_reported_once_and_the_child_has_left)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_exit exit;
    int data;

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(42);
    ck_assert_int_gt(proc_waiter_fd(waiter), 2);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, &data), 0);
    ck_assert_int_eq(proc_waiter_children(waiter), 1);
    must_be_quiet(waiter);
    feed(proc);
    exit = must_report(waiter, proc, &data);
    ck_assert_int_eq(exit.code, 42);
    ck_assert_int_eq(exit.signal, 0);
    ck_assert_int_gt(exit.elapsed_ns, 0);
    ck_assert_int_gt(exit.usage.ru_maxrss, 0);
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    must_be_quiet(waiter);
    ck_assert_int_eq(proc_waiter_remove(waiter, proc), -1);
    ck_assert_int_eq(errno, ENOENT);
    struct proc_exit again;
    ck_assert_int_eq(proc_wait(proc, &again, 0), 1);
    ck_assert_int_eq(memcmp(&exit, &again, sizeof exit), 0);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(the_descriptor_is_readable_exactly_while_there_is_an_event)
{
    enum { CHILDREN = 3 };
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc *children[CHILDREN];
    struct proc_event event;

    if (!waiter)
        return;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = spawn_waiting(i);
            ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
        }
        for (int i = 0; i < CHILDREN; i++) {
            feed(children[i]);
            if (round % 2)
                await_zombie(children[i]);
        }
        for (int left = CHILDREN; left > 0; left--) {
            ck_assert(is_readable(waiter, 20000));
            int result = proc_waiter_next(waiter, &event, 0);
            if (_i == BY_SIGNAL_ALONE && result == 0) { /* it has asked each child, and found none */
                left++;
                continue;
            }
            ck_assert_int_eq(result, 1);
            proc_free(event.proc);
        }
        if (_i != BY_SIGNAL_ALONE)
            ck_assert(!is_readable(waiter, 0));
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
    }
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(one_that_ended_before_it_was_added_is_reported)
{
    struct proc_waiter *waiter = waiter_by(_i);

    if (!waiter)
        return;
    for (int reaped = 0; reaped < 2; reaped++) {
        struct proc *proc = spawn_waiting(7);

        feed(proc);
        if (reaped)
            ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
        else
            await_zombie(proc);
        proc_waiter_next(waiter, &(struct proc_event){0}, 0); /* its SIGCHLD is of no use any more */
        ck_assert_int_eq(proc_waiter_add(waiter, proc, waiter), 0);
        ck_assert(is_readable(waiter, 0));
        ck_assert_int_eq(must_report(waiter, proc, waiter).code, 7);
        must_be_quiet(waiter);
        proc_free(proc);
    }
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_killed_child_is_reported_as_killed_and_a_stopped_one_not_at_all)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;
    siginfo_t info;

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(0);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_kill(proc, SIGSTOP), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WSTOPPED | WNOWAIT), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 10), 0);
    ck_assert_int_eq(proc_kill(proc, SIGKILL), 0);
    struct proc_exit exit = must_report(waiter, proc, NULL);
    ck_assert_int_eq(exit.code, -1);
    ck_assert_int_eq(exit.signal, SIGKILL);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

/* ---- by hand ---- */

static void by_waiting(struct proc *proc)
{
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    proc_free(proc);
}

static void by_freeing(struct proc *proc)
{
    proc_free(proc);
}

static void by_stopping(struct proc *proc)
{
    ck_assert_int_ge(proc_stop(proc, NULL, 0), 1);
    proc_free(proc);
}

static void by_communicating(struct proc *proc)
{
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, NULL, -1), 1);
    proc_free(proc);
}

START_TEST(a_child_that_is_reaped_or_freed_by_hand_leaves_without_an_event)
{
    static void (*const hands[])(struct proc *) = {by_waiting, by_freeing, by_stopping, by_communicating};
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;

    if (!waiter)
        return;
    for (int hand = 0; hand < 4; hand++)
        for (int gathered = 0; gathered < 2; gathered++) {
            struct proc *proc = spawn_waiting(1), *other = spawn_waiting(2);

            ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
            ck_assert_int_eq(proc_waiter_add(waiter, other, NULL), 0);
            feed(proc);
            feed(other);
            if (gathered) { /* both are known by now, and one is taken */
                await_zombie(proc);
                await_zombie(other);
                ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), 1);
                if (event.proc == proc) {
                    proc = other;
                    other = event.proc;
                }
                ck_assert_int_eq(proc_waiter_children(waiter), 1);
                hands[hand](proc);
            } else {
                hands[hand](proc);
                must_report(waiter, other, NULL);
            }
            proc_free(other);
            ck_assert_int_eq(proc_waiter_children(waiter), 0);
            ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
            if (_i != BY_SIGNAL_ALONE)
                must_be_quiet(waiter);
        }
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_removed_child_is_the_callers_alone_and_what_was_due_of_it_is_dropped)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(5), *other = spawn_waiting(6);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_waiter_add(waiter, other, NULL), 0);
    ck_assert_int_eq(proc_waiter_remove(waiter, proc), 0);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    feed(proc);
    feed(other);
    await_zombie(proc);
    await_zombie(other);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), 1);
    struct proc *left = event.proc == proc ? other : proc;
    ck_assert_int_eq(proc_waiter_remove(waiter, left), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
    ck_assert_int_eq(must_end(left).code, left == proc ? 5 : 6);
    proc_free(event.proc);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(freeing_the_waiter_leaves_its_children_as_they_are)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc *children[40];

    if (!waiter)
        return;
    for (int i = 0; i < 40; i++) {
        children[i] = spawn_waiting(i);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
    }
    for (int i = 0; i < 20; i++)
        feed(children[i]);
    for (int i = 0; i < 20; i++)
        await_zombie(children[i]);
    struct proc_event event;
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), 1); /* others are gathered, where it gathers */
    proc_waiter_free(waiter);
    for (int i = 20; i < 40; i++) {
        ck_assert(proc_running(children[i]));
        feed(children[i]);
    }
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(must_end(children[i]).code, i);
}
END_TEST

/* Whatever is called between two events, an end that a call has heard of is not forgotten: the descriptor tells. */
START_TEST(no_other_call_takes_the_news_away)
{
    if (_i == BY_PIDFD && no_pidfds())
        return;
    for (int call = 0; call < 4; call++) {
        pid_t foreign = fork(); /* older than ours: dead, it is what the kernel shows first */
        if (foreign == 0)
            for (;;)
                pause();
        struct proc_waiter *waiter = waiter_by(_i);
        struct proc *proc = spawn_waiting(3), *other = spawn_waiting(0), *third = spawn_waiting(0);
        siginfo_t info;

        ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
        ck_assert_int_eq(proc_waiter_add(waiter, other, NULL), 0);
        ck_assert_int_eq(kill(foreign, SIGKILL), 0);
        ck_assert_int_eq(waitid(P_PID, (id_t)foreign, &info, WEXITED | WNOWAIT), 0);
        feed(proc);
        await_zombie(proc);
        if (call == 0)
            ck_assert_int_eq(proc_waiter_add(waiter, third, NULL), 0);
        else if (call == 1)
            ck_assert_int_eq(proc_waiter_remove(waiter, other), 0);
        else if (call == 2)
            ck_assert_int_eq(proc_stop(other, NULL, 0), 2);
        else
            proc_free(other);
        ck_assert(is_readable(waiter, 20000));
        ck_assert_int_eq(must_report(waiter, proc, NULL).code, 3);
        proc_free(proc);
        proc_free(third);
        if (call < 3)
            proc_free(other);
        proc_waiter_free(waiter);
        ck_assert_int_eq(waitpid(foreign, NULL, 0), foreign);
    }
}
END_TEST

/* ---- wrong arguments, and limits ---- */

START_TEST(wrong_arguments_are_told)
{
    struct proc_event event;

    ck_assert_ptr_null(proc_waiter_new(4));
    ck_assert_int_eq(errno, EINVAL);
    proc_waiter_free(NULL);
    struct proc_waiter *waiter = proc_waiter_new(0);
    ck_assert_ptr_null(proc_waiter_new(0));
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_ptr_null(proc_waiter_new(PROC_WAITER_PIDFD | PROC_WAITER_ADOPT)); /* which needs SIGCHLD as well */
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), -1); /* for ever, and for nothing */
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 5), 0);
    struct proc *proc = spawn_waiting(0);
    ck_assert_int_eq(proc_waiter_remove(waiter, proc), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), -1);
    ck_assert_int_eq(errno, EEXIST);
    struct proc_waiter *other = proc_waiter_new(PROC_WAITER_PIDFD);
    ck_assert_int_eq(proc_waiter_add(other, proc, NULL), -1);
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_eq(proc_waiter_remove(other, proc), -1);
    ck_assert_int_eq(errno, ENOENT);
    proc_free(proc);
    proc_waiter_free(other);
    proc_waiter_free(waiter);
    waiter = proc_waiter_new(0); /* SIGCHLD is free again */
    ck_assert_ptr_nonnull(waiter);
    proc_waiter_free(waiter);
}
END_TEST

static int add_itself(struct proc *self, void *parents_child)
{
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    int result = proc_waiter_add(waiter, self, NULL) == -1 && errno == EINVAL ? 0 : 1;

    if (proc_waiter_add(waiter, parents_child, NULL) != -1 || errno != EINVAL)
        result |= 2;
    proc_waiter_free(waiter);
    return result;
}

START_TEST(a_child_cannot_watch_itself_nor_its_parents_children)
{
    struct proc *sibling = spawn_waiting(0);

    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = add_itself, .arg = sibling})).code, 0);
    proc_free(sibling);
}
END_TEST

static void limit_descriptors(int spare)
{
    struct rlimit limit;
    int first_free = spare < 0 ? 0 : dup(0);

    ck_assert_int_ge(first_free, 0);
    if (spare >= 0)
        close(first_free);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = spare < 0 ? limit.rlim_max : (rlim_t)(first_free + spare);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int end_at_once(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return 3;
}

START_TEST(without_descriptors_the_pidfd_mode_says_emfile_and_loses_nothing)
{
    struct proc_waiter *waiter = waiter_by(BY_PIDFD);

    if (!waiter)
        return;
    limit_descriptors(0);
    struct proc *proc = must_spawn((struct proc_options){.main = end_at_once}); /* which needs none but the pidfd */
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), -1);
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    limit_descriptors(-1);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(must_report(waiter, proc, NULL).code, 3);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(the_signal_mode_needs_no_descriptor_for_a_child)
{
    enum { MANY = 300 };
    struct proc_waiter *waiter = waiter_by(BY_SIGNAL);
    struct proc_event event;

    limit_descriptors(8);
    for (int i = 0; i < MANY; i++) {
        struct proc *proc = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/true", NULL}});

        ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        ck_assert(proc_exit_ok(&event.exit));
        proc_free(event.proc);
    }
    proc_waiter_free(waiter);
    limit_descriptors(-1);
}
END_TEST

START_TEST(the_signal_mode_leaves_half_of_the_descriptors_to_the_program)
{
    enum { MANY = 60 };
    struct proc_waiter *waiter = waiter_by(BY_SIGNAL);
    struct proc *children[MANY];
    struct proc_event event;

    limit_descriptors(MANY + 20);
    int at_first = fds_count();
    for (int i = 0; i < MANY; i++) {
        children[i] = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/cat", NULL}, .in = PROC_NULL});
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
    }
    ck_assert_int_le(fds_count(), (at_first + MANY + 20) / 2 + 1);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        proc_free(event.proc);
    }
    proc_waiter_free(waiter);
    limit_descriptors(-1);
}
END_TEST

/* A child without a pidfd that other code has reaped, before there was room for one. */
START_TEST(one_that_was_stolen_before_it_was_added_is_reported)
{
    struct proc_waiter *waiter = waiter_by(BY_PIDFD);

    if (!waiter)
        return;
    limit_descriptors(0);
    struct proc *proc = must_spawn((struct proc_options){.main = end_at_once});
    limit_descriptors(-1);
    ck_assert_int_eq(waitpid(proc_pid(proc), NULL, 0), proc_pid(proc));
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    struct proc_exit exit = must_report(waiter, proc, NULL);
    ck_assert(exit.code == -1 && exit.signal == -1);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_reported_child_has_given_its_descriptor_back)
{
    struct proc_waiter *waiter = waiter_by(_i);

    if (!waiter)
        return;
    int before = fds_count();
    struct proc *proc = must_spawn((struct proc_options){.main = end_at_once});
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    must_report(waiter, proc, NULL);
    ck_assert_int_eq(fds_count(), before);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

static int make_one_without_standard_streams(struct proc *self, void *unused)
{
    struct fd_set_all fds;

    (void)self, (void)unused;
    close(0);
    close(1);
    close(2);
    struct proc_waiter *waiter = proc_waiter_new(0);
    fds_open(&fds);
    proc_waiter_free(waiter);
    return !waiter || fds.open[0] & 7;
}

START_TEST(none_of_its_descriptors_takes_the_place_of_a_standard_stream)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = make_one_without_standard_streams})).code, 0);
}
END_TEST

/* ---- in company ---- */

static bool pidfds_tell_exits(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t info[16] = {8}; /* PIDFD_INFO_EXIT */
    waitpid(pid, NULL, 0);
    bool tells = pidfd >= 0 && !seam_is_off("pidfd_info") && syscall(SYS_ioctl, pidfd, 0xc040ff0bu, info) == 0 && info[0] & 8;
    if (pidfd >= 0)
        close(pidfd);
    return tells;
}

START_TEST(a_stolen_child_is_reported_with_its_status_where_the_kernel_can_tell)
{
    bool tells = pidfds_tell_exits() && !no_pidfds() && _i != BY_SIGNAL_ALONE;
    struct proc_waiter *waiter = waiter_by(_i);

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(9), *other = spawn_waiting(1);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_waiter_add(waiter, other, NULL), 0);
    feed(proc);
    ck_assert_int_eq(waitpid(proc_pid(proc), NULL, 0), proc_pid(proc));
    struct proc_exit exit = must_report(waiter, proc, NULL);
    ck_assert_int_eq(exit.code, tells ? 9 : -1);
    ck_assert_int_eq(exit.signal, tells ? 0 : -1);
    proc_free(proc);
    proc_free(other);
    proc_waiter_free(waiter);
}
END_TEST

static atomic_bool thief_is_to_stop;

static void *steal(void *stolen)
{
    while (!thief_is_to_stop)
        if (waitpid(-1, NULL, WNOHANG) > 0)
            ++*(atomic_int *)stolen;
    return NULL;
}

/* The signal of a child that was stolen may have been merged into that of another one. */
START_TEST(beside_a_thread_that_reaps_everything_each_exit_is_reported_once)
{
    enum { MANY = 400 };
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;
    atomic_int stolen = 0;
    pthread_t thief;
    int rounds = runs_instrumented() ? 40 : MANY, reported = 0;

    if (!waiter)
        return;
    thief_is_to_stop = false;
    ck_assert_int_eq(pthread_create(&thief, NULL, steal, &stolen), 0);
    for (int started = 0; reported < rounds;) {
        while (started < rounds && started - reported < 20) {
            struct proc_options options = {.argv = (const char *[]){"/bin/true", NULL}};
            struct proc *proc = must_spawn(options);

            ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
            started++;
        }
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        ck_assert(event.exit.code == 0 || (event.exit.code == -1 && event.exit.signal == -1));
        proc_free(event.proc);
        reported++;
    }
    thief_is_to_stop = true;
    pthread_join(thief, NULL);
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    ck_assert_int_gt(stolen, 0);
    proc_waiter_free(waiter);
}
END_TEST

static void set_sigchld(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    ck_assert_int_eq(sigaction(SIGCHLD, &action, NULL), 0);
}

static void on_sigchld(int signo)
{
    (void)signo;
}

START_TEST(children_are_reported_where_sigchld_is_ignored_and_it_is_ignored_again_after)
{
    static const struct {
        void (*handler)(int);
        int flags;
    } actions[] = {{SIG_IGN, 0}, {SIG_DFL, SA_NOCLDWAIT}, {on_sigchld, SA_NOCLDWAIT | SA_RESTART}};
    bool tells = pidfds_tell_exits();

    for (int i = 0; i < 3; i++) {
        struct sigaction now;

        set_sigchld(actions[i].handler, actions[i].flags);
        struct proc_waiter *waiter = waiter_by(_i);
        if (!waiter)
            return;
        struct proc *proc = spawn_waiting(4);
        ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
        feed(proc);
        struct proc_exit exit = must_report(waiter, proc, NULL);
        ck_assert_int_eq(exit.code, _i != BY_PIDFD || tells ? 4 : -1);
        proc_free(proc);
        proc_waiter_free(waiter);
        ck_assert_int_eq(sigaction(SIGCHLD, NULL, &now), 0);
        ck_assert(now.sa_handler == actions[i].handler);
        ck_assert_int_eq(now.sa_flags & (SA_NOCLDWAIT | SA_RESTART), actions[i].flags);
    }
    set_sigchld(SIG_DFL, 0);
}
END_TEST

START_TEST(what_the_program_sets_for_sigchld_meanwhile_stays)
{
    static const struct {
        void (*before)(int), (*meanwhile)(int);
        int flags;
    } cases[] = {{SIG_IGN, on_sigchld, 0}, {on_sigchld, SIG_DFL, 0}, {SIG_IGN, SIG_DFL, SA_RESTART}};

    for (int i = 0; i < 3; i++) {
        struct sigaction now;

        set_sigchld(cases[i].before, SA_NOCLDWAIT);
        struct proc_waiter *waiter = waiter_by(BY_SIGNAL);
        set_sigchld(cases[i].meanwhile, cases[i].flags);
        proc_waiter_free(waiter);
        ck_assert_int_eq(sigaction(SIGCHLD, NULL, &now), 0);
        ck_assert(now.sa_handler == cases[i].meanwhile);
        ck_assert_int_eq(now.sa_flags & (SA_NOCLDWAIT | SA_RESTART), cases[i].flags);
    }
    set_sigchld(SIG_DFL, 0);
}
END_TEST

/* Ends with a number of children of other code that nobody reaps meanwhile; returns how many system calls the waiter made for
 * a thousand children of ours. */
static long calls_beside_foreign_zombies(int way, int foreign, int ours)
{
    enum { ALIVE = 50 };
    pid_t zombies[100];
    struct proc_event event;

    for (int i = 0; i < foreign; i++) {
        zombies[i] = fork();
        if (zombies[i] == 0)
            _exit(i);
    }
    for (int i = 0; i < foreign; i++) {
        siginfo_t info;
        ck_assert_int_eq(waitid(P_PID, (id_t)zombies[i], &info, WEXITED | WNOWAIT), 0);
    }
    struct proc_waiter *waiter = waiter_by(way);
    long calls = 0;
    for (int started = 0, reported = 0; reported < ours;) {
        while (started < ours && started - reported < ALIVE) {
            struct proc *proc = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/true", NULL}});
            long before = seam_calls();

            ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
            calls += seam_calls() - before;
            started++;
        }
        long before = seam_calls();
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        calls += seam_calls() - before;
        ck_assert(proc_exit_ok(&event.exit));
        proc_free(event.proc);
        reported++;
    }
    proc_waiter_free(waiter);
    for (int i = 0; i < foreign; i++) {
        int status;

        ck_assert_int_eq(waitpid(zombies[i], &status, WNOHANG), zombies[i]);
        ck_assert_int_eq(WEXITSTATUS(status), i);
    }
    return calls;
}

START_TEST(foreign_zombies_stay_and_cost_the_waiter_nothing)
{
    int ours = runs_instrumented() ? 100 : 1000;

    if (_i == BY_PIDFD && no_pidfds())
        return;
    long alone = calls_beside_foreign_zombies(_i, 0, ours), beside = calls_beside_foreign_zombies(_i, 100, ours);
    if (_i != BY_SIGNAL_ALONE) /* there each is asked now and then, as often as its share of the time allows */
        ck_assert_msg(beside <= alone * 3 / 2, "%ld system calls alone, %ld beside foreign zombies", alone, beside);
}
END_TEST

static int trace(struct proc *self, void *traced)
{
    pid_t pid = *(pid_t *)traced;
    char byte;

    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return 1;
    proc_write(self, "t", 1);
    proc_read(self, &byte, 1);
    return 0;
}

/* A child that has ended belongs to its tracer first: its pidfd is readable, and yet it cannot be reaped. */
START_TEST(a_child_that_a_tracer_holds_is_reported_when_the_tracer_lets_go)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;
    char byte;

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(8);
    pid_t traced = proc_pid(proc);
    struct proc *tracer = must_spawn((struct proc_options){.main = trace, .arg = &traced, .channel = PROC_STREAM});
    if (proc_read(tracer, &byte, 1) != 1) {
        skip("ptrace is not allowed here");
        proc_free(tracer);
        proc_free(proc);
        proc_waiter_free(waiter);
        return;
    }
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    feed(proc);
    struct pollfd ended = {.fd = proc_pidfd(proc), .events = POLLIN};
    if (ended.fd >= 0)
        ck_assert_int_eq(poll(&ended, 1, 20000), 1);
    long before = seam_calls();
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 200), 0);
    ck_assert_int_lt(seam_calls() - before, 200);
    feed(tracer);
    ck_assert_int_eq(must_report(waiter, proc, NULL).code, 8);
    proc_free(proc);
    proc_free(tracer);
    proc_waiter_free(waiter);
}
END_TEST

/* What is forked meanwhile holds copies of the pidfds, which keep them registered after we have closed ours. */
START_TEST(copies_of_pidfds_in_a_forked_process_report_nothing)
{
    struct proc_waiter *waiter = waiter_by(_i);
    int gate[2];
    char byte;

    if (!waiter)
        return;
    struct proc *children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = spawn_waiting(i);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
    }
    ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
    pid_t copy = fork();
    if (copy == 0) {
        close(gate[1]);
        _exit((int)read(gate[0], &byte, 1));
    }
    feed(children[0]);
    must_report(waiter, children[0], NULL);
    proc_free(children[0]);
    must_be_quiet(waiter);
    ck_assert_int_eq(proc_waiter_remove(waiter, children[1]), 0);
    feed(children[1]);
    await_zombie(children[1]);
    proc_waiter_next(waiter, &(struct proc_event){0}, 0); /* its SIGCHLD */
    if (_i != BY_SIGNAL_ALONE) /* there each is asked, since the one that was removed may hide others */
        must_be_quiet(waiter);
    proc_free(children[1]);
    proc_free(children[2]);
    if (_i != BY_SIGNAL_ALONE)
        must_be_quiet(waiter);
    close(gate[1]);
    close(gate[0]);
    ck_assert_int_eq(waitpid(copy, NULL, 0), copy);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_forked_copy_of_the_waiter_can_be_freed_and_disturbs_nothing)
{
    struct proc_waiter *waiter = waiter_by(_i);
    int status;

    if (!waiter)
        return;
    struct proc *proc = spawn_waiting(6);
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    for (int order = 0; order < 2; order++) {
        pid_t copy = fork();
        if (copy == 0) {
            if (order)
                proc_free(proc);
            proc_waiter_free(waiter);
            if (!order)
                proc_free(proc);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(copy, &status, 0), copy);
        ck_assert_int_eq(status, 0);
    }
    feed(proc);
    ck_assert_int_eq(must_report(waiter, proc, NULL).code, 6);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

static int look_around(struct proc *self, void *inherited)
{
    char link[64], path[64];
    int result = 0;

    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
        if (strncmp(link, "anon_inode:", 11) == 0 || strncmp(link, "pidfd:", 6) == 0)
            result |= 1;
    }
    if (strcmp(status_of(getpid(), "SigBlk"), "0000000000000000") != 0)
        result |= 2;
    if (strcmp(status_of(getpid(), "ShdPnd"), "0000000000000000") != 0)
        result |= 4;
    proc_waiter_free(inherited);
    struct proc_waiter *waiter = proc_waiter_new(0); /* SIGCHLD is not the parent's waiter's here */
    if (!waiter)
        return result | 8;
    struct proc_options options = {.argv = (const char *[]){"/bin/true", NULL}};
    struct proc_event event;
    struct proc *child = proc_spawn(&options);
    if (!child || proc_waiter_add(waiter, child, NULL) < 0 || proc_waiter_signal(waiter, SIGUSR1, NULL) < 0 ||
        proc_waiter_next(waiter, &event, 20000) != 1 || event.proc != child)
        result |= 16;
    proc_free(child);
    proc_waiter_free(waiter);
    (void)self;
    return result;
}

static atomic_bool makers_are_to_stop;

static void *make_waiters(void *unused)
{
    while (!makers_are_to_stop)
        proc_waiter_free(proc_waiter_new(PROC_WAITER_PIDFD));
    return unused;
}

static int count_anonymous(struct proc *self, void *unused)
{
    char link[64], path[64];
    int found = 0;

    (void)self, (void)unused;
    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
        found += strncmp(link, "anon_inode:", 11) == 0;
    }
    return found;
}

START_TEST(nor_of_those_that_another_thread_is_just_making)
{
    int rounds = runs_instrumented() ? 30 : 300, inherited = 0;
    pthread_t maker;

    makers_are_to_stop = false;
    ck_assert_int_eq(pthread_create(&maker, NULL, make_waiters, NULL), 0);
    for (int i = 0; i < rounds; i++)
        inherited += must_end(must_spawn((struct proc_options){.main = count_anonymous})).code;
    makers_are_to_stop = true;
    pthread_join(maker, NULL);
    ck_assert_int_eq(inherited, 0);
}
END_TEST

/* A plain fork shares the bell. */
START_TEST(a_forked_copy_does_not_silence_the_bell)
{
    struct proc_waiter *waiter = waiter_by(BY_SIGNAL_ALONE);
    struct proc *children[3];
    struct proc_event event;

    for (int i = 0; i < 3; i++) {
        children[i] = spawn_waiting(i);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
        feed(children[i]);
        await_zombie(children[i]);
    }
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), 1); /* now the other two are gathered */
    pid_t copy = fork();
    if (copy == 0) {
        for (int i = 0; i < 3; i++)
            proc_free(children[i]);
        proc_waiter_free(waiter);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(copy, NULL, 0), copy);
    for (int i = 0; i < 2; i++) {
        ck_assert(is_readable(waiter, 0));
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 1);
    }
    for (int i = 0; i < 3; i++)
        proc_free(children[i]);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_callback_child_inherits_nothing_of_the_waiter)
{
    struct proc_waiter *waiter = waiter_by(_i);

    if (!waiter)
        return;
    struct proc *other = spawn_waiting(0);
    ck_assert_int_eq(proc_waiter_add(waiter, other, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    struct proc *proc = must_spawn((struct proc_options){.main = look_around, .arg = waiter});
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(must_report(waiter, proc, NULL).code, 0);
    proc_free(proc);
    feed(other);
    must_report(waiter, other, NULL);
    proc_free(other);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_detached_child_is_reported_too)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;

    if (!waiter || no_pidfds()) {
        proc_waiter_free(waiter);
        return;
    }
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .flags = PROC_DETACH}, "read x");
    ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 10), 0);
    proc_close(proc, PROC_CLOSE_IN);
    must_report(waiter, proc, NULL);
    proc_free(proc);
    proc_waiter_free(waiter);
}
END_TEST

/* With one number after the other, the next child has that of one that was stolen, and of which nobody has heard yet. */
START_TEST(a_number_that_is_used_again_confuses_nobody)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc *second = NULL;
    bool tells = pidfds_tell_exits() && !no_pidfds() && _i != BY_SIGNAL_ALONE;

    if (!waiter)
        return;
    struct proc *first = spawn_waiting(1);
    ck_assert_int_eq(proc_waiter_add(waiter, first, &first), 0);
    feed(first);
    ck_assert_int_eq(waitpid(proc_pid(first), NULL, 0), proc_pid(first));
    for (int tries = 0; tries < 200; tries++) {
        FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "we");

        if (!last)
            break;
        fprintf(last, "%d", (int)proc_pid(first) - 1);
        if (fclose(last) != 0)
            break;
        second = spawn_waiting(2);
        if (proc_pid(second) == proc_pid(first))
            break;
        proc_free(second);
        second = NULL;
    }
    if (!second) {
        skip("the next process number cannot be chosen here");
    } else {
        ck_assert_int_eq(proc_waiter_add(waiter, second, &second), 0);
        ck_assert_int_eq(proc_waiter_children(waiter), 2);
        struct proc_exit exit = must_report(waiter, first, &first);
        ck_assert_int_eq(exit.code, tells ? 1 : -1);
        ck_assert(proc_running(second));
        ck_assert_int_eq(proc_waiter_add(waiter, first, &first), 0); /* whose number is no longer its own */
        must_report(waiter, first, &first);
        feed(second);
        ck_assert_int_eq(must_report(waiter, second, &second).code, 2);
    }
    proc_free(first);
    proc_free(second);
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    proc_waiter_free(waiter);
}
END_TEST

/* ---- many ---- */

START_TEST(five_hundred_that_end_at_once_are_all_reported)
{
    enum { MANY = 500 };
    static struct proc *children[MANY];
    static bool seen[MANY];
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc_event event;
    int gate[2], count = runs_instrumented() ? 50 : MANY;

    if (!waiter)
        return;
    ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < count; i++) {
        char script[32];

        snprintf(script, sizeof script, "read x; exit %d", i % 200);
        children[i] = must_spawn_shell((struct proc_options){.in = PROC_FD(gate[0])}, script);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], &seen[i]), 0);
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        bool *mark = event.data;
        ck_assert(!*mark);
        *mark = true;
        ck_assert_int_eq(event.exit.code, (mark - seen) % 200);
        proc_free(event.proc);
    }
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
    proc_waiter_free(waiter);
}
END_TEST

static int live_shortly(struct proc *self, void *number)
{
    (void)self;
    for (volatile int spin = rand() % 1000; spin > 0; spin--)
        ;
    return (int)((intptr_t)number % 200);
}

static atomic_bool storm_is_over;

/* Signals with a handler, routed ones, and SIGCHLDs that no child has raised. */
static void *storm(void *unused)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH};
    unsigned seed = 1;

    (void)unused;
    while (!storm_is_over) {
        kill(getpid(), signals[rand_r(&seed) % 4]);
        usleep((useconds_t)(rand_r(&seed) % 200));
    }
    return NULL;
}

START_TEST(twenty_thousand_short_lives_are_each_reported_once)
{
    enum { MANY = 20000, ALIVE = 200 };
    static unsigned char seen[MANY];
    static struct proc *alive[MANY];
    struct proc_waiter *waiter = waiter_by(_i);
    struct sigaction action = {.sa_handler = on_sigchld};
    struct proc_event event;
    int count = runs_instrumented() ? 400 : _i == BY_SIGNAL_ALONE || runs_without_a_feature() ? 4000 : MANY;
    int started = 0, reported = 0, killed = 0, routed = 0;
    pthread_t thread;

    if (!waiter)
        return;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0); /* for the other thread */
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    storm_is_over = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, storm, NULL), 0);
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR2, NULL), 0);
    while (reported < count) {
        while (started < count && started - reported < ALIVE) {
            alive[started] = must_spawn((struct proc_options){.main = live_shortly, .arg = (void *)(intptr_t)started});
            ck_assert_int_eq(proc_waiter_add(waiter, alive[started], &seen[started]), 0);
            started++;
        }
        struct proc *victim = alive[started - 1 - rand() % (started < 10 ? started : 10)];
        if (victim && rand() % 4 == 0)
            proc_kill(victim, SIGKILL);
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        if (event.type == PROC_EVENT_SIGNAL) {
            ck_assert_int_eq(event.signo, SIGUSR2);
            routed++;
            continue;
        }
        ck_assert_int_eq(event.type, PROC_EVENT_EXIT);
        long number = (unsigned char *)event.data - seen;
        ck_assert_int_eq(seen[number]++, 0);
        ck_assert_ptr_eq(alive[number], event.proc);
        ck_assert(event.exit.signal == SIGKILL || event.exit.code == number % 200);
        killed += event.exit.signal == SIGKILL;
        alive[number] = NULL;
        proc_free(event.proc);
        reported++;
    }
    storm_is_over = true;
    pthread_join(thread, NULL);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(seen[i], 1);
    ck_assert_int_eq(proc_waiter_children(waiter), 0);
    ck_assert_int_gt(killed, 0);
    ck_assert_int_gt(routed, 0);
    proc_waiter_free(waiter);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &blocked, NULL), 0);
}
END_TEST

static void *watch_in_a_thread(void *unused)
{
    struct proc_waiter *waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    struct proc_event event;
    int left = runs_instrumented() ? 20 : 200;

    for (int i = 0; i < left; i++)
        ck_assert_int_eq(proc_waiter_add(waiter, must_spawn((struct proc_options){.argv = SHELL("exit 1")}), waiter), 0);
    for (; left > 0; left--) {
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        ck_assert_ptr_eq(event.data, waiter);
        ck_assert_int_eq(event.exit.code, 1);
        proc_free(event.proc);
    }
    proc_waiter_free(waiter);
    return unused;
}

START_TEST(waiters_in_several_threads_do_not_meet)
{
    pthread_t threads[4];

    if (no_pidfds())
        return;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, watch_in_a_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

START_TEST(an_idle_waiter_does_nothing)
{
    struct proc_waiter *waiter = waiter_by(_i);
    struct proc *children[20];
    struct proc_event event;

    if (!waiter)
        return;
    for (int i = 0; i < 20; i++) {
        children[i] = spawn_waiting(0);
        ck_assert_int_eq(proc_waiter_add(waiter, children[i], NULL), 0);
    }
    ck_assert_int_eq(proc_waiter_signal(waiter, SIGUSR1, NULL), 0);
    ck_assert_int_gt(proc_waiter_alarm(waiter, INT64_C(3600000000), 0, NULL), 0);
    long before = seam_calls();
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 700), 0);
    ck_assert_int_le(seam_calls() - before, 8);
    for (int i = 0; i < 20; i++)
        proc_free(children[i]);
    proc_waiter_free(waiter);
}
END_TEST

/* The cost of an exit, in system calls, is the same whatever lives beside it. */
START_TEST(an_exit_takes_as_many_calls_beside_many_as_beside_few)
{
    struct proc_waiter *waiter = waiter_by(_i);
    static struct proc *others[1000];
    struct proc_event event;
    long calls[2];
    int count = 0, many = runs_instrumented() ? 50 : 400;

    if (!waiter)
        return;
    for (int round = 0; round < 2; round++) {
        for (; count < (round ? many : 10); count++) {
            others[count] = spawn_waiting(0);
            ck_assert_int_eq(proc_waiter_add(waiter, others[count], NULL), 0);
        }
        calls[round] = 0;
        for (int i = 0; i < 20; i++) {
            struct proc *proc = spawn_waiting(3);

            ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
            feed(proc);
            await_zombie(proc);
            long before = seam_calls();
            ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
            calls[round] += seam_calls() - before;
            ck_assert_ptr_eq(event.proc, proc);
            proc_free(proc);
        }
    }
    if (_i != BY_SIGNAL_ALONE) /* there each is asked, twice a second */
        ck_assert_int_le(calls[1], calls[0] + 20);
    for (int i = 0; i < count; i++)
        proc_free(others[i]);
    proc_waiter_free(waiter);
}
END_TEST

static void add_in_each_way(TCase *tcase, const TTest *test)
{
    tcase_add_loop_test(tcase, test, 0, WAYS);
}

Suite *suite_make(void)
{
    Suite *suite = suite_create("waiter");
    TCase *tcase = tcase_checked(suite, "one");

    add_in_each_way(tcase, an_exit_is_reported_once_and_the_child_has_left);
    add_in_each_way(tcase, the_descriptor_is_readable_exactly_while_there_is_an_event);
    add_in_each_way(tcase, one_that_ended_before_it_was_added_is_reported);
    add_in_each_way(tcase, a_killed_child_is_reported_as_killed_and_a_stopped_one_not_at_all);
    tcase = tcase_checked(suite, "by hand");
    add_in_each_way(tcase, a_child_that_is_reaped_or_freed_by_hand_leaves_without_an_event);
    add_in_each_way(tcase, a_removed_child_is_the_callers_alone_and_what_was_due_of_it_is_dropped);
    add_in_each_way(tcase, freeing_the_waiter_leaves_its_children_as_they_are);
    add_in_each_way(tcase, no_other_call_takes_the_news_away);
    tcase = tcase_checked(suite, "limits");
    tcase_add_test(tcase, wrong_arguments_are_told);
    tcase_add_test(tcase, a_child_cannot_watch_itself_nor_its_parents_children);
    tcase_add_test(tcase, without_descriptors_the_pidfd_mode_says_emfile_and_loses_nothing);
    tcase_add_test(tcase, the_signal_mode_needs_no_descriptor_for_a_child);
    tcase_add_test(tcase, one_that_was_stolen_before_it_was_added_is_reported);
    add_in_each_way(tcase, a_reported_child_has_given_its_descriptor_back);
    tcase_add_test(tcase, none_of_its_descriptors_takes_the_place_of_a_standard_stream);
    tcase_add_test(tcase, the_signal_mode_leaves_half_of_the_descriptors_to_the_program);
    tcase = tcase_checked(suite, "in company");
    add_in_each_way(tcase, a_stolen_child_is_reported_with_its_status_where_the_kernel_can_tell);
    add_in_each_way(tcase, beside_a_thread_that_reaps_everything_each_exit_is_reported_once);
    add_in_each_way(tcase, children_are_reported_where_sigchld_is_ignored_and_it_is_ignored_again_after);
    tcase_add_test(tcase, what_the_program_sets_for_sigchld_meanwhile_stays);
    add_in_each_way(tcase, foreign_zombies_stay_and_cost_the_waiter_nothing);
    add_in_each_way(tcase, a_child_that_a_tracer_holds_is_reported_when_the_tracer_lets_go);
    add_in_each_way(tcase, copies_of_pidfds_in_a_forked_process_report_nothing);
    add_in_each_way(tcase, a_forked_copy_of_the_waiter_can_be_freed_and_disturbs_nothing);
    add_in_each_way(tcase, a_callback_child_inherits_nothing_of_the_waiter);
    tcase_add_test(tcase, nor_of_those_that_another_thread_is_just_making);
    tcase_add_test(tcase, a_forked_copy_does_not_silence_the_bell);
    add_in_each_way(tcase, a_detached_child_is_reported_too);
    add_in_each_way(tcase, a_number_that_is_used_again_confuses_nobody);
    tcase = tcase_checked(suite, "many");
    tcase_set_timeout(tcase, 300);
    add_in_each_way(tcase, five_hundred_that_end_at_once_are_all_reported);
    add_in_each_way(tcase, twenty_thousand_short_lives_are_each_reported_once);
    tcase_add_test(tcase, waiters_in_several_threads_do_not_meet);
    add_in_each_way(tcase, an_idle_waiter_does_nothing);
    add_in_each_way(tcase, an_exit_takes_as_many_calls_beside_many_as_beside_few);
    return suite;
}
