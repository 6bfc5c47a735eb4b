/* Waiting for a child and ending it: alone, in company, and against other code that reaps. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNTIL_FED .in = PROC_PIPE, .argv = SHELL("read x; exit 3")

static struct proc *spawn_until_fed(unsigned flags)
{
    return must_spawn((struct proc_options){UNTIL_FED, .flags = flags});
}

/* Ready when the child has said so, so that a signal meets what it has set up. */
static struct proc *spawn_ready(const char *script, unsigned flags)
{
    char byte;
    struct proc *proc = must_spawn_shell((struct proc_options){.out = PROC_PIPE, .in = PROC_PIPE, .flags = flags}, script);

    ck_assert_int_eq(read(proc_out(proc), &byte, 1), 1);
    return proc;
}

/* Until the child is a zombie, without reaping it. */
static void await_zombie(struct proc *proc)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WEXITED | WNOWAIT), 0);
}

/* ---- waiting ---- */

START_TEST(wait_tells_how_it_ended_and_tells_it_again)
{
    struct proc_exit exit, again;
    struct proc *proc = must_spawn_shell((struct proc_options){0}, "exit 42");

    ck_assert_int_eq(proc_wait(proc, &exit, -1), 1);
    ck_assert_int_eq(exit.code, 42);
    ck_assert_int_eq(exit.signal, 0);
    ck_assert_int_eq(exit.pid, proc_pid(proc));
    ck_assert(!proc_exit_ok(&exit));
    for (int timeout = -1; timeout < 2; timeout++) {
        ck_assert_int_eq(proc_wait(proc, &again, timeout), 1);
        ck_assert_int_eq(memcmp(&exit, &again, sizeof exit), 0);
    }
    ck_assert_int_eq(proc_wait(proc, NULL, 0), 1);
    proc_free(proc);
}
END_TEST

START_TEST(a_killed_child_has_no_exit_code)
{
    struct proc_exit exit = must_end(must_spawn_shell((struct proc_options){0}, "kill -9 $$"));

    ck_assert_int_eq(exit.code, -1);
    ck_assert_int_eq(exit.signal, SIGKILL);
    ck_assert(!proc_exit_ok(&exit));
}
END_TEST

START_TEST(wait_gives_up_in_time_and_the_child_runs_on)
{
    struct proc_exit exit;
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_wait(proc, &exit, 0), 0);
    ck_assert_int_eq(proc_wait(proc, &exit, 20), 0);
    ck_assert(proc_running(proc));
    ck_assert_int_eq(proc_wait(proc, &exit, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_IN), 0);
    ck_assert_int_eq(proc_wait(proc, &exit, 20000), 1);
    ck_assert_int_eq(exit.code, 3);
    proc_free(proc);
}
END_TEST

START_TEST(running_is_true_of_a_stopped_child_and_false_of_a_zombie)
{
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_kill(proc, SIGSTOP), 0);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WSTOPPED | WNOWAIT), 0);
    ck_assert(proc_running(proc));
    ck_assert_int_eq(proc_wait(proc, NULL, 0), 0);
    ck_assert_int_eq(proc_wait(proc, NULL, 10), 0);
    ck_assert_int_eq(proc_kill(proc, SIGKILL), 0);
    await_zombie(proc);
    ck_assert(!proc_running(proc));
    ck_assert_int_eq(proc_kill(proc, 0), 0); /* its number is still its own */
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    ck_assert(!proc_running(proc));
    proc_free(proc);
}
END_TEST

START_TEST(the_pidfd_is_readable_when_the_child_has_ended)
{
    struct proc *proc = spawn_until_fed(0);

    if (no_pidfds()) {
        ck_assert_int_eq(proc_pidfd(proc), -1);
        proc_free(proc);
        return;
    }
    struct pollfd look = {.fd = proc_pidfd(proc), .events = POLLIN};
    ck_assert_int_gt(look.fd, 2);
    ck_assert_int_eq(poll(&look, 1, 0), 0);
    proc_close(proc, PROC_CLOSE_IN);
    ck_assert_int_eq(poll(&look, 1, 20000), 1);
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    ck_assert_int_eq(proc_pidfd(proc), look.fd); /* asked for before the reap */
    proc_free(proc);
}
END_TEST

