/* Orphaned descendants that a waiter adopts, and the children that it must not take for orphans. */
#include "ends.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct proc_waiter *waiter;

static void make_waiter(int way)
{
    waiter = proc_waiter_new(PROC_WAITER_ADOPT | (way ? PROC_WAITER_PIDFD : 0));
    ck_assert_msg(waiter != NULL, "proc_waiter_new: %s", strerror(errno));
}

/* The next event, but for the end of this child, which is freed. */
static struct proc_event must_come(struct proc **besides)
{
    struct proc_event event;

    ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
    if (event.type == PROC_EVENT_EXIT && besides && event.proc == *besides) {
        proc_free(*besides);
        *besides = NULL;
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
    }
    return event;
}

/* A child that leaves an orphan behind and tells its number. The orphan ends when the pipe is closed. */
static struct proc *spawn_leaving(int gate, const char *end, pid_t *orphan)
{
    char script[128], text[32] = "";

    snprintf(script, sizeof script, "{ read x <&7; %s; } & echo $!", end);
    struct proc *proc = must_spawn_shell(
        (struct proc_options){.out = PROC_PIPE, .fds = &(struct proc_fd){gate, 7}, .nfds = 1}, script);
    ck_assert_int_gt(proc_read(proc, text, sizeof text - 1), 1);
    *orphan = atoi(text);
    return proc;
}

static bool adds_children(int way)
{
    return !way || !no_pidfds();
}

START_TEST(an_orphan_is_reaped_and_reported)
{
    static const struct {
        const char *end;
        int code, signo;
    } ends[] = {{"exit 23", 23, 0}, {"kill -9 $(exec sh -c 'echo $PPID')", -1, SIGKILL}};

    if (!adds_children(_i))
        return;
    make_waiter(_i);
    for (int i = 0; i < 2; i++) {
        int gate[2];
        pid_t pid;

        ck_assert_int_eq(pipe(gate), 0);
        struct proc *proc = spawn_leaving(gate[0], ends[i].end, &pid);
        ck_assert_int_eq(proc_waiter_add(waiter, proc, NULL), 0);
        struct proc_event event;
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 20000), 1);
        ck_assert_ptr_eq(event.proc, proc);
        proc_free(proc);
        ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
        close(gate[1]);
        event = must_come(NULL);
        ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
        ck_assert_ptr_null(event.proc);
        ck_assert_ptr_null(event.data);
        ck_assert_int_eq(event.exit.pid, pid);
        ck_assert_int_eq(event.exit.code, ends[i].code);
        ck_assert_int_eq(event.exit.signal, ends[i].signo);
        ck_assert_int_eq(event.exit.elapsed_ns, 0);
        ck_assert_int_gt(event.exit.usage.ru_maxrss, 0);
        ck_assert_int_eq(kill(pid, 0), -1);
        close(gate[0]);
        ck_assert_int_eq(poll(&(struct pollfd){.fd = proc_waiter_fd(waiter), .events = POLLIN}, 1, 0), 0);
    }
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_hundred_orphans_at_once_are_each_reported_once)
{
    enum { MANY = 100 };
    pid_t pids[MANY];
    int gate[2], seen = 0;

    make_waiter(_i);
    ck_assert_int_eq(pipe(gate), 0);
    for (int i = 0; i < MANY; i++)
        proc_free(spawn_leaving(gate[0], "exit 1", &pids[i]));
    close(gate[0]);
    close(gate[1]);
    while (seen < MANY) {
        struct proc_event event = must_come(NULL);

        ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
        for (int i = 0; i < MANY; i++)
            if (pids[i] == event.exit.pid) {
                pids[i] = 0;
                seen++;
            }
    }
    proc_waiter_free(waiter);
}
END_TEST

static pid_t fork_until_closed(int gate[2])
{
    char byte;
    pid_t pid = fork();

    if (pid == 0) {
        close(gate[1]);
        _exit((int)read(gate[0], &byte, 1) + 3);
    }
    return pid;
}

static void await_zombie(pid_t pid)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

