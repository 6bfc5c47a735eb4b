/* Daemons: the command that starts one, what it hears, and what the daemon has and has not. */
#include "daemons.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Without the library's help, for the seam is for its calls wherever they are made. */
static int run_alone(struct start start)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        dup2(null, 2);
        _exit(command(NULL, &start));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    seam_end();
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void kill_daemon(void)
{
    kill(facts->daemon, SIGKILL);
    ck_assert_int_eq(end_of_daemon(), -SIGKILL);
}

/* ---- the handshake ---- */

static void wait_and_be_ready(void)
{
    wait_for_gate();
    be_ready();
    wait_for_gate();
}

START_TEST(the_command_ends_when_the_daemon_is_ready_and_not_before)
{
    struct start start = {.life = wait_and_be_ready};
    struct proc *proc = begin(&start);

    ck_assert_int_eq(proc_wait(proc, NULL, 100), 0);
    let_go();
    ck_assert_int_eq(end_of(proc), 0);
    ck_assert_uint_eq(output.err_size + output.out_size, 0);
    ck_assert_int_eq(kill(facts->daemon, 0), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(facts->result, 0);
}
END_TEST

static void fail_with_7(void)
{
    proc_daemon_fail(7, "the table is gone");
}

START_TEST(a_failure_ends_the_command_with_its_message_and_code)
{
    ck_assert_int_eq(run((struct start){.life = fail_with_7}), 7);
    ck_assert_str_eq(output.err, "the table is gone\n");
    ck_assert_uint_eq(output.out_size, 0);
    ck_assert_int_eq(end_of_daemon(), 7);
}
END_TEST

static void fail_without_words(void)
{
    proc_daemon_fail(256 + 9, NULL);
}

START_TEST(a_failure_needs_no_message)
{
    ck_assert_int_eq(run((struct start){.life = fail_without_words}), 9);
    ck_assert_str_eq(output.err, "");
    end_of_daemon();
}
END_TEST

static char long_message[100000];

static void fail_at_length(void)
{
    proc_daemon_fail(1, long_message);
}

START_TEST(a_message_of_any_length_arrives_whole)
{
    memset(long_message, 'm', sizeof long_message - 1);
    ck_assert_int_eq(run((struct start){.life = fail_at_length}), 1);
    ck_assert_uint_eq(output.err_size, sizeof long_message);
    ck_assert_int_eq(strncmp(output.err, long_message, sizeof long_message - 1), 0);
    end_of_daemon();
}
END_TEST

static void tell_of_exit(void)
{
    facts->second++;
}

static void fail_slowly(void)
{
    atexit(tell_of_exit);
    proc_daemon_fail(3, "slow");
}

START_TEST(the_command_that_has_failed_ends_after_the_daemon)
{
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = fail_slowly}), 3);
        ck_assert_int_eq(proc_pidfile_read(path), -1);
        ck_assert_int_eq(errno, ENOENT);
        end_of_daemon();
    }
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void end_with_0(void)
{
}

static void end_with_5(void)
{
    _exit(5);
}

static void end_by_signal(void)
{
    kill(getpid(), SIGKILL);
}

START_TEST(a_daemon_that_ends_before_it_is_ready_is_told_of)
{
    ck_assert_int_eq(run((struct start){.life = end_with_0}), 1);
    ck_assert_ptr_nonnull(strstr(output.err, "the daemon exited with status 0 before it was ready\n"));
    end_of_daemon();
    ck_assert_int_eq(run((struct start){.life = end_with_5}), 5);
    ck_assert_ptr_nonnull(strstr(output.err, "the daemon exited with status 5 before it was ready\n"));
    end_of_daemon();
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = end_by_signal}), 1);
    ck_assert_ptr_nonnull(strstr(output.err, "the daemon was killed by SIGKILL before it was ready\n"));
    end_of_daemon();
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void ignore_sigchld(void)
{
    signal(SIGCHLD, SIG_IGN);
}

static void tell_of_sigchld(void)
{
    struct sigaction action;

    sigaction(SIGCHLD, NULL, &action);
    facts->result = action.sa_handler == SIG_IGN;
    _exit(6);
}

START_TEST(it_is_told_of_where_sigchld_is_ignored_too)
{
    ck_assert_int_eq(run((struct start){.before = ignore_sigchld, .life = tell_of_sigchld}), 6);
    ck_assert_ptr_nonnull(strstr(output.err, "exited with status 6"));
    ck_assert_int_eq(facts->result, 1);
    end_of_daemon();
}
END_TEST

static void wait_for_ever(void)
{
    facts->child = fork();
    for (;;)
        pause();
}