START_TEST(after_the_reap_the_pidfd_is_gone_and_signals_go_nowhere)
{
    struct proc *proc = must_spawn_shell((struct proc_options){0}, ":");

    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    ck_assert_int_eq(proc_kill(proc, SIGTERM), -1);
    ck_assert_int_eq(errno, ESRCH);
    ck_assert_int_eq(proc_kill(proc, 0), -1);
    ck_assert_int_eq(errno, ESRCH);
    ck_assert_int_eq(proc_pidfd(proc), -1);
    ck_assert_int_eq(errno, ESRCH);
    proc_free(proc);
}
END_TEST

START_TEST(a_bad_signal_or_a_group_that_is_not_its_own_is_einval)
{
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_kill(proc, 65), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_kill(proc, -1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_kill_group(proc, SIGTERM), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_stop(proc, NULL, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    proc_free(proc);
}
END_TEST

START_TEST(an_exit_is_told_in_words)
{
    char text[64], small[8];
    struct proc_exit exit = {.code = 3};

    ck_assert_str_eq(proc_exit_string(&exit, text, sizeof text), "exited with status 3");
    ck_assert_str_eq(proc_exit_string(&exit, small, sizeof small), "exited ");
    exit = (struct proc_exit){.code = -1, .signal = SIGSEGV, .core_dumped = true};
    ck_assert_str_eq(proc_exit_string(&exit, text, sizeof text), "killed by SIGSEGV (core dumped)");
    exit = (struct proc_exit){.code = -1, .signal = 40};
    ck_assert_str_eq(proc_exit_string(&exit, text, sizeof text), "killed by signal 40");
    exit = (struct proc_exit){.code = -1, .signal = -1};
    ck_assert_str_eq(proc_exit_string(&exit, text, sizeof text), "ended, status unknown");
    exit = (struct proc_exit){0};
    ck_assert(proc_exit_ok(&exit));
}
END_TEST

/* ---- interruptions ---- */

static void handler(int signo)
{
    (void)signo;
}

/* A signal every 200 microseconds, without SA_RESTART. */
static void start_storm(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval every = {{0, 200}, {0, 200}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

static void end_storm(void)
{
    struct itimerval never = {0};

    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
}

START_TEST(interruptions_never_reach_the_caller)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("cat; sleep 0.05; exit 3")};
    size_t size = 1 << 20;
    char *data = malloc(size);

    memset(data, 'x', size);
    start_storm();
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(proc_run(&options, data, size, &output, -1), 1);
        ck_assert_uint_eq(output.out_size, size);
        ck_assert_int_eq(output.exit.code, 3);
        proc_output_free(&output);
        struct proc *proc = spawn_until_fed(0);
        ck_assert_int_eq(proc_wait(proc, NULL, 30), 0);
        ck_assert_int_eq(proc_write(proc, "\n", 1), 1);
        ck_assert_int_eq(proc_wait(proc, NULL, 20000), 1);
        proc_free(proc);
    }
    end_storm();
    free(data);
}
END_TEST

START_TEST(elapsed_runs_to_the_first_look)
{
    struct proc_exit exit;
    struct proc *proc = must_spawn_shell((struct proc_options){0}, ":");

    await_zombie(proc);
    ck_assert(!proc_running(proc));
    usleep(300000); /* time is what this is about */
    ck_assert_int_eq(proc_wait(proc, &exit, -1), 1);
    if (!runs_instrumented())
        ck_assert_int_lt(exit.elapsed_ns, 300000000);
    proc_free(proc);
}
END_TEST

/* ---- other code that reaps ---- */

static _Atomic bool stop_stealing;
static _Atomic int stolen;

static void *steal(void *unused)
{
    (void)unused;
    while (!stop_stealing)
        if (waitpid(-1, NULL, WNOHANG) > 0)
            stolen++;
    return NULL;
}

static bool kernel_tells_exits(void)
{
    static int answer = -1;

    if (answer < 0) { /* PIDFD_GET_INFO with PIDFD_INFO_EXIT */
        struct proc_exit exit;
        struct proc *proc = must_spawn_shell((struct proc_options){0}, "exit 9");

        waitpid(proc_pid(proc), NULL, 0);
        ck_assert_int_eq(proc_wait(proc, &exit, -1), 1);
        proc_free(proc);
        answer = exit.code == 9;
    }
    return answer;
}

START_TEST(a_child_that_other_code_reaps_is_reported_with_its_status_where_the_kernel_can_tell)
{
    pthread_t thief;
    bool told = kernel_tells_exits();

    stop_stealing = false;
    stolen = 0;
    ck_assert_int_eq(pthread_create(&thief, NULL, steal, NULL), 0);
    for (int i = 0; i < 200; i++) {
        struct proc_exit exit;
        int expected = i % 2 ? 7 : -1;
        struct proc *proc = must_spawn_shell((struct proc_options){0}, i % 2 ? "exit 7" : "kill -TERM $$");

        ck_assert_int_eq(proc_wait(proc, &exit, i % 3 ? -1 : 20000), 1);
        if (told || exit.signal != -1) {
            ck_assert_int_eq(exit.code, expected);
            ck_assert_int_eq(exit.signal, i % 2 ? 0 : SIGTERM);
        }
        ck_assert_int_eq(proc_kill(proc, SIGTERM), -1);
        ck_assert_int_eq(errno, ESRCH);
        proc_free(proc);
    }
    stop_stealing = true;
    pthread_join(thief, NULL);
    ck_assert_int_gt(stolen, 0);
}
END_TEST

START_TEST(the_kernel_of_this_machine_decides_whether_exits_are_told)
{
    bool possible = !seam_is_off("pidfd_info") && !no_pidfds();
    FILE *release = fopen("/proc/sys/kernel/osrelease", "re");
    int major = 0, minor = 0;

    ck_assert_ptr_nonnull(release);
    ck_assert_int_eq(fscanf(release, "%d.%d", &major, &minor), 2);
    fclose(release);
    if (possible && (major > 6 || (major == 6 && minor >= 15)))
        ck_assert(kernel_tells_exits());
    if (!possible)
        ck_assert(!kernel_tells_exits());
}
END_TEST

static int return_seven(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return 7;
}

START_TEST(waiting_works_with_sigchld_ignored)
{
    bool told = kernel_tells_exits();

    for (int i = 0; i < 2; i++) {
        struct sigaction action = {.sa_handler = i ? SIG_DFL : SIG_IGN, .sa_flags = i ? SA_NOCLDWAIT : 0};

        sigaction(SIGCHLD, &action, NULL);
        for (int round = 0; round < 30; round++) {
            struct proc_options callback = {.main = return_seven}, program = {.argv = SHELL("exit 7")};
            struct proc_exit exit;
            struct proc *proc = must_spawn(round % 2 ? callback : program);

            ck_assert_int_eq(proc_wait(proc, &exit, round % 3 ? -1 : 20000), 1);
            ck_assert(exit.code == 7 || (exit.code == -1 && exit.signal == -1));
            if (told && round % 2 == 0)
                ck_assert_int_eq(exit.code, 7);
            proc_free(proc);
        }
        struct proc_output output = {0};
        struct proc_options options = {.argv = SHELL("echo out; exit 1")};
        ck_assert_int_eq(proc_run(&options, NULL, 0, &output, -1), 1);
        ck_assert_str_eq(output.out, "out\n");
        proc_output_free(&output);
        must_not_spawn((struct proc_options){.argv = (const char *[]){"/nonexistent", NULL}}, ENOENT, "execve");
        proc_free(spawn_until_fed(PROC_NEW_GROUP));
    }
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

/* ---- stopping ---- */

START_TEST(stop_ends_a_child_with_sigterm)
{
    struct proc_exit exit;
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_stop(proc, &exit, 20000), 1);
    ck_assert_int_eq(exit.signal, SIGTERM);
    ck_assert_int_eq(proc_stop(proc, &exit, 20000), 1);
    proc_free(proc);
}
END_TEST

START_TEST(stop_kills_a_child_that_ignores_sigterm)
{
    struct proc_exit exit;
    struct proc *proc = spawn_ready("trap '' TERM; echo; while :; do read x; done", 0);

    ck_assert_int_eq(proc_stop(proc, &exit, 30), 2);
    ck_assert_int_eq(exit.signal, SIGKILL);
    proc_free(proc);
}
END_TEST

START_TEST(stop_without_grace_kills_at_once_and_with_minus_one_never)
{
    struct proc_exit exit;
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_stop(proc, &exit, 0), 2);
    ck_assert_int_eq(exit.signal, SIGKILL);
    proc_free(proc);
    proc = spawn_ready("trap 'sleep 0.1; exit 5' TERM; echo; while :; do read x; done", 0);
    ck_assert_int_eq(proc_stop(proc, &exit, -1), 1);
    ck_assert_int_eq(exit.code, 5);
    proc_free(proc);
}
END_TEST