/* Dead, they are what the kernel shows first, and hide the orphans. */
START_TEST(children_that_were_there_before_are_left_alone_and_hide_nobody)
{
    int strangers_gate[2], gate[2];
    pid_t strangers[3], pid;

    ck_assert_int_eq(pipe2(strangers_gate, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++)
        strangers[i] = fork_until_closed(strangers_gate);
    make_waiter(_i);
    close(strangers_gate[1]);
    for (int i = 0; i < 3; i++)
        await_zombie(strangers[i]);
    ck_assert_int_eq(pipe(gate), 0);
    proc_free(spawn_leaving(gate[0], "exit 5", &pid));
    close(gate[1]);
    struct proc_event event = must_come(NULL);
    ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
    ck_assert_int_eq(event.exit.pid, pid);
    ck_assert_int_eq(event.exit.code, 5);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 10), 0);
    proc_waiter_free(waiter);
    for (int i = 0; i < 3; i++) {
        int status;

        ck_assert_int_eq(waitpid(strangers[i], &status, WNOHANG), strangers[i]);
        ck_assert_int_eq(WEXITSTATUS(status), 3);
    }
    close(gate[0]);
    close(strangers_gate[0]);
}
END_TEST

START_TEST(a_child_of_ours_is_no_orphan_whether_it_is_in_the_waiter_or_not)
{
    struct proc_event event;
    int gate[2];
    pid_t pid;

    make_waiter(_i);
    struct proc *proc = must_spawn_shell((struct proc_options){0}, "exit 9");
    await_zombie(proc_pid(proc));
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 10), 0);
    ck_assert_int_eq(pipe(gate), 0);
    proc_free(spawn_leaving(gate[0], "exit 5", &pid)); /* behind the other one */
    close(gate[1]);
    ck_assert_int_eq(must_come(NULL).exit.pid, pid);
    ck_assert_int_eq(must_end(proc).code, 9);
    close(gate[0]);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(a_detached_child_is_an_orphan_once_it_is_freed)
{
    struct proc_event event;

    make_waiter(_i);
    for (int freed_before = no_pidfds(); freed_before < 2; freed_before++) { /* without a pidfd it cannot be waited for */
        struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .flags = PROC_DETACH}, "read x; exit 6");
        pid_t pid = proc_pid(proc);
        int input = dup(proc_in(proc));

        if (freed_before)
            proc_free(proc);
        else
            proc_close(proc, PROC_CLOSE_IN);
        close(input);
        if (!freed_before) {
            struct proc_exit exit;

            await_zombie(pid);
            ck_assert_int_eq(proc_waiter_next(waiter, &event, 10), 0);
            ck_assert_int_eq(proc_wait(proc, &exit, 20000), 1);
            ck_assert_int_eq(exit.code, 6);
            proc_free(proc);
        } else {
            event = must_come(NULL);
            ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
            ck_assert_int_eq(event.exit.pid, pid);
        }
    }
    proc_waiter_free(waiter);
}
END_TEST

/* As root in a mount namespace of its own. */
static int without_proc(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) < 0)
        return 77;
    waiter = proc_waiter_new(PROC_WAITER_ADOPT); /* without children nothing is to be looked up */
    if (!waiter)
        return 1;
    proc_waiter_free(waiter);
    struct proc_options options = {.argv = (const char *[]){"/bin/true", NULL}};
    struct proc *child = proc_spawn(&options);
    waiter = proc_waiter_new(PROC_WAITER_ADOPT);
    int result = waiter ? 2 : errno == ENOENT ? 0 : 3;
    proc_waiter_free(waiter);
    proc_free(child);
    return result;
}

START_TEST(without_proc_one_that_has_children_cannot_adopt)
{
    int code = must_end(must_spawn((struct proc_options){.main = without_proc})).code;

    if (code == 77)
        skip("mounting is not allowed here");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

START_TEST(a_detached_child_that_ended_before_it_was_freed_leaves_no_zombie)
{
    struct proc_event event;

    if (no_pidfds())
        return;
    make_waiter(_i);
    struct proc *proc = must_spawn_shell((struct proc_options){.flags = PROC_DETACH}, "exit 6");
    pid_t pid = proc_pid(proc);
    await_zombie(pid);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 0), 0);
    proc_free(proc);
    ck_assert_int_eq(kill(pid, 0), -1);
    proc_waiter_free(waiter);
}
END_TEST