START_TEST(a_daemon_that_is_not_ready_in_time_is_killed_with_its_group)
{
    struct start start = {.options = {.ready_timeout_ms = 300, .pidfile = path}, .life = wait_for_ever};

    ck_assert_int_eq(run(start), 1);
    ck_assert_ptr_nonnull(strstr(output.err, "the daemon was not ready within 0.3 s, and was killed\n"));
    ck_assert_int_eq(end_of_daemon(), -SIGKILL);
    all_orphans_end();
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void wait_in_own_session(void)
{
    setsid();
    for (;;)
        pause();
}

START_TEST(one_that_has_left_the_group_is_killed_as_well)
{
    ck_assert_int_eq(run((struct start){.options.ready_timeout_ms = 300, .life = wait_in_own_session}), 1);
    ck_assert_int_eq(end_of_daemon(), -SIGKILL);
}
END_TEST

static void check_that_signal_ends_both(int signo)
{
    struct start start = {.options.pidfile = path, .life = wait_for_ever};
    facts->daemon = 0;
    struct proc *proc = begin(&start);
    ck_assert(soon(daemon_exists));
    proc_kill(proc, signo);
    ck_assert_int_eq(end_of(proc), -signo);
    ck_assert_int_eq(end_of_daemon(), -SIGKILL);
    all_orphans_end();
    ck_assert_int_eq(files(), 0);
}

START_TEST(a_command_that_is_ended_by_a_signal_takes_the_daemon_with_it)
{
    check_that_signal_ends_both(SIGINT);
    check_that_signal_ends_both(SIGTERM);
    check_that_signal_ends_both(SIGHUP);
    check_that_signal_ends_both(SIGQUIT);
}
END_TEST

static void ignore_sighup(void)
{
    signal(SIGHUP, SIG_IGN);
}

START_TEST(a_signal_that_it_ignores_does_not_end_it)
{
    struct start start = {.before = ignore_sighup, .life = wait_and_be_ready};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    proc_kill(proc, SIGHUP);
    ck_assert_int_eq(proc_wait(proc, NULL, 50), 0);
    let_go();
    ck_assert_int_eq(end_of(proc), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}
END_TEST

static void be_ready_too_late(void)
{
    wait_for_gate();
    facts->result = proc_daemon_ready();
    facts->failure = errno;
    facts->second = proc_daemon_ready();
}

START_TEST(a_daemon_whose_command_was_killed_hears_of_it)
{
    struct start start = {.life = be_ready_too_late};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    proc_kill(proc, SIGKILL);
    ck_assert_int_eq(end_of(proc), -SIGKILL);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(facts->result, -1);
    ck_assert_int_eq(facts->failure, EPIPE);
    ck_assert_int_eq(facts->second, 0);
}
END_TEST

static void be_ready_twice(void)
{
    facts->result = proc_daemon_ready();
    facts->second = proc_daemon_ready();
}

START_TEST(to_be_ready_a_second_time_or_outside_a_daemon_does_nothing)
{
    ck_assert_int_eq(proc_daemon_ready(), 0);
    ck_assert_int_eq(run((struct start){.life = be_ready_twice}), 0);
    end_of_daemon();
    ck_assert_int_eq(facts->result, 0);
    ck_assert_int_eq(facts->second, 0);
}
END_TEST

static int fail_outside(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    proc_daemon_fail(11, "outside");
}

START_TEST(to_fail_outside_a_daemon_prints_and_exits)
{
    ck_assert_int_eq(end_of(must_spawn((struct proc_options){.main = fail_outside, .err = PROC_PIPE})), 11);
    ck_assert_str_eq(output.err, "outside\n");
}
END_TEST

static void fail_when_ready(void)
{
    be_ready();
    proc_daemon_fail(12, "later");
}

START_TEST(to_fail_when_it_was_ready_is_for_the_log)
{
    ck_assert_int_eq(run((struct start){.options.err = temporary("log"), .life = fail_when_ready}), 0);
    ck_assert_int_eq(end_of_daemon(), 12);
    ck_assert_str_eq(contents_of(temporary("log")), "later\n");
}
END_TEST

/* ---- what a daemon is ---- */

static void look_around(void)
{
    be_ready();
    wait_for_gate();
    facts->parent = getppid();
    facts->session = getsid(0);
    facts->group = getpgrp();
    facts->umask = umask(0);
    snprintf(facts->blocked, sizeof facts->blocked, "%s", status_of(getpid(), "SigBlk"));
    if (!getcwd(facts->cwd, sizeof facts->cwd))
        facts->cwd[0] = '\0';
    for (int fd = 0; fd < 3; fd++) {
        char link[32];

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, facts->streams[fd], sizeof facts->streams[fd] - 1) < 0)
            facts->streams[fd][0] = '\0';
    }
}

static void block_signals(void)
{
    sigset_t set;

    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    umask(077);
}