START_TEST(stop_wakes_a_stopped_child)
{
    struct proc_exit exit;
    struct proc *proc = spawn_until_fed(0);

    ck_assert_int_eq(proc_kill(proc, SIGSTOP), 0);
    ck_assert_int_eq(proc_stop(proc, &exit, 20000), 1);
    ck_assert_int_eq(exit.signal, SIGTERM);
    proc_free(proc);
}
END_TEST

START_TEST(stop_of_a_child_that_has_ended_tells_how)
{
    struct proc_exit exit;

    for (int grace = -1; grace < 2; grace++) {
        struct proc *proc = must_spawn_shell((struct proc_options){.flags = PROC_NEW_GROUP}, "exit 4");

        await_zombie(proc);
        ck_assert_int_eq(proc_stop(proc, &exit, grace), 1);
        ck_assert_int_eq(exit.code, 4);
        proc_free(proc);
    }
}
END_TEST

/* ---- groups ---- */

/* A leader with a child of its own in its group; the pipe is at end-of-file when both have gone. */
static struct proc *spawn_group(const char *leader)
{
    char script[256];

    snprintf(script, sizeof script, "(trap '' TERM; echo; while :; do sleep 100; done) & %s", leader);
    return spawn_ready(script, PROC_NEW_GROUP);
}

