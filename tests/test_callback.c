/* Callback children: a C function in a process of its own, and what it does not inherit. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int return_arg(struct proc *self, void *arg)
{
    (void)self;
    return *(int *)arg;
}

START_TEST(mains_return_value_is_the_exit_status)
{
    int values[] = {0, 3, 255, 256 + 7};

    for (int i = 0; i < 4; i++) {
        struct proc_exit exit = must_end(must_spawn((struct proc_options){.main = return_arg, .arg = &values[i]}));

        ck_assert_int_eq(exit.code, values[i] & 255);
        ck_assert_int_eq(exit.signal, 0);
    }
}
END_TEST

/* ---- stdio ---- */

/* A parent with unwritten output, on a stream of its own too, starts a child that prints and ends in each possible way. */
static int print_and_return(struct proc *self, void *arg)
{
    (void)self;
    printf("child ");
    if (*(char *)arg == 'e')
        exit(7);
    return 7;
}

static int parent_with_unwritten_output(const char *file, const char *log, char how)
{
    if (!freopen(file, "w", stdout))
        return 1;
    FILE *own = fopen(log, "we");
    fputs("logged ", own);
    printf("parent ");
    struct proc_options options = {.main = print_and_return, .arg = &how};
    struct proc_exit exit = {.code = -2};
    struct proc *proc = proc_spawn(&options);
    if (!proc || proc_wait(proc, &exit, -1) != 1 || exit.code != 7)
        return 2;
    proc_free(proc);
    fclose(own);
    fclose(stdout);
    return 0;
}

static void check_output_once(char how)
{
    const char *file = temporary("out"), *log = temporary("log");
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(parent_with_unwritten_output(file, log, how));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    const char *text = contents_of(file);
    ck_assert_msg(strcmp(text, "parent child ") == 0 || strcmp(text, "child parent ") == 0, "\"%s\"", text);
    ck_assert_str_eq(contents_of(log), "logged ");
}

START_TEST(unwritten_output_is_written_once)
{
    check_output_once('r');
#ifdef __GLIBC__
    check_output_once('e');
#endif
}
END_TEST

static void *read_a_line(void *stream)
{
    char line[16];

    return fgets(line, sizeof line, stream);
}

static int print_nothing(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    return 0;
}

START_TEST(a_thread_that_reads_a_stream_holds_nothing_up)
{
#ifdef __GLIBC__
    int fds[2];
    pthread_t thread;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    FILE *stream = fdopen(fds[0], "r");
    ck_assert_int_eq(pthread_create(&thread, NULL, read_a_line, stream), 0);
    while (ftrylockfile(stream) == 0) { /* until the thread holds it, waiting for a line */
        funlockfile(stream);
        sched_yield();
    }
    must_end(must_spawn((struct proc_options){.main = print_nothing}));
    ck_assert_int_eq(write(fds[1], "\n", 1), 1);
    pthread_join(thread, NULL);
    fclose(stream);
    close(fds[1]);
#else
    (void)read_a_line, (void)print_nothing;
    skip("this C library has no list of streams: they are all flushed");
#endif
}
END_TEST

static int read_stdin(struct proc *self, void *unused)
{
    char line[32];

    (void)self, (void)unused;
    return fgets(line, sizeof line, stdin) && strcmp(line, "the child's\n") == 0 ? 0 : 1;
}

/* In a process of its own, whose standard input it can replace. */
static int parent_that_read_ahead(const char *file)
{
    struct proc_options options = {.main = read_stdin, .in = PROC_PIPE};
    struct proc_exit exit = {.code = -2};
    char line[32];

    if (!freopen(file, "r", stdin) || !fgets(line, sizeof line, stdin))
        return 1;
    struct proc *proc = proc_spawn(&options);
    if (!proc || proc_write(proc, "the child's\n", 12) != 12 || proc_wait(proc, &exit, -1) != 1)
        return 2;
    proc_free(proc);
    return exit.code;
}