START_TEST(it_has_a_session_without_leading_it_and_nothing_of_the_terminal)
{
    ck_assert_int_eq(run((struct start){.before = block_signals, .life = look_around}), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(facts->parent, getpid());
    ck_assert_int_ne(facts->session, getsid(0));
    ck_assert_int_eq(facts->session, facts->group);
    ck_assert_int_ne(facts->session, facts->daemon);
    ck_assert_int_eq(kill(facts->session, 0), -1); /* the keeper has gone */
    ck_assert_str_eq(facts->cwd, "/");
    ck_assert_int_eq(facts->umask, 0);
    ck_assert_uint_eq(strtoull(facts->blocked, NULL, 16), 0);
    for (int fd = 0; fd < 3; fd++)
        ck_assert_str_eq(facts->streams[fd], "/dev/null");
}
END_TEST

static void go_to_directory(void)
{
    if (chdir(temporary("")) < 0)
        _exit(98);
}

START_TEST(relative_paths_are_relative_to_where_it_was_started)
{
    struct proc_daemon_options options = {.cwd = "home", .out = "out", .err = "home/err", .pidfile = "pid", .umask = 027};

    ck_assert_int_eq(mkdir(temporary("home"), 0700), 0);
    ck_assert_int_eq(run((struct start){.options = options, .before = go_to_directory, .life = look_around}), 0);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_str_eq(facts->cwd, temporary("home"));
    ck_assert_str_eq(facts->streams[0], "/dev/null");
    ck_assert_str_eq(facts->streams[1], temporary("out"));
    ck_assert_str_eq(facts->streams[2], temporary("home/err"));
    ck_assert_int_eq(facts->umask, 027);
    ck_assert_int_eq(access(path, F_OK), -1); /* removed, though the daemon was in another directory */
}
END_TEST

static void close_streams(void)
{
    close(0);
    close(1);
    close(2);
}

START_TEST(it_starts_without_standard_streams)
{
    ck_assert_int_eq(run((struct start){.before = close_streams, .options.pidfile = path, .life = look_around}), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    for (int fd = 0; fd < 3; fd++)
        ck_assert_str_eq(facts->streams[fd], "/dev/null");
}
END_TEST

static int lent;

static void see_descriptor(void)
{
    be_ready();
    facts->inside = fcntl(lent, F_GETFD) == FD_CLOEXEC && fds_count() == facts->second;
}

static void count_descriptors(void)
{
    facts->second = fds_count();
}

START_TEST(the_descriptors_above_2_are_kept)
{
    lent = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(run((struct start){.before = count_descriptors, .life = see_descriptor}), 0);
    end_of_daemon();
    ck_assert(facts->inside);
    close(lent);
}
END_TEST

static void print_without_newline(void)
{
    printf("begun");
}

static void print_more(void)
{
    printf("not for the command");
    be_ready();
}

START_TEST(what_was_printed_before_is_printed_once_and_by_the_command)
{
    struct start start = {.options.out = temporary("out"), .before = print_without_newline, .life = print_more};

    ck_assert_int_eq(run(start), 0);
    ck_assert_str_eq(output.out, "begun");
    end_of_daemon();
    ck_assert_str_eq(contents_of(temporary("out")), "not for the command");
}
END_TEST

static struct proc_queue *queue;

static void make_queue(void)
{
    queue = proc_queue_open(PROC_PRIVATE, 0, 0);
    facts->queue = proc_queue_id(queue);
}

static void use_queue(void)
{
    facts->result = proc_queue_push(queue, 1, "text", 4, 0);
    proc_daemon_ready();
    wait_for_gate();
}

static bool queue_exists(void)
{
    struct msqid_ds status;

    return msgctl(facts->queue, IPC_STAT, &status) == 0;
}

START_TEST(private_objects_go_with_the_daemon_and_end_with_it)
{
    ck_assert_int_eq(run((struct start){.before = make_queue, .life = use_queue}), 0);
    ck_assert_int_eq(facts->result, 1);
    ck_assert(queue_exists());
    let_go();
    end_of_daemon();
    ck_assert(!queue_exists());
}
END_TEST

START_TEST(they_are_gone_as_well_when_the_daemon_does_not_come_up)
{
    ck_assert_int_eq(run((struct start){.before = make_queue, .life = end_by_signal}), 1);
    ck_assert(!queue_exists());
    end_of_daemon();
}
END_TEST

/* A shell on a terminal starts it, and the terminal goes away. */
static int command_on_terminal(struct proc *self, void *start)
{
    command(self, start);
    return 0;
}

START_TEST(it_outlives_the_terminal_that_it_was_started_on)
{
    struct start start = {.life = wait_and_be_ready};
    struct proc_options options = {
        .main = command_on_terminal, .arg = &start, .in = PROC_PTY, .out = PROC_PTY, .err = PROC_PTY};
    struct proc *proc = must_spawn(options);

    let_go();
    ck_assert_int_eq(must_end(proc).code, 0); /* and the master is closed */
    ck_assert_int_eq(waitpid(facts->daemon, NULL, WNOHANG), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}
END_TEST

static void enter_mount(void)
{
    if (chdir(temporary("mount")) < 0)
        _exit(97);
}

START_TEST(the_directory_that_it_was_started_in_can_be_unmounted)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
        skip("no mounts: root alone may make them");
        return;
    }
    ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mkdir(temporary("mount"), 0700), 0);
    ck_assert_int_eq(mount("none", temporary("mount"), "tmpfs", 0, NULL), 0);
    ck_assert_int_eq(run((struct start){.options.out = "log", .before = enter_mount, .life = look_around}), 0);
    ck_assert_int_eq(umount(temporary("mount")), -1); /* by the log file */
    ck_assert_int_eq(errno, EBUSY);
    let_go();
    end_of_daemon();
    ck_assert_int_eq(run((struct start){.before = enter_mount, .life = look_around}), 0);
    ck_assert_int_eq(umount(temporary("mount")), 0);
    let_go();
    end_of_daemon();
}
END_TEST