static void must_be_empty(struct proc *proc)
{
    char byte;

    proc_set_timeout(proc, 20000);
    ck_assert_int_eq(proc_read(proc, &byte, 1), 0); /* nobody holds the pipe any more */
}

START_TEST(stop_takes_the_whole_group_even_when_the_leader_ends_first)
{
    struct proc *proc = spawn_group("wait");

    ck_assert_int_eq(proc_stop(proc, NULL, 20000), 1);
    must_be_empty(proc);
    proc_free(proc);
    proc = spawn_group("exit 0");
    await_zombie(proc);
    ck_assert_int_eq(proc_stop(proc, NULL, 20000), 1);
    must_be_empty(proc);
    proc_free(proc);
}
END_TEST

START_TEST(free_takes_the_whole_group)
{
    for (int i = 0; i < 2; i++) {
        struct proc *proc = spawn_group(i ? "wait" : "exit 0");
        int pipe_end = dup(proc_out(proc));
        struct pollfd look = {.fd = pipe_end, .events = POLLIN};
        char byte;

        if (i == 0)
            await_zombie(proc);
        proc_free(proc);
        ck_assert_int_eq(poll(&look, 1, 20000), 1);
        ck_assert_int_eq(read(pipe_end, &byte, 1), 0);
        close(pipe_end);
    }
}
END_TEST

START_TEST(the_group_is_signalled_until_it_may_be_a_strangers)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the leader's orphan is then ours to reap */
    struct proc *proc = spawn_group("wait");

    ck_assert_int_eq(proc_kill_group(proc, 0), 0);
    ck_assert_int_eq(proc_kill_group(proc, 65), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_kill_group(proc, SIGKILL), 0);
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    must_be_empty(proc);
    ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    ck_assert_int_eq(proc_kill_group(proc, 0), -1);
    ck_assert_int_eq(errno, ESRCH);
    proc_free(proc);
}
END_TEST

START_TEST(what_is_left_of_a_group_is_reached_after_the_reap_where_the_kernel_can)
{
    struct proc *proc = spawn_group("exit 0");

    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    int result = proc_kill_group(proc, SIGKILL);
    if (result == 0) {
        must_be_empty(proc);
    } else {
        ck_assert_int_eq(errno, ESRCH); /* before Linux 6.9 */
        ck_assert(seam_is_off("pidfd_group") || no_pidfds());
        kill(-proc_pid(proc), SIGKILL); /* the test knows that the group is still there */
        must_be_empty(proc);
    }
    proc_free(proc);
}
END_TEST

static int leave_group(struct proc *self, void *group)
{
    char byte;

    if (setpgid(0, *(pid_t *)group) < 0 || proc_write(self, "y", 1) != 1)
        return 1;
    proc_read(self, &byte, 1);
    return 2;
}