START_TEST(what_the_parent_has_read_ahead_is_not_the_childs)
{
    const char *file = temporary("lines");
    FILE *lines = fopen(file, "we");
    int status;

    fputs("one\ntwo\nthree\n", lines);
    fclose(lines);
    pid_t pid = fork();
    if (pid == 0)
        _exit(parent_that_read_ahead(file));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

static pid_t registered_in;

static void tell_that_it_ran(void)
{
    if (getpid() != registered_in && write(2, "an exit handler of the parent ran\n", 34) < 0)
        abort();
}

static int exit_with_nine(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    exit(9);
}

START_TEST(exit_in_main_is_like_return_and_runs_no_handler_of_the_parents)
{
    char text[64];
    int nine = 9;

    ck_assert_int_eq(atexit(tell_that_it_ran), 0);
    registered_in = getpid();
    for (int i = 0; i < 2; i++) {
        struct proc *proc =
            must_spawn((struct proc_options){.main = i ? exit_with_nine : return_arg, .arg = &nine, .err = PROC_PIPE});
#ifndef __GLIBC__
        if (i == 1) {
            skip("this C library does not tell an exit handler the status");
            proc_free(proc);
            break;
        }
#endif
        ck_assert_int_eq(read(proc_err(proc), text, sizeof text), 0);
        ck_assert_int_eq(must_end(proc).code, 9);
    }
}
END_TEST

/* ---- signals ---- */

static void handler(int signo)
{
    (void)signo;
}

static int tell_signals(struct proc *self, void *arg)
{
    char text[256];

    (void)arg;
    int length = snprintf(text, sizeof text, "%s ", status_of(getpid(), "SigBlk"));
    length += snprintf(text + length, sizeof text - (size_t)length, "%s ", status_of(getpid(), "SigIgn"));
    length += snprintf(text + length, sizeof text - (size_t)length, "%s", status_of(getpid(), "SigCgt"));
    return proc_write(self, text, (size_t)length + 1) > 0 ? 0 : 1;
}

START_TEST(a_callback_child_starts_with_a_clean_signal_state)
{
    unsigned long long blocked, ignored, caught, c_library = 3ull << 31;

    if (runs_in_valgrind()) {
        skip("valgrind catches every signal itself");
        return;
    }
    char text[256];
    sigset_t all, old;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    signal(SIGUSR1, handler), signal(SIGTERM, handler), signal(SIGRTMAX, handler);
    signal(SIGHUP, SIG_IGN), signal(SIGPIPE, SIG_IGN), signal(SIGCHLD, SIG_IGN);
    struct proc *proc = must_spawn((struct proc_options){.main = tell_signals, .channel = PROC_SEQPACKET});
    ck_assert_int_gt(proc_read(proc, text, sizeof text), 0);
    proc_free(proc);
    signal(SIGUSR1, SIG_DFL), signal(SIGTERM, SIG_DFL), signal(SIGRTMAX, SIG_DFL);
    signal(SIGHUP, SIG_DFL), signal(SIGPIPE, SIG_DFL), signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    ck_assert_int_eq(sscanf(text, "%llx %llx %llx", &blocked, &ignored, &caught), 3);
    ck_assert_uint_eq(blocked, 0);
    ck_assert_uint_eq(ignored & ~c_library, 1ull << (SIGHUP - 1));
    ck_assert_uint_eq(caught & ~c_library, 0);
}
END_TEST

/* ---- what it is told ---- */

static int tell_self(struct proc *self, void *arg)
{
    int *pipe_end = arg;
    struct proc_exit exit;
    char byte;

    if (proc_pid(self) != getpid() || proc_fd(self) < 3 || fcntl(proc_fd(self), F_GETFD) != FD_CLOEXEC)
        return 1;
    if (proc_wait(self, &exit, 0) != -1 || errno != EINVAL || proc_kill(self, 0) != -1 || errno != EINVAL)
        return 2;
    if (proc_stop(self, &exit, 0) != -1 || errno != EINVAL || proc_kill_group(self, 0) != -1 || errno != EINVAL)
        return 3;
    if (proc_pidfd(self) != -1 || errno != EINVAL || proc_in(self) != -1 || errno != EINVAL || proc_out(self) != -1 ||
        proc_err(self) != -1)
        return 4;
    if (proc_communicate(self, NULL, 0, NULL, 0) != -1 || errno != EINVAL || proc_running(self))
        return 5;
    if (proc_close(self, PROC_CLOSE_IN) != -1 || errno != EINVAL)
        return 6;
    if (fcntl(*pipe_end, F_GETFD) < 0)
        return 7; /* the caller's descriptors are kept, as fork does */
    if (proc_read(self, &byte, 1) != 1 || proc_write(self, "y", 1) != 1 || proc_close(self, PROC_CLOSE_WRITE) != 0)
        return 8;
    proc_free(self); /* harmless */
    return proc_read(self, &byte, 1) == 0 ? 0 : 9;
}

START_TEST(self_is_the_childs_own_view)
{
    int end = dup(2);
    char byte;
    struct proc *proc = must_spawn((struct proc_options){.main = tell_self, .arg = &end, .channel = PROC_STREAM});

    ck_assert_int_eq(proc_write(proc, "x", 1), 1);
    ck_assert_int_eq(proc_read(proc, &byte, 1), 1);
    ck_assert_int_eq(proc_read(proc, &byte, 1), 0);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_WRITE), 0);
    ck_assert_int_eq(must_end(proc).code, 0);
    close(end);
}
END_TEST