static int trace_grandchild(struct proc *self, void *unused)
{
    struct proc_event event;
    char text[32] = "";
    siginfo_t info;

    (void)self, (void)unused;
    make_waiter(0);
    struct proc *parent = must_spawn_shell(
        (struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE}, "exec 3<&0; { read x <&3; exit 9; } & echo $!; wait; read y");
    proc_read(parent, text, sizeof text - 1);
    pid_t pid = atoi(text);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return 77;
    proc_write(parent, "\n", 1);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 || proc_waiter_next(waiter, &event, 20) != 0)
        return 1;
    int status, ours = waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9;
    proc_free(parent);
    proc_waiter_free(waiter);
    return ours ? 0 : 2;
}

START_TEST(a_process_that_we_trace_is_no_orphan)
{
    int code = must_end(must_spawn((struct proc_options){.main = trace_grandchild})).code;

    if (code == 77)
        skip("ptrace is not allowed here");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

/* Behind a dead stranger, and with no descriptor to look for it. */
START_TEST(an_orphan_is_found_when_there_are_descriptors_again)
{
    struct rlimit limit, none;
    struct proc_event event;
    int strangers_gate[2], gate[2];
    pid_t pid;

    ck_assert_int_eq(pipe2(strangers_gate, O_CLOEXEC), 0);
    pid_t stranger = fork_until_closed(strangers_gate);
    make_waiter(_i);
    close(strangers_gate[1]);
    await_zombie(stranger);
    ck_assert_int_eq(pipe(gate), 0);
    proc_free(spawn_leaving(gate[0], "exit 5", &pid));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){3, limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    close(gate[1]);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 50), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(must_come(NULL).exit.pid, pid);
    proc_waiter_free(waiter);
    int last = dup(0); /* a waiter's four, one for /proc, and none for what is there */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)last + 5, limit.rlim_max}), 0);
    ck_assert_ptr_null(proc_waiter_new(PROC_WAITER_ADOPT));
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(last);
    ck_assert_int_eq(waitpid(stranger, NULL, 0), stranger);
    close(gate[0]);
    close(strangers_gate[0]);
}
END_TEST

static void *spawn_from_fifo(void *path)
{
    struct proc *proc = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/true", NULL}, .in = PROC_READ(path)});

    must_end(proc);
    return NULL;
}