START_TEST(stop_reaches_a_leader_that_left_its_group)
{
    struct proc_exit exit;
    pid_t group = getpgid(0);
    char byte;
    struct proc *proc = must_spawn((struct proc_options){
        .main = leave_group, .arg = &group, .channel = PROC_STREAM, .flags = PROC_NEW_GROUP});

    ck_assert_int_eq(proc_read(proc, &byte, 1), 1);
    ck_assert_int_eq(proc_stop(proc, &exit, 20000), 1);
    ck_assert_int_eq(exit.signal, SIGTERM);
    proc_free(proc);
}
END_TEST

/* ---- many ---- */

START_TEST(five_hundred_that_end_at_once_are_all_reported)
{
    enum { MANY = 500 };
    static struct proc *children[MANY];
    int gate[2], count = runs_instrumented() ? 50 : MANY;

    ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < count; i++) {
        char script[32];

        snprintf(script, sizeof script, "read x; exit %d", i % 200);
        children[i] = must_spawn_shell((struct proc_options){.in = PROC_FD(gate[0])}, script);
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(must_end(children[i]).code, i % 200);
}
END_TEST

/* Killed at random moments of their start: each is reported, as killed or as ended. */
START_TEST(children_killed_at_any_moment_are_reported)
{
    int killed = 0, rounds = runs_instrumented() ? 50 : 500;

    for (int i = 0; i < rounds; i++) {
        struct proc_exit exit;
        struct proc *proc = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/true", NULL}});

        for (volatile int spin = rand() % 20000; spin > 0; spin--)
            ;
        int sent = proc_kill(proc, SIGKILL);
        ck_assert_int_eq(sent, 0);
        ck_assert_int_eq(proc_wait(proc, &exit, 20000), 1);
        ck_assert(exit.code == 0 || exit.signal == SIGKILL);
        killed += exit.signal == SIGKILL;
        proc_free(proc);
    }
    ck_assert_int_gt(killed, 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("wait");
    TCase *tcase = tcase_checked(suite, "wait");

    tcase_add_test(tcase, wait_tells_how_it_ended_and_tells_it_again);
    tcase_add_test(tcase, a_killed_child_has_no_exit_code);
    tcase_add_test(tcase, wait_gives_up_in_time_and_the_child_runs_on);
    tcase_add_test(tcase, running_is_true_of_a_stopped_child_and_false_of_a_zombie);
    tcase_add_test(tcase, the_pidfd_is_readable_when_the_child_has_ended);
    tcase_add_test(tcase, after_the_reap_the_pidfd_is_gone_and_signals_go_nowhere);
    tcase_add_test(tcase, a_bad_signal_or_a_group_that_is_not_its_own_is_einval);
    tcase_add_test(tcase, an_exit_is_told_in_words);
    tcase_add_test(tcase, elapsed_runs_to_the_first_look);
    tcase_add_test(tcase, interruptions_never_reach_the_caller);
    tcase = tcase_checked(suite, "reaped by others");
    tcase_add_test(tcase, a_child_that_other_code_reaps_is_reported_with_its_status_where_the_kernel_can_tell);
    tcase_add_test(tcase, the_kernel_of_this_machine_decides_whether_exits_are_told);
    tcase_add_test(tcase, waiting_works_with_sigchld_ignored);
    tcase = tcase_checked(suite, "stop");
    tcase_add_test(tcase, stop_ends_a_child_with_sigterm);
    tcase_add_test(tcase, stop_kills_a_child_that_ignores_sigterm);
    tcase_add_test(tcase, stop_without_grace_kills_at_once_and_with_minus_one_never);
    tcase_add_test(tcase, stop_wakes_a_stopped_child);
    tcase_add_test(tcase, stop_of_a_child_that_has_ended_tells_how);
    tcase = tcase_checked(suite, "groups");
    tcase_add_test(tcase, stop_takes_the_whole_group_even_when_the_leader_ends_first);
    tcase_add_test(tcase, free_takes_the_whole_group);
    tcase_add_test(tcase, the_group_is_signalled_until_it_may_be_a_strangers);
    tcase_add_test(tcase, what_is_left_of_a_group_is_reached_after_the_reap_where_the_kernel_can);
    tcase_add_test(tcase, stop_reaches_a_leader_that_left_its_group);
    tcase = tcase_checked(suite, "many");
    tcase_add_test(tcase, five_hundred_that_end_at_once_are_all_reported);
    tcase_add_test(tcase, children_killed_at_any_moment_are_reported);
    return suite;
}