static int echo_over_pipes(struct proc *self, void *arg)
{
    char text[16];

    (void)arg;
    ssize_t size = proc_read(self, text, sizeof text);
    return size > 0 && proc_write(self, text, (size_t)size) == size ? 0 : 1;
}

START_TEST(without_a_channel_self_talks_over_the_pipes)
{
    char text[16] = "";
    struct proc *proc =
        must_spawn((struct proc_options){.main = echo_over_pipes, .in = PROC_PIPE, .out = PROC_PIPE});

    ck_assert_int_eq(proc_write(proc, "echo", 4), 4);
    ck_assert_int_eq(proc_read(proc, text, sizeof text), 4);
    ck_assert_str_eq(text, "echo");
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

static int check_environment(struct proc *self, void *arg)
{
    char directory[64];

    (void)self, (void)arg;
    const char *added = getenv("LIBPROC_ADDED"), *removed = getenv("LIBPROC_REMOVED");
    setenv("LIBPROC_LATER", "1", 1);
    return added && strcmp(added, "yes") == 0 && !removed && getcwd(directory, sizeof directory) &&
                   strcmp(directory, "/usr") == 0 && getenv("LIBPROC_LATER")
               ? 0
               : 1;
}

START_TEST(env_and_cwd_apply_to_callback_children_too)
{
    const char *const env[] = {"LIBPROC_ADDED=yes", "LIBPROC_REMOVED", NULL};

    setenv("LIBPROC_REMOVED", "no", 1);
    struct proc_options options = {.main = check_environment, .env = env, .cwd = "/usr"};
    ck_assert_int_eq(must_end(must_spawn(options)).code, 0);
    unsetenv("LIBPROC_REMOVED");
}
END_TEST

START_TEST(a_set_up_that_fails_is_reported_before_main_runs)
{
    const struct proc_rlimit limits[] = {{9999, {1, 1}}};
    int value = 1;
    struct proc_options options = {.main = return_arg, .arg = &value, .cwd = "/nonexistent"};

    must_not_spawn(options, ENOENT, "chdir");
    options.flags = PROC_DETACH;
    must_not_spawn(options, ENOENT, "chdir");
    must_not_spawn((struct proc_options){.main = return_arg, .limits = limits, .nlimits = 1}, EINVAL, "limits");
    must_not_spawn((struct proc_options){.main = return_arg, .out = PROC_WRITE("/nonexistent/x")}, ENOENT, "open");
}
END_TEST

/* ---- title ---- */


static int show_title(struct proc *self, void *arg)
{
    char text[8192], path[64];

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, text, sizeof text - 1);
    if (size < 0)
        return 1;
    text[size] = '\0';
    char name[17] = "";
    if (prctl(PR_GET_NAME, name) < 0 || strncmp(name, "worker: ", 8) != 0)
        return 2;
    if (strcmp((char *)arg, "argument") != 0 || !getenv("PATH"))
        return 3; /* what main points at is still there */
    return proc_write(self, text, strlen(text)) < 0;
}