static void become_again(void)
{
    struct proc_daemon_options options = {.flags = 0};

    facts->result = proc_daemon(&options);
    facts->failure = errno;
    proc_daemon_ready();
}

START_TEST(a_daemon_cannot_become_one_again)
{
    ck_assert_int_eq(run((struct start){.life = become_again}), 0);
    end_of_daemon();
    ck_assert_int_eq(facts->result, -1);
    ck_assert_int_eq(facts->failure, EALREADY);
}
END_TEST

static void start_another(void)
{
    struct start start = {.options.pidfile = temporary("other")};
    struct proc *proc = proc_spawn(&(struct proc_options){.main = command, .arg = &start});
    struct proc_exit exit;

    proc_wait(proc, &exit, -1);
    facts->second = exit.code;
    facts->child = facts->daemon;
    facts->daemon = getpid();
    proc_free(proc);
    proc_daemon_ready();
}

START_TEST(its_child_can)
{
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = start_another}), 0);
    end_of_daemon();
    ck_assert_int_eq(facts->second, 0);
    all_orphans_end();
    ck_assert_int_eq(files(), 0);
}
END_TEST

/* ---- log files ---- */

static void write_lines(void)
{
    dprintf(1, "out 1\n");
    dprintf(2, "err 1\n");
    be_ready();
    wait_for_gate();
    facts->second = proc_daemon_reopen();
    dprintf(1, "out 2\n");
    dprintf(2, "err 2\n");
    pid_t child = fork();
    if (child == 0) {
        rename(facts->cwd, facts->streams[0]);
        _exit(proc_daemon_reopen() == 0 && dprintf(1, "out 3\n") > 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    facts->failure = status;
}

START_TEST(log_files_are_opened_anew)
{
    const char *log = temporary("log");

    snprintf(facts->cwd, PATH_MAX, "%s", log);
    snprintf(facts->streams[0], PATH_MAX, "%s", temporary("log.2"));
    ck_assert_int_eq(run((struct start){.options = {.out = log, .err = log}, .life = write_lines}), 0);
    ck_assert_int_eq(rename(log, temporary("log.1")), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(facts->second, 0);
    ck_assert_int_eq(facts->failure, 0);
    ck_assert_str_eq(contents_of(temporary("log.1")), "out 1\nerr 1\n");
    ck_assert_str_eq(contents_of(temporary("log.2")), "out 2\nerr 2\n");
    ck_assert_str_eq(contents_of(log), "out 3\n");
}
END_TEST

static void reopen_in_vain(void)
{
    be_ready();
    wait_for_gate();
    facts->second = proc_daemon_reopen();
    facts->failure = errno;
    dprintf(1, "out\n");
    dprintf(2, "err\n");
}

START_TEST(if_one_cannot_be_opened_both_stay)
{
    ck_assert_int_eq(mkdir(temporary("logs"), 0700), 0);
    ck_assert_int_eq(
        run((struct start){.options = {.out = temporary("out"), .err = temporary("logs/err")}, .life = reopen_in_vain}), 0);
    ck_assert_int_eq(rename(temporary("logs"), temporary("old")), 0);
    ck_assert_int_eq(rename(temporary("out"), temporary("old/out")), 0);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(facts->second, -1);
    ck_assert_int_eq(facts->failure, ENOENT);
    ck_assert_str_eq(contents_of(temporary("old/out")), "out\n");
    ck_assert_str_eq(contents_of(temporary("old/err")), "err\n");
}
END_TEST

START_TEST(outside_a_daemon_nothing_is_opened)
{
    struct fd_set_all before, after;

    fds_open(&before);
    ck_assert_int_eq(proc_daemon_reopen(), 0);
    fds_open(&after);
    ck_assert(fds_same(&before, &after));
}
END_TEST

START_TEST(nobody_else_may_write_what_it_logs)
{
    struct stat status;
    const char *log = temporary("log");

    let_go();
    ck_assert_int_eq(run((struct start){.options = {.out = log, .pidfile = path}, .life = wait_and_be_ready}), 0);
    ck_assert_int_eq(stat(log, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0644);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0644);
    let_go();
    end_of_daemon();
}
END_TEST

/* ---- failures ---- */

START_TEST(wrong_options_are_refused)
{
    ck_assert_int_eq(proc_daemon(NULL), -1);
    ck_assert_int_eq(errno, EINVAL);
    check_refusal((struct proc_daemon_options){.flags = 2}, EINVAL);
    check_refusal((struct proc_daemon_options){.ready_timeout_ms = -2}, EINVAL);
    check_refusal((struct proc_daemon_options){.umask = 01000}, EINVAL);
    ck_assert_int_eq(proc_daemon_sized(&(struct proc_daemon_options){.cwd = NULL}, 8), -1);
    ck_assert_int_eq(errno, EINVAL);
    struct {
        struct proc_daemon_options options;
        long more;
    } grown = {.more = 1};
    ck_assert_int_eq(proc_daemon_sized(&grown.options, sizeof grown), -1);
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(a_pidfile_that_cannot_be_made_is_told_to_the_caller)
{
    check_refusal((struct proc_daemon_options){.pidfile = temporary("nowhere/pid")}, ENOENT);
    check_refusal((struct proc_daemon_options){.pidfile = temporary("")}, EINVAL);
    ck_assert_int_eq(files(), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* in place of a device */
    check_refusal((struct proc_daemon_options){.pidfile = path}, EINVAL);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(files(), 1);
}
END_TEST

static void check_failing_start(struct proc_daemon_options options, const char *message)
{
    options.pidfile = path;
    ck_assert_int_eq(run((struct start){.options = options}), 1);
    ck_assert_msg(strstr(output.err, message) != NULL, "%s", output.err);
    all_orphans_end();
    ck_assert_int_eq(facts->daemon, 0);
    ck_assert_int_eq(files(), 0);
}

START_TEST(what_fails_later_ends_the_command_with_a_message)
{
    check_failing_start((struct proc_daemon_options){.cwd = "/nowhere"}, ": /nowhere: No such file or directory\n");
    check_failing_start((struct proc_daemon_options){.out = "/nowhere/out"}, ": /nowhere/out: No such file or directory\n");
    check_failing_start((struct proc_daemon_options){.err = "/"}, ": /: Is a directory\n");
}
END_TEST

/* ---- the pidfile ---- */

START_TEST(the_pidfile_has_the_number_and_is_locked)
{
    char number[16];

    start_with_pidfile();
    snprintf(number, sizeof number, "%d\n", (int)facts->daemon);
    ck_assert_str_eq(contents_of(path), number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), -1);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    close(fd);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(a_second_daemon_is_refused_in_the_foreground)
{
    start_with_pidfile();
    pid_t first = facts->daemon;
    ck_assert_int_eq(run((struct start){.options.pidfile = path}), 99);
    ck_assert_int_eq(facts->failure, EEXIST);
    check_refusal((struct proc_daemon_options){.pidfile = path}, EEXIST);
    check_refusal((struct proc_daemon_options){.pidfile = path, .flags = PROC_DAEMON_FOREGROUND}, EEXIST);
    ck_assert_int_eq(proc_pidfile_read(path), first);
    ck_assert_int_eq(files(), 1);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}
END_TEST

START_TEST(of_two_that_start_at_once_one_wins_and_the_other_can_say_who)
{
    struct start start = {.options.pidfile = path, .life = be_ready_and_wait};

    for (int round = 0; round < (runs_shortened() ? 10 : 60); round++) {
        struct proc *procs[3];
        int won = 0;

        for (int i = 0; i < 3; i++)
            procs[i] = begin(&start);
        for (int i = 0; i < 3; i++) {
            int how = end_of(procs[i]);

            won += how == 0;
            if (how != 0) {
                ck_assert_int_eq(how, 99);
                ck_assert_int_eq(facts->failure, EEXIST);
            }
        }
        ck_assert_int_eq(won, 1);
        ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
        let_go();
        ck_assert_int_eq(end_of_daemon(), 0);
        ck_assert_int_eq(files(), 0);
    }
}
END_TEST

START_TEST(the_one_that_was_refused_can_say_at_once_who_has_it)
{
    struct start start = {.options.pidfile = path, .life = be_ready_and_wait};

    for (int round = 0; round < (runs_shortened() ? 10 : 100); round++) {
        struct proc *proc = begin(&start);
        struct proc_daemon_options options = {.pidfile = path, .flags = PROC_DAEMON_FOREGROUND, .cwd = "/nowhere"};

        while (proc_daemon(&options) == -1 && errno == ENOENT && proc_running(proc)) /* it has won, and fails */
            sched_yield();
        int failure = errno;
        pid_t holder = proc_pidfile_read(path);
        int how = end_of(proc);
        if (how == 99) /* refused by us, who had it for an instant */
            continue;
        ck_assert_int_eq(how, 0);
        if (failure == EEXIST)
            ck_assert_int_eq(holder, facts->daemon);
        let_go();
        ck_assert_int_eq(end_of_daemon(), 0);
    }
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void check_stale(const char *text)
{
    write_file(path, text);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_msg(errno == ESRCH, "%s: %s", text, strerror(errno));
    start_with_pidfile();
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(files(), 0);
}

START_TEST(a_stale_pidfile_is_no_running_daemon)
{
    char own[16];

    snprintf(own, sizeof own, "%d\n", (int)getpid()); /* a number that somebody has */
    check_stale(own);
    check_stale("1\n");
    check_stale("");
    check_stale("garbage");
}
END_TEST

START_TEST(what_is_in_it_must_be_a_number)
{
    static const char *const wrong[] = {"",       "\n",         "x",      "-1\n", "0\n",
                                        "12 \n",  "2147483648\n", "1\n2\n", "99999999999999999999\n"};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_file(path, wrong[i]);
        ck_assert_int_eq(proc_pidfile_read(path), -1);
        ck_assert_msg(errno == ESRCH, "%s: %s", wrong[i], strerror(errno));
    }
    write_file(path, "1");
    ck_assert_int_eq(proc_pidfile_read(path), 1);
    close(fd);
    ck_assert_int_eq(proc_pidfile_read(NULL), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_pidfile_read(temporary("none")), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(a_killed_daemon_leaves_a_file_that_is_taken_over)
{
    start_with_pidfile();
    kill_daemon();
    ck_assert_int_eq(files(), 1);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(errno, ESRCH);
    start_with_pidfile();
    kill_daemon();
    unlink(path);
}
END_TEST

static int wait_at_gate(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    wait_for_gate();
    return 0;
}

static void have_children(void)
{
    facts->child = fork();
    if (facts->child == 0) {
        facts->second = proc_daemon_ready();
        wait_for_gate();
        exit(0); /* runs all exit handlers */
    }
    proc_spawn(&(struct proc_options){.main = wait_at_gate, .flags = PROC_DETACH});
    proc_spawn(&(struct proc_options){.argv = SHELL("read line"), .in = PROC_FD(gate[0]), .flags = PROC_DETACH});
    be_ready();
    for (;;)
        pause();
}

START_TEST(its_children_do_not_hold_the_pidfile)
{
    facts->second = -1;
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = have_children}), 0);
    pid_t child = facts->child;
    kill_daemon();
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(errno, ESRCH);
    start_with_pidfile(); /* while the first one's children live */
    ck_assert_int_eq(kill(child, 0), 0);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(write(gate[1], "\n", 1), 1);
    ck_assert_int_eq(end_of_daemon(), 0);
    all_orphans_end();
    ck_assert_int_eq(facts->second, 0);
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void have_child_that_exits(void)
{
    pid_t child = fork();

    if (child == 0)
        exit(0);
    waitpid(child, NULL, 0);
    facts->inside = access(path, F_OK) == 0;
    be_ready();
}

START_TEST(its_children_do_not_remove_the_pidfile)
{
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = have_child_that_exits}), 0);
    end_of_daemon();
    ck_assert(facts->inside);
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void replace_pidfile(void)
{
    be_ready();
    unlink(path);
    FILE *file = fopen(path, "we");
    fputs("another's\n", file);
    fclose(file);
}

START_TEST(it_does_not_remove_what_is_not_its_own)
{
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = replace_pidfile}), 0);
    end_of_daemon();
    ck_assert_str_eq(contents_of(path), "another's\n");
}
END_TEST