/* While a child is being started, an orphan might be it. */
START_TEST(an_orphan_in_doubt_is_reported_when_the_doubt_is_over)
{
    struct proc_event event;
    pthread_t thread;
    int gate[2], writer;
    pid_t pid;

    make_waiter(_i);
    const char *fifo = temporary("fifo");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(pipe(gate), 0);
    proc_free(spawn_leaving(gate[0], "exit 5", &pid));
    ck_assert_int_eq(pthread_create(&thread, NULL, spawn_from_fifo, (void *)fifo), 0);
    while (ends_whose(pid) != WHOSE_IN_DOUBT) /* from before there is a child until the FIFO is open */
        ;
    close(gate[1]);
    while (!kill(pid, 0) && strncmp(status_of(pid, "State"), "Z", 1) != 0)
        ;
    ck_assert_int_eq(proc_waiter_next(waiter, &event, 20), 0);
    while ((writer = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        ck_assert_int_eq(errno, ENXIO);
    event = must_come(NULL);
    ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
    ck_assert_int_eq(event.exit.pid, pid);
    pthread_join(thread, NULL);
    close(writer);
    close(gate[0]);
    proc_waiter_free(waiter);
}
END_TEST

static void *spawn_all_the_time(void *failures)
{
    int rounds = runs_instrumented() ? 50 : 500;

    for (int i = 0; i < rounds; i++) {
        struct proc_options options = {.argv = (const char *[]){"/bin/sh", "-c", "exit 77", NULL}};
        struct proc_exit exit;
        struct proc *proc = proc_spawn(&options);

        if (!proc || proc_wait(proc, &exit, 20000) != 1 || exit.code != 77)
            ++*(int *)failures;
        proc_free(proc);
    }
    return NULL;
}

/* A shell might reap its children itself. */
static int leave_one(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    if (fork() == 0)
        _exit(5);
    proc_write(self, "x", 1);
    return (int)proc_read(self, &byte, 1);
}

/* A child may be dead before its proc_spawn has returned, and the waiter knows of it. */
START_TEST(what_other_threads_start_meanwhile_is_never_taken_for_an_orphan)
{
    int failures[2] = {0, 0}, orphans = 0, rounds = runs_instrumented() ? 20 : 150;
    pthread_t threads[2];

    make_waiter(_i);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_all_the_time, &failures[i]), 0);
    for (int i = 0; i < rounds; i++) {
        char byte;
        struct proc *proc = must_spawn((struct proc_options){.main = leave_one, .channel = PROC_STREAM});

        ck_assert_int_eq(proc_read(proc, &byte, 1), 1);
        proc_free(proc);
        struct proc_event event = must_come(NULL);
        ck_assert_int_eq(event.type, PROC_EVENT_ORPHAN);
        ck_assert_msg(event.exit.code == 5, "code %d", event.exit.code);
        orphans++;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(failures[0] + failures[1], 0);
    ck_assert_int_eq(orphans, rounds);
    proc_waiter_free(waiter);
}
END_TEST

START_TEST(the_process_is_a_subreaper_as_long_as_the_waiter_lives)
{
    int now;

    for (int before = 0; before < 2; before++) {
        ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, before), 0);
        make_waiter(_i);
        ck_assert_int_eq(prctl(PR_GET_CHILD_SUBREAPER, &now), 0);
        ck_assert_int_eq(now, 1);
        pid_t copy = fork(); /* which changes nothing of its own */
        if (copy == 0) {
            prctl(PR_SET_CHILD_SUBREAPER, 1);
            proc_waiter_free(waiter);
            prctl(PR_GET_CHILD_SUBREAPER, &now);
            _exit(now == 1 ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(copy, &status, 0), copy);
        ck_assert_int_eq(status, 0);
        proc_waiter_free(waiter);
        ck_assert_int_eq(prctl(PR_GET_CHILD_SUBREAPER, &now), 0);
        ck_assert_int_eq(now, before);
    }
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
END_TEST

START_TEST(the_waiter_can_wait_for_ever_for_orphans_alone)
{
    struct proc_event event;
    int gate[2];
    pid_t pid;

    make_waiter(_i);
    ck_assert_int_eq(pipe(gate), 0);
    struct proc *proc = spawn_leaving(gate[0], "exit 1", &pid);
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    proc_free(proc);
    close(gate[1]);
    ck_assert_int_eq(proc_waiter_next(waiter, &event, -1), 1);
    ck_assert_int_eq(event.exit.pid, pid);
    close(gate[0]);
    proc_waiter_free(waiter);
}
END_TEST

static void add_in_each_way(TCase *tcase, const TTest *test)
{
    tcase_add_loop_test(tcase, test, 0, 2);
}

Suite *suite_make(void)
{
    Suite *suite = suite_create("orphans");
    TCase *tcase = tcase_checked(suite, "orphans");

    add_in_each_way(tcase, an_orphan_is_reaped_and_reported);
    add_in_each_way(tcase, a_hundred_orphans_at_once_are_each_reported_once);
    add_in_each_way(tcase, children_that_were_there_before_are_left_alone_and_hide_nobody);
    add_in_each_way(tcase, a_child_of_ours_is_no_orphan_whether_it_is_in_the_waiter_or_not);
    add_in_each_way(tcase, a_detached_child_is_an_orphan_once_it_is_freed);
    add_in_each_way(tcase, what_other_threads_start_meanwhile_is_never_taken_for_an_orphan);
    add_in_each_way(tcase, a_detached_child_that_ended_before_it_was_freed_leaves_no_zombie);
    tcase_add_test(tcase, a_process_that_we_trace_is_no_orphan);
    add_in_each_way(tcase, an_orphan_is_found_when_there_are_descriptors_again);
    add_in_each_way(tcase, an_orphan_in_doubt_is_reported_when_the_doubt_is_over);
    tcase_add_test(tcase, without_proc_one_that_has_children_cannot_adopt);
    add_in_each_way(tcase, the_process_is_a_subreaper_as_long_as_the_waiter_lives);
    add_in_each_way(tcase, the_waiter_can_wait_for_ever_for_orphans_alone);
    return suite;
}