static void check_title(size_t length)
{
    char title[4000], text[8192] = "", argument[] = "argument";
    struct proc_options options = {.main = show_title, .arg = argument, .channel = PROC_SEQPACKET, .title = title};

    memset(title, 't', length);
    memcpy(title, "worker: ", 8);
    title[length] = '\0';
    struct proc *proc = must_spawn(options);
    ck_assert_int_gt(proc_read(proc, text, sizeof text - 1), 0);
    ck_assert_int_eq(must_end(proc).code, 0);
    if (seam_is_off("mm_map") && strcmp(text, title) != 0)
        ck_assert_int_eq(strncmp(text, title, strlen(text)), 0); /* as much as argv and the environment have room for */
    else
        ck_assert_str_eq(text, title);
}

START_TEST(the_title_is_what_ps_shows)
{
    if (runs_in_valgrind()) {
        skip("what the kernel takes for argv is valgrind's");
        return;
    }
    check_title(9);
    check_title(60);
    check_title(1000);
    check_title(3000);
}
END_TEST

/* ---- exec ---- */

static int become(struct proc *self, void *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const env[] = {"LIBPROC_EXEC=there", NULL};

    (void)self;
    printf("before ");
    proc_exec("sh", argv, env);
    return 99;
}

START_TEST(proc_exec_becomes_a_program_with_the_streams_kept)
{
    char script[] = "cat; echo $LIBPROC_EXEC; exit 4";
    struct proc_options options = {.main = become, .arg = script, .in = PROC_PIPE, .out = PROC_PIPE};
    struct proc_output output = {0};
    struct proc *proc = must_spawn(options);

    ck_assert_int_eq(proc_communicate(proc, "fed ", 4, &output, -1), 1);
    ck_assert_str_eq(output.out, "before fed there\n");
    ck_assert_int_eq(output.exit.code, 4);
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

static int become_nothing(struct proc *self, void *unused)
{
    const char *const argv[] = {"x", NULL}, *const bad[] = {"=", NULL}, *const none[] = {NULL};

    (void)self, (void)unused;
    if (proc_exec("/nonexistent", argv, NULL) != -1 || errno != ENOENT || strcmp(proc_spawn_step(), "execve") != 0)
        return 1;
    if (proc_exec("/etc/passwd", argv, NULL) != -1 || errno != EACCES)
        return 2;
    if (proc_exec("sh", argv, bad) != -1 || errno != EINVAL)
        return 3;
    if (proc_exec(NULL, argv, NULL) != -1 || errno != EINVAL || proc_exec("sh", none, NULL) != -1 || errno != EINVAL)
        return 4;
    return proc_exec("no-such-program", argv, NULL) == -1 && errno == ENOENT ? 0 : 5;
}

START_TEST(proc_exec_returns_only_on_failure)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = become_nothing})).code, 0);
}
END_TEST

/* ---- detached, nested, locks ---- */

static int wait_and_return(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    return proc_read(self, &byte, 1) == 0 ? 6 : 1;
}

START_TEST(a_detached_callback_child_is_not_ours)
{
    struct proc_exit exit;
    struct proc_options options = {.main = wait_and_return, .channel = PROC_STREAM, .flags = PROC_DETACH};

    if (no_pidfds()) {
        skip("a detached child is waited for through its pidfd");
        return;
    }
    struct proc *proc = must_spawn(options);
    ck_assert_int_eq(waitpid(proc_pid(proc), NULL, WNOHANG), -1);
    ck_assert(proc_running(proc));
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_WRITE), 0);
    ck_assert_int_eq(proc_wait(proc, &exit, 30000), 1);
    ck_assert_msg(exit.code == 6 || (exit.code == -1 && exit.signal == -1), "code %d", exit.code);
    proc_free(proc);
}
END_TEST