START_TEST(what_one_has_left_who_was_killed_while_it_started_is_in_nobodys_way)
{
    write_file(temporary("pid~"), "1234567890123");
    start_with_pidfile();
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void start_beside(int (*link_to)(const char *, const char *))
{
    ck_assert_int_eq(link_to(temporary("precious"), temporary("pid~")), 0);
    start_with_pidfile();
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
    ck_assert_str_eq(contents_of(temporary("precious")), "text");
    ck_assert_int_eq(files(), 1);
}

START_TEST(nothing_is_written_through_a_link)
{
    write_file(temporary("precious"), "text");
    start_beside(symlink);
    start_beside(link);
}
END_TEST

/* ---- in the foreground ---- */

static void look_around_in_foreground(void)
{
    facts->inside = getpid() == facts->child;
    look_around();
}

static void note_own_number(void)
{
    facts->child = getpid();
    facts->group = getpgrp();
}

START_TEST(in_the_foreground_it_is_the_same_process)
{
    struct proc_daemon_options options = {
        .flags = PROC_DAEMON_FOREGROUND, .err = temporary("err"), .pidfile = path, .umask = 022};
    struct start start = {.options = options, .before = note_own_number, .life = look_around_in_foreground};
    struct proc *proc = begin(&start);

    while (proc_pidfile_read(path) != proc_pid(proc))
        usleep(1000);
    let_go();
    ck_assert_int_eq(end_of(proc), 0);
    ck_assert(facts->inside);
    ck_assert_int_eq(facts->session, getsid(0));
    ck_assert_str_eq(facts->cwd, "/");
    ck_assert_int_eq(facts->umask, 022);
    ck_assert_int_eq(strncmp(facts->streams[1], "pipe:", 5), 0); /* as it was */
    ck_assert_str_eq(facts->streams[2], temporary("err"));
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(in_the_foreground_a_failure_changes_nothing)
{
    struct proc_daemon_options options = {.flags = PROC_DAEMON_FOREGROUND, .pidfile = path, .umask = 077};
    char before[PATH_MAX], after[PATH_MAX];
    mode_t mask = umask(022);

    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    options.cwd = "/nowhere";
    check_refusal(options, ENOENT);
    options.cwd = "/";
    options.out = "/nowhere/out";
    check_refusal(options, ENOENT);
    ck_assert_ptr_nonnull(getcwd(after, sizeof after));
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(umask(mask), 022);
    ck_assert_int_eq(files(), 0);
    ck_assert_int_eq(proc_daemon_reopen(), 0);
}
END_TEST

/* ---- whatever fails, whoever is killed ---- */

static bool nobody_holds(void)
{
    return proc_pidfile_read(path) == -1 && (errno == ENOENT || errno == ESRCH);
}

static void check_that_start_works(void)
{
    ck_assert(nobody_holds());
    start_with_pidfile();
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}

START_TEST(a_start_that_is_killed_at_any_moment_is_in_nobodys_way)
{
    struct start start = {.options = {.pidfile = path, .out = temporary("log")}};
    unsigned random = 1;

    for (int round = 0; round < (runs_shortened() ? 20 : 150); round++) {
        struct proc *proc = begin(&start);

        random = random * 1103515245 + 12345;
        usleep(random / 65536 % 3000);
        proc_kill(proc, SIGKILL);
        end_of(proc);
        all_orphans_end(); /* if there is a daemon it ends, for nobody waits for it */
        if (round % 10 == 0)
            check_that_start_works();
    }
    check_that_start_works();
    unlink(temporary("log"));
    ck_assert_int_eq(files(), 0);
}
END_TEST

struct fault {
    long call;
    int nth, failure;
};

static struct fault fault;

static void begin_to_fail(void)
{
    seam_fail(fault.call, fault.nth, fault.failure);
}

/* The daemon runs, or nothing has happened but words. */
static void check_with_fault(void)
{
    struct start start = {.options = {.pidfile = path, .out = temporary("log"), .ready_timeout_ms = 1000},
                          .before = begin_to_fail,
                          .life = be_ready_and_wait};

    facts->daemon = 0;
    int how = run_alone(start);
    ck_assert_msg(how == 0 || how == 1 || how == 99, "call %ld, the %dth: status %d", fault.call, fault.nth, how);
    if (how == 0 && proc_pidfile_read(path) != facts->daemon)
        ck_abort_msg("call %ld, the %dth: no daemon, but nobody says so", fault.call, fault.nth);
    if (how != 0)
        ck_assert_msg(nobody_holds(), "call %ld, the %dth: status %d, and a daemon", fault.call, fault.nth, how);
    if (how == 99)
        ck_assert_int_eq(facts->failure, fault.failure);
    if (how == 0)
        let_go();
    all_orphans_end();
    unlink(path); /* the very call that removes it may have failed */
    unlink(temporary("pid~"));
}

START_TEST(whatever_system_call_fails_it_is_said_and_nothing_is_left)
{
    static const long calls[] = {SYS_openat, SYS_socketpair, SYS_flock, SYS_fstat, SYS_newfstatat, SYS_ftruncate, SYS_fchmod,
                                 SYS_pwrite64, SYS_renameat2, SYS_unlinkat, SYS_chdir, SYS_dup3, SYS_clone, SYS_setsid,
                                 SYS_sendto, SYS_recvfrom, SYS_ppoll, SYS_signalfd4, SYS_fcntl, SYS_close_range};

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int nth = 1; nth <= (runs_shortened() ? 3 : 6); nth++) {
            fault = (struct fault){calls[i], nth, ENOMEM};
            check_with_fault();
        }
    unlink(temporary("log"));
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void begin_to_lack_memory(void)
{
    seam_fail_memory(fault.nth);
}

START_TEST(without_memory_the_caller_is_told)
{
    for (fault.nth = 1;; fault.nth++) {
        struct start start = {
            .options = {.pidfile = path, .out = temporary("log")}, .before = begin_to_lack_memory};
        int how = run(start);

        all_orphans_end();
        if (how == 0)
            break;
        ck_assert_int_eq(how, 99);
        ck_assert_int_eq(facts->failure, ENOMEM);
    }
    ck_assert_int_gt(fault.nth, 3);
    unlink(temporary("log"));
    ck_assert_int_eq(files(), 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("daemon");
    TCase *tcase = tcase_daemons(suite, "daemon");

    tcase_add_test(tcase, the_command_ends_when_the_daemon_is_ready_and_not_before);
    tcase_add_test(tcase, a_failure_ends_the_command_with_its_message_and_code);
    tcase_add_test(tcase, a_failure_needs_no_message);
    tcase_add_test(tcase, a_message_of_any_length_arrives_whole);
    tcase_add_test(tcase, the_command_that_has_failed_ends_after_the_daemon);
    tcase_add_test(tcase, a_daemon_that_ends_before_it_is_ready_is_told_of);
    tcase_add_test(tcase, it_is_told_of_where_sigchld_is_ignored_too);
    tcase_add_test(tcase, a_daemon_that_is_not_ready_in_time_is_killed_with_its_group);
    tcase_add_test(tcase, one_that_has_left_the_group_is_killed_as_well);
    tcase_add_test(tcase, a_command_that_is_ended_by_a_signal_takes_the_daemon_with_it);
    tcase_add_test(tcase, a_signal_that_it_ignores_does_not_end_it);
    tcase_add_test(tcase, a_daemon_whose_command_was_killed_hears_of_it);
    tcase_add_test(tcase, to_be_ready_a_second_time_or_outside_a_daemon_does_nothing);
    tcase_add_test(tcase, to_fail_outside_a_daemon_prints_and_exits);
    tcase_add_test(tcase, to_fail_when_it_was_ready_is_for_the_log);
    tcase_add_test(tcase, it_has_a_session_without_leading_it_and_nothing_of_the_terminal);
    tcase_add_test(tcase, relative_paths_are_relative_to_where_it_was_started);
    tcase_add_test(tcase, it_starts_without_standard_streams);
    tcase_add_test(tcase, the_descriptors_above_2_are_kept);
    tcase_add_test(tcase, what_was_printed_before_is_printed_once_and_by_the_command);
    tcase_add_test(tcase, private_objects_go_with_the_daemon_and_end_with_it);
    tcase_add_test(tcase, they_are_gone_as_well_when_the_daemon_does_not_come_up);
    tcase_add_test(tcase, it_outlives_the_terminal_that_it_was_started_on);
    tcase_add_test(tcase, the_directory_that_it_was_started_in_can_be_unmounted);
    tcase_add_test(tcase, a_daemon_cannot_become_one_again);
    tcase_add_test(tcase, its_child_can);
    tcase_add_test(tcase, log_files_are_opened_anew);
    tcase_add_test(tcase, if_one_cannot_be_opened_both_stay);
    tcase_add_test(tcase, outside_a_daemon_nothing_is_opened);
    tcase_add_test(tcase, nobody_else_may_write_what_it_logs);
    tcase_add_test(tcase, wrong_options_are_refused);
    tcase_add_test(tcase, a_pidfile_that_cannot_be_made_is_told_to_the_caller);
    tcase_add_test(tcase, what_fails_later_ends_the_command_with_a_message);
    tcase_add_test(tcase, the_pidfile_has_the_number_and_is_locked);
    tcase_add_test(tcase, a_second_daemon_is_refused_in_the_foreground);
    tcase_add_test(tcase, of_two_that_start_at_once_one_wins_and_the_other_can_say_who);
    tcase_add_test(tcase, the_one_that_was_refused_can_say_at_once_who_has_it);
    tcase_add_test(tcase, a_stale_pidfile_is_no_running_daemon);
    tcase_add_test(tcase, what_is_in_it_must_be_a_number);
    tcase_add_test(tcase, a_killed_daemon_leaves_a_file_that_is_taken_over);
    tcase_add_test(tcase, its_children_do_not_hold_the_pidfile);
    tcase_add_test(tcase, its_children_do_not_remove_the_pidfile);
    tcase_add_test(tcase, it_does_not_remove_what_is_not_its_own);
    tcase_add_test(tcase, what_one_has_left_who_was_killed_while_it_started_is_in_nobodys_way);
    tcase_add_test(tcase, nothing_is_written_through_a_link);
    tcase_add_test(tcase, in_the_foreground_it_is_the_same_process);
    tcase_add_test(tcase, in_the_foreground_a_failure_changes_nothing);
    tcase_add_test(tcase, a_start_that_is_killed_at_any_moment_is_in_nobodys_way);
    tcase_add_test(tcase, whatever_system_call_fails_it_is_said_and_nothing_is_left);
    tcase_add_test(tcase, without_memory_the_caller_is_told);
    return suite;
}