static int spawn_more(struct proc *self, void *unused)
{
    struct proc_options program = {.argv = SHELL("exit 2")}, callback = {.main = print_nothing};
    struct proc_exit exit;

    (void)self, (void)unused;
    struct proc *proc = proc_spawn(&program);
    if (!proc || proc_wait(proc, &exit, -1) != 1 || exit.code != 2)
        return 1;
    proc_free(proc);
    proc = proc_spawn(&callback);
    if (!proc || proc_wait(proc, &exit, -1) != 1 || exit.code != 0)
        return 2;
    proc_free(proc);
    return 0;
}

START_TEST(a_child_spawns_children_of_its_own)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = spawn_more})).code, 0);
}
END_TEST

static _Atomic bool stop_spawning;

static void *spawn_until_stopped(void *unused)
{
    const struct proc_ids root = {.uid = getuid(), .gid = getgid()};

    (void)unused;
    while (!stop_spawning)
        must_end(must_spawn((struct proc_options){.argv = SHELL(":"), .in = PROC_PIPE, .ids = &root}));
    return NULL;
}

/* Whatever locks the other threads hold at the fork, the child can use the library. */
START_TEST(a_child_forked_while_other_threads_spawn_is_sound)
{
    pthread_t threads[2];

    stop_spawning = false;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_until_stopped, NULL), 0);
    for (int i = 0; i < (runs_instrumented() ? 20 : 100); i++)
        ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = spawn_more})).code, 0);
    stop_spawning = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static int ask_parent(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    int signo = 0;

    return prctl(PR_GET_PDEATHSIG, &signo) == 0 ? signo : 99;
}

START_TEST(death_signal_is_set_for_callback_children)
{
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = ask_parent, .death_signal = SIGUSR2})).code, SIGUSR2);
}
END_TEST

START_TEST(a_fork_that_fails_is_reported_at_once)
{
    seam_fail(SYS_clone, 1, EAGAIN);
    must_not_spawn((struct proc_options){.main = print_nothing}, EAGAIN, "clone");
    ck_assert(seam_end());
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("callback");
    TCase *tcase = tcase_checked(suite, "callback");

    tcase_add_test(tcase, mains_return_value_is_the_exit_status);
    tcase_add_test(tcase, unwritten_output_is_written_once);
    tcase_add_test(tcase, what_the_parent_has_read_ahead_is_not_the_childs);
    tcase_add_test(tcase, a_thread_that_reads_a_stream_holds_nothing_up);
    tcase_add_test(tcase, exit_in_main_is_like_return_and_runs_no_handler_of_the_parents);
    tcase_add_test(tcase, a_callback_child_starts_with_a_clean_signal_state);
    tcase_add_test(tcase, self_is_the_childs_own_view);
    tcase_add_test(tcase, without_a_channel_self_talks_over_the_pipes);
    tcase_add_test(tcase, env_and_cwd_apply_to_callback_children_too);
    tcase_add_test(tcase, a_set_up_that_fails_is_reported_before_main_runs);
    tcase_add_test(tcase, the_title_is_what_ps_shows);
    tcase_add_test(tcase, proc_exec_becomes_a_program_with_the_streams_kept);
    tcase_add_test(tcase, proc_exec_returns_only_on_failure);
    tcase_add_test(tcase, a_detached_callback_child_is_not_ours);
    tcase_add_test(tcase, a_child_spawns_children_of_its_own);
    tcase_add_test(tcase, a_child_forked_while_other_threads_spawn_is_sound);
    tcase_add_test(tcase, death_signal_is_set_for_callback_children);
    tcase_add_test(tcase, a_fork_that_fails_is_reported_at_once);
    return suite;
}
