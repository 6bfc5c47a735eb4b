/* Daemons where it is narrow: commands with other threads, streams that nobody reads, keepers that are killed, and files that
 * others have left or hold. */
#include "daemons.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct proc *current; /* the command that a test looks at */

static bool sleeps(pid_t pid)
{
    return status_of(pid, "State")[0] == 'S';
}

static void wait_and_be_ready(void)
{
    wait_for_gate();
    be_ready();
}

static bool is_free(void)
{
    return proc_pidfile_read(path) == -1 && errno == ESRCH;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void stop_daemon(void)
{
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}

/* ---- commands with other threads ---- */

static struct proc_queue *queue;

static void make_queue(void)
{
    queue = proc_queue_open(PROC_PRIVATE, 0, 0);
    facts->queue = proc_queue_id(queue);
}

static bool queue_exists(void)
{
    struct msqid_ds status;

    return msgctl(facts->queue, IPC_STAT, &status) == 0;
}

static void start_thread(void *(*work)(void *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, NULL) != 0)
        _exit(98);
    pthread_detach(thread);
}

static void *exit_when_command_waits(void *unused)
{
    while (!daemon_exists() || !sleeps(getpid()))
        sched_yield();
    exit(44);
    return unused;
}

static void have_thread_that_exits(void)
{
    make_queue();
    start_thread(exit_when_command_waits);
}

START_TEST(another_thread_that_ends_the_command_takes_nothing_from_the_daemon)
{
    struct start start = {.options.pidfile = path, .before = have_thread_that_exits, .life = wait_for_gate};

    int how = run(start);
    ck_assert_msg(how == 44, "%d: %s", how, output.err);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    ck_assert(queue_exists());
    stop_daemon();
    ck_assert(!queue_exists());
    ck_assert_int_eq(files(), 0);
}
END_TEST

static atomic_bool holds_stdin;

static void *hold_stdin(void *unused)
{
    flockfile(stdin); /* as one that reads does */
    holds_stdin = true;
    wait_for_ever();
    return unused;
}

static void have_thread_that_reads(void)
{
    start_thread(hold_stdin);
    while (!holds_stdin)
        sched_yield();
}

START_TEST(a_command_with_a_thread_that_reads_is_not_held_up)
{
#ifdef __GLIBC__
    ck_assert_int_eq(run((struct start){.before = have_thread_that_reads}), 0);
    end_of_daemon();
#else
    skip("a thread that reads: without glibc the buffers are written by fflush(NULL), which waits for it");
#endif
}
END_TEST

#define QUEUES 40

static struct proc_queue *queues[QUEUES];

static void *close_queues(void *unused)
{
    for (int i = QUEUES - 1; i >= 0; i--)
        proc_queue_close(queues[i]);
    return unused;
}

static void have_thread_that_closes_queues(void)
{
    for (int i = 0; i < QUEUES; i++)
        queues[i] = proc_queue_open(PROC_PRIVATE, 0, 0);
    start_thread(close_queues);
}

START_TEST(private_objects_that_are_closed_meanwhile_disturb_nobody)
{
    for (int round = 0; round < (runs_shortened() ? 5 : 30); round++) {
        ck_assert_int_eq(run((struct start){.before = have_thread_that_closes_queues}), 0);
        ck_assert_int_eq(end_of_daemon(), 0);
    }
}
END_TEST

static void close_queue(void)
{
    proc_queue_close(queue);
    facts->inside = !queue_exists();
    be_ready();
}

START_TEST(a_private_object_that_the_daemon_closes_is_gone_at_once)
{
    ck_assert_int_eq(run((struct start){.before = make_queue, .life = close_queue}), 0);
    end_of_daemon();
    ck_assert(facts->inside);
}
END_TEST

/* ---- streams that nobody reads ---- */

static int full[2]; /* a pipe */

static void make_full_pipe(void)
{
    static char page[4096];

    ck_assert_int_eq(pipe2(full, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(full[1], page, sizeof page) > 0)
        ;
    ck_assert_int_eq(errno, EAGAIN);
}

static void make_it_blocking(void)
{
    ck_assert_int_eq(fcntl(full[1], F_SETFL, 0), 0);
}

static int bytes_in_pipe(void)
{
    int size = -1;

    ck_assert_int_eq(ioctl(full[0], FIONREAD, &size), 0);
    return size;
}

static void close_pipe(void)
{
    close(full[0]);
    close(full[1]);
}

static void print_something(void)
{
    printf("something");
    facts->inside = true;
}

static bool command_prints(void)
{
    return facts->inside && sleeps(proc_pid(current));
}

START_TEST(a_command_whose_output_nobody_reads_can_be_ended)
{
    struct start start = {.before = print_something};

    make_full_pipe();
    make_it_blocking();
    current = must_spawn((struct proc_options){.main = command, .arg = &start, .out = PROC_FD(full[1])});
    ck_assert(soon(command_prints));
    proc_kill(current, SIGTERM);
    ck_assert_int_eq(end_of(current), -SIGTERM);
    close_pipe();
}
END_TEST

static char message[100000];
static int bytes_before;

static void fail_at_length(void)
{
    proc_daemon_fail(7, message);
}

static void fail_at_some_length(void)
{
    message[9000] = '\0'; /* so much the command is told before it has printed any */
    fail_at_length();
}

/* There is room for the begin of the message. */
static void begin_to_fail_at_length(int timeout_ms)
{
    static struct start start;

    start = (struct start){.options.ready_timeout_ms = timeout_ms, .life = fail_at_some_length};
    make_full_pipe();
    make_it_blocking();
    ck_assert_int_eq(read(full[0], message, 4096), 4096);
    bytes_before = bytes_in_pipe();
    memset(message, 'm', sizeof message - 1);
    current = must_spawn((struct proc_options){.main = command, .arg = &start, .err = PROC_FD(full[1])});
}

static bool message_is_begun(void)
{
    return bytes_in_pipe() > bytes_before && sleeps(proc_pid(current));
}

START_TEST(one_whose_last_words_nobody_reads_can_be_ended)
{
    begin_to_fail_at_length(-1);
    ck_assert(soon(message_is_begun));
    proc_kill(current, SIGTERM);
    ck_assert_int_eq(end_of(current), -SIGTERM);
    all_orphans_end();
    close_pipe();
}
END_TEST

START_TEST(one_whose_last_words_nobody_reads_ends_in_time)
{
    begin_to_fail_at_length(100);
    ck_assert_int_eq(end_of(current), 7);
    all_orphans_end();
    close_pipe();
}
END_TEST

START_TEST(a_message_arrives_whole_where_writing_does_not_block)
{
    struct start start = {.life = fail_at_length};
    static char text[65536];
    size_t found = 0;
    ssize_t size;

    memset(message, 'm', sizeof message - 1);
    make_full_pipe();
    current = must_spawn((struct proc_options){.main = command, .arg = &start, .err = PROC_FD(full[1])});
    close(full[1]);
    ck_assert(soon(daemon_exists));
    fcntl(full[0], F_SETFL, 0);
    while ((size = read(full[0], text, sizeof text)) > 0)
        for (ssize_t i = 0; i < size; i++)
            found += text[i] == 'm';
    ck_assert_uint_eq(found, sizeof message - 1);
    ck_assert_int_eq(end_of(current), 7);
    end_of_daemon();
    close(full[0]);
}
END_TEST

static int fail_outside(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    signal(SIGPIPE, SIG_DFL);
    proc_daemon_fail(11, "to nobody");
}

START_TEST(to_fail_where_nobody_can_read_it_exits_with_the_code)
{
    ck_assert_int_eq(pipe2(full, O_CLOEXEC), 0);
    close(full[0]);
    ck_assert_int_eq(end_of(must_spawn((struct proc_options){.main = fail_outside, .err = PROC_FD(full[1])})), 11);
    close(full[1]);
}
END_TEST

/* ---- the handshake ---- */

static void fail_with_minus_1(void)
{
    proc_daemon_fail(-1, NULL);
}

START_TEST(a_negative_code_is_what_exit_makes_of_it)
{
    ck_assert_int_eq(run((struct start){.life = fail_with_minus_1}), 255);
    ck_assert_int_eq(end_of_daemon(), 255);
}
END_TEST

static void fail_slowly(void)
{
    atexit(wait_for_gate);
    proc_daemon_fail(3, "slow");
}

START_TEST(the_command_waits_for_the_exit_handlers_of_a_daemon_that_fails)
{
    struct start start = {.life = fail_slowly};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    ck_assert_int_eq(proc_wait(proc, NULL, 50), 0);
    let_go();
    ck_assert_int_eq(end_of(proc), 3);
    end_of_daemon();
}
END_TEST

#define HEAVY (64 << 20)

static void be_heavy_and_wait(void)
{
    char *memory = mmap(NULL, HEAVY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    madvise(memory, HEAVY, MADV_NOHUGEPAGE); /* so that its end takes a while */
    memset(memory, 1, HEAVY);
    facts->inside = true;
    wait_for_ever();
}

static bool daemon_is_inside(void)
{
    return facts->inside;
}

START_TEST(when_a_command_has_been_ended_its_daemon_is_dead)
{
    struct start start = {.life = be_heavy_and_wait};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_is_inside));
    proc_kill(proc, SIGTERM);
    ck_assert_int_eq(end_of(proc), -SIGTERM);
    ck_assert_int_eq(waitpid(facts->daemon, NULL, WNOHANG), facts->daemon);
}
END_TEST

static void be_told_to_end(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTERM);
}

START_TEST(a_command_that_is_ended_at_once_leaves_no_daemon)
{
    struct start start = {.before = be_told_to_end, .life = wait_for_ever};

    for (int round = 0; round < (runs_shortened() ? 10 : 60); round++) {
        ck_assert_int_eq(run(start), -SIGTERM);
        all_orphans_end();
    }
}
END_TEST

static void on_signal(int signo)
{
    (void)signo;
    facts->second = 1;
}

static void catch_sigterm(void)
{
    signal(SIGTERM, on_signal);
}

START_TEST(a_command_that_catches_a_signal_is_ended_by_it_all_the_same)
{
    struct start start = {.before = catch_sigterm, .life = wait_for_ever};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    proc_kill(proc, SIGTERM);
    ck_assert_int_eq(end_of(proc), -SIGTERM);
    ck_assert_int_eq(facts->second, 0);
}
END_TEST

static bool daemon_is_ours(void)
{
    return facts->daemon != 0 && atoi(status_of(facts->daemon, "PPid")) == getpid();
}

START_TEST(the_keeper_goes_with_a_command_that_is_killed)
{
    struct start start = {.life = wait_for_gate};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    proc_kill(proc, SIGKILL);
    ck_assert_int_eq(end_of(proc), -SIGKILL);
    ck_assert(soon(daemon_is_ours));
    stop_daemon();
}
END_TEST

static void leave_group(void)
{
    setsid();
    facts->parent = getppid();
    facts->daemon = getpid();
    facts->inside = true;
    wait_for_gate();
}

START_TEST(without_the_keeper_a_number_may_be_a_strangers_and_is_not_killed)
{
    struct start start = {.life = leave_group};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_is_inside));
    kill(facts->parent, SIGKILL);
    ck_assert(soon(daemon_is_ours));
    proc_kill(proc, SIGINT); /* one of them ends the command, the other the wait for word of the daemon's end */
    proc_kill(proc, SIGTERM);
    ck_assert_int_lt(end_of(proc), 0);
    stop_daemon();
}
END_TEST

/* The keeper's words are said by then. */
static bool keeper_sleeps(void)
{
    return sleeps(getppid());
}

static void be_ready_at_the_second_try(void)
{
    soon(keeper_sleeps);
    seam_fail(SYS_sendto, 1, ENOBUFS);
    facts->result = proc_daemon_ready();
    facts->failure = errno;
    seam_end();
    facts->second = proc_daemon_ready();
}

START_TEST(to_be_ready_can_be_said_again_if_it_could_not_be_said)
{
    ck_assert_int_eq(run((struct start){.life = be_ready_at_the_second_try}), 0);
    end_of_daemon();
    ck_assert_int_eq(facts->result, -1);
    ck_assert_int_eq(facts->failure, ENOBUFS);
    ck_assert_int_eq(facts->second, 0);
}
END_TEST

static int line[2]; /* a pipe */

static void close_line(void)
{
    close(line[1]);
    wait_and_be_ready();
}

START_TEST(who_waits_for_the_end_of_a_pipe_does_not_wait_for_the_command)
{
    struct start start = {.life = close_line};

    if (atoi(status_of(getpid(), "Threads")) != 1) {
        skip("the end of a pipe: the sanitizer has a thread, and a command's other threads keep what it has open");
        return;
    }
    ck_assert_int_eq(pipe2(line, O_CLOEXEC), 0);
    struct proc *proc = begin(&start);
    close(line[1]);
    struct pollfd end = {.fd = line[0]};
    ck_assert_int_eq(poll(&end, 1, DAEMON_PATIENCE_MS), 1);
    ck_assert(end.revents & POLLHUP);
    stop_daemon();
    ck_assert_int_eq(end_of(proc), 0);
    close(line[0]);
}
END_TEST

static void enter_pid_namespace(void)
{
    if (unshare(CLONE_NEWPID) < 0)
        _exit(96);
}

START_TEST(the_first_process_of_a_pid_namespace_cannot_be_its_keeper)
{
    int how = run((struct start){.options.pidfile = path, .before = enter_pid_namespace});

    if (how == 96) {
        skip("no pid namespace: root alone may make one");
        return;
    }
    ck_assert_int_eq(how, 1);
    ck_assert_ptr_nonnull(strstr(output.err, ": a new pid namespace: "));
    all_orphans_end();
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(when_a_daemon_has_died_its_pidfile_is_free_at_once)
{
    struct start start = {.options.pidfile = path, .life = wait_for_ever};
    struct proc *proc = begin(&start);

    ck_assert(soon(daemon_exists));
    pid_t first = facts->daemon;
    proc_kill(proc, SIGSTOP); /* so it has not heard of it yet, and does not hold it in its place */
    kill(first, SIGKILL);
    ck_assert(soon(is_free));
    start_with_pidfile();
    proc_kill(proc, SIGCONT);
    ck_assert_int_eq(end_of(proc), 1);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon); /* and took nothing away */
    let_go();
    ck_assert_int_eq(end_of_daemon(), 0);
}
END_TEST

/* ---- what cannot be ---- */

START_TEST(an_empty_path_is_no_path)
{
    check_refusal((struct proc_daemon_options){.cwd = ""}, ENOENT);
    check_refusal((struct proc_daemon_options){.out = ""}, ENOENT);
    check_refusal((struct proc_daemon_options){.err = ""}, ENOENT);
    check_refusal((struct proc_daemon_options){.pidfile = ""}, ENOENT);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_not_cut)
{
    static char name[5300];

    for (int i = 0; i < 2600; i++)
        memcpy(name + 2 * (size_t)i, "./", 2);
    strcpy(name + 5200, "x");
    check_refusal((struct proc_daemon_options){.cwd = name}, ENAMETOOLONG);
    check_refusal((struct proc_daemon_options){.out = name}, ENAMETOOLONG);
    check_refusal((struct proc_daemon_options){.err = name}, ENAMETOOLONG);
    check_refusal((struct proc_daemon_options){.pidfile = name}, ENAMETOOLONG);
}
END_TEST

static int fail_to_fork(struct proc *self, void *unused)
{
    struct proc_daemon_options options = {.pidfile = path};
    struct sigaction action;
    char mask[64];

    (void)self, (void)unused;
    signal(SIGCHLD, SIG_IGN);
    snprintf(mask, sizeof mask, "%s", status_of(getpid(), "SigBlk"));
    seam_fail(SYS_clone, 1, EAGAIN);
    facts->result = proc_daemon(&options);
    facts->failure = errno;
    seam_end();
    sigaction(SIGCHLD, NULL, &action);
    facts->inside = strcmp(mask, status_of(getpid(), "SigBlk")) == 0 && action.sa_handler == SIG_IGN;
    return 0;
}

START_TEST(without_a_new_process_nothing_has_changed)
{
    ck_assert_int_eq(end_of(must_spawn((struct proc_options){.main = fail_to_fork})), 0);
    ck_assert_int_eq(facts->result, -1);
    ck_assert_int_eq(facts->failure, EAGAIN);
    ck_assert(facts->inside);
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void allow_no_byte(void)
{
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
}

static void allow_one_byte(void)
{
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1, 1});
}

START_TEST(a_limit_for_files_is_told_in_the_foreground_and_ends_nobody)
{
    struct proc_daemon_options options = {.pidfile = path, .flags = PROC_DAEMON_FOREGROUND};

    ck_assert_int_eq(run((struct start){.options = options, .before = allow_no_byte}), 99);
    ck_assert_int_eq(facts->failure, EFBIG);
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(half_a_number_is_never_published)
{
    struct proc_daemon_options options = {.pidfile = path, .flags = PROC_DAEMON_FOREGROUND};

    ck_assert_int_eq(run((struct start){.options = options, .before = allow_one_byte}), 99);
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_leaves_the_other_closed)
{
    struct fd_set_all before, after;

    fds_open(&before);
    check_refusal((struct proc_daemon_options){
                      .flags = PROC_DAEMON_FOREGROUND, .out = temporary("out"), .err = temporary("nowhere/err")},
                  ENOENT);
    fds_open(&after);
    ck_assert(fds_same(&before, &after));
}
END_TEST

/* ---- log files ---- */

static void reopen_interrupted(void)
{
    seam_fail(SYS_openat, 1, EINTR);
    facts->result = proc_daemon_reopen();
    facts->inside = seam_end();
    proc_daemon_ready();
}

START_TEST(a_signal_does_not_keep_log_files_from_being_opened_anew)
{
    ck_assert_int_eq(run((struct start){.options.err = temporary("log"), .life = reopen_interrupted}), 0);
    end_of_daemon();
    ck_assert(facts->inside);
    ck_assert_int_eq(facts->result, 0);
}
END_TEST

static void reopen_in_vain(void)
{
    be_ready();
    wait_for_gate();
    int before = fds_count();
    facts->second = proc_daemon_reopen();
    facts->inside = fds_count() == before;
}

START_TEST(a_log_that_cannot_be_opened_anew_leaves_nothing_open)
{
    struct proc_daemon_options options = {.out = temporary("out"), .err = temporary("logs/err")};

    ck_assert_int_eq(mkdir(temporary("logs"), 0700), 0);
    ck_assert_int_eq(run((struct start){.options = options, .life = reopen_in_vain}), 0);
    ck_assert_int_eq(rename(temporary("logs"), temporary("old")), 0);
    stop_daemon();
    ck_assert_int_eq(facts->second, -1);
    ck_assert(facts->inside);
}
END_TEST

static void enter_temporary(void)
{
    if (chdir(temporary("")) < 0)
        _exit(97);
}

static void reopen_at_gate(void)
{
    be_ready();
    wait_for_gate();
    facts->second = proc_daemon_reopen();
    dprintf(1, "text");
}

START_TEST(a_relative_path_is_in_the_same_directory_for_ever)
{
    struct start start = {.options.out = "link/log", .before = enter_temporary, .life = reopen_at_gate};

    ck_assert_int_eq(mkdir(temporary("old"), 0700), 0);
    ck_assert_int_eq(mkdir(temporary("new"), 0700), 0);
    ck_assert_int_eq(symlink("old", temporary("link")), 0);
    ck_assert_int_eq(run(start), 0);
    ck_assert_int_eq(unlink(temporary("link")), 0);
    ck_assert_int_eq(symlink("new", temporary("link")), 0);
    stop_daemon();
    ck_assert_int_eq(facts->second, 0);
    ck_assert_str_eq(contents_of(temporary("old/log")), "text");
}
END_TEST

/* ---- the pidfile ---- */

static void check_mode(mode_t mask, mode_t mode)
{
    struct stat status;
    struct start start = {.options = {.pidfile = path, .umask = mask}, .life = be_ready_and_wait};

    ck_assert_int_eq(run(start), 0);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, mode);
    stop_daemon();
}

START_TEST(the_umask_is_for_the_pidfile_as_well_but_its_owner_can_read_it)
{
    check_mode(022, 0644);
    check_mode(027, 0640);
    check_mode(0777, 0400);
}
END_TEST

START_TEST(one_who_just_looks_is_no_holder)
{
    write_file(path, "1\n");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), 0);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(errno, ESRCH);
    start_with_pidfile();
    stop_daemon();
    close(fd);
}
END_TEST

START_TEST(the_number_of_one_who_has_gone_is_nobodys)
{
    char number[16];
    pid_t gone = fork();

    if (gone == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(gone, NULL, 0), gone);
    snprintf(number, sizeof number, "%d\n", (int)gone);
    write_file(path, number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(proc_pidfile_read(path), -1);
    ck_assert_int_eq(errno, ESRCH);
    close(fd);
}
END_TEST

/* By the kernel alone: no handler of a fork's is run. */
static void have_unnoticed_child(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (child == 0)
        exit(0);
    waitpid(child, NULL, 0);
    be_ready_and_wait();
}

START_TEST(a_child_of_which_no_handler_knows_does_not_remove_the_pidfile)
{
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = have_unnoticed_child}), 0);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    stop_daemon();
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void have_unnoticed_child_that_starts(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (child == 0)
        _exit(proc_daemon(&(struct proc_daemon_options){.flags = PROC_DAEMON_FOREGROUND, .cwd = "/nowhere"}) == -1 ? 0 : 1);
    waitpid(child, &facts->second, 0);
    be_ready_and_wait();
}

START_TEST(nor_does_one_that_wants_to_be_a_daemon_itself)
{
    facts->second = -1;
    ck_assert_int_eq(run((struct start){.options.pidfile = path, .life = have_unnoticed_child_that_starts}), 0);
    ck_assert_int_eq(facts->second, 0);
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    stop_daemon();
    ck_assert_int_eq(files(), 0);
}
END_TEST

static void check_that_a_stranger_is_in_nobodys_way(void)
{
    struct stat status;

    start_with_pidfile();
    ck_assert_int_eq(proc_pidfile_read(path), facts->daemon);
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert(S_ISREG(status.st_mode));
    ck_assert_uint_eq(status.st_uid, geteuid());
    ck_assert_uint_eq(status.st_nlink, 1);
    stop_daemon();
    ck_assert_int_eq(access(temporary("pid~"), F_OK), -1);
}

START_TEST(what_is_linked_beside_the_pidfile_is_not_written)
{
    write_file(temporary("precious"), "text");
    ck_assert_int_eq(symlink(temporary("precious"), temporary("pid~")), 0);
    check_that_a_stranger_is_in_nobodys_way();
    ck_assert_int_eq(link(temporary("precious"), temporary("pid~")), 0);
    check_that_a_stranger_is_in_nobodys_way();
    ck_assert_str_eq(contents_of(temporary("precious")), "text");
    ck_assert_int_eq(files(), 1);
}
END_TEST

START_TEST(what_another_user_has_left_there_is_in_nobodys_way)
{
    if (geteuid() != 0) {
        skip("no other user: this needs root");
        return;
    }
    write_file(temporary("pid~"), "1\n");
    ck_assert_int_eq(chown(temporary("pid~"), 65534, 65534), 0);
    check_that_a_stranger_is_in_nobodys_way();
    ck_assert_int_eq(files(), 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("daemon_edges");
    TCase *tcase = tcase_daemons(suite, "daemon_edges");

    tcase_add_test(tcase, another_thread_that_ends_the_command_takes_nothing_from_the_daemon);
    tcase_add_test(tcase, a_command_with_a_thread_that_reads_is_not_held_up);
    tcase_add_test(tcase, private_objects_that_are_closed_meanwhile_disturb_nobody);
    tcase_add_test(tcase, a_private_object_that_the_daemon_closes_is_gone_at_once);
    tcase_add_test(tcase, a_command_whose_output_nobody_reads_can_be_ended);
    tcase_add_test(tcase, one_whose_last_words_nobody_reads_can_be_ended);
    tcase_add_test(tcase, one_whose_last_words_nobody_reads_ends_in_time);
    tcase_add_test(tcase, a_message_arrives_whole_where_writing_does_not_block);
    tcase_add_test(tcase, to_fail_where_nobody_can_read_it_exits_with_the_code);
    tcase_add_test(tcase, a_negative_code_is_what_exit_makes_of_it);
    tcase_add_test(tcase, the_command_waits_for_the_exit_handlers_of_a_daemon_that_fails);
    tcase_add_test(tcase, when_a_command_has_been_ended_its_daemon_is_dead);
    tcase_add_test(tcase, a_command_that_is_ended_at_once_leaves_no_daemon);
    tcase_add_test(tcase, a_command_that_catches_a_signal_is_ended_by_it_all_the_same);
    tcase_add_test(tcase, the_keeper_goes_with_a_command_that_is_killed);
    tcase_add_test(tcase, without_the_keeper_a_number_may_be_a_strangers_and_is_not_killed);
    tcase_add_test(tcase, to_be_ready_can_be_said_again_if_it_could_not_be_said);
    tcase_add_test(tcase, who_waits_for_the_end_of_a_pipe_does_not_wait_for_the_command);
    tcase_add_test(tcase, when_a_daemon_has_died_its_pidfile_is_free_at_once);
    tcase_add_test(tcase, the_first_process_of_a_pid_namespace_cannot_be_its_keeper);
    tcase_add_test(tcase, an_empty_path_is_no_path);
    tcase_add_test(tcase, a_path_that_is_too_long_is_not_cut);
    tcase_add_test(tcase, without_a_new_process_nothing_has_changed);
    tcase_add_test(tcase, a_limit_for_files_is_told_in_the_foreground_and_ends_nobody);
    tcase_add_test(tcase, half_a_number_is_never_published);
    tcase_add_test(tcase, a_log_that_cannot_be_opened_leaves_the_other_closed);
    tcase_add_test(tcase, a_signal_does_not_keep_log_files_from_being_opened_anew);
    tcase_add_test(tcase, a_log_that_cannot_be_opened_anew_leaves_nothing_open);
    tcase_add_test(tcase, a_relative_path_is_in_the_same_directory_for_ever);
    tcase_add_test(tcase, the_umask_is_for_the_pidfile_as_well_but_its_owner_can_read_it);
    tcase_add_test(tcase, one_who_just_looks_is_no_holder);
    tcase_add_test(tcase, the_number_of_one_who_has_gone_is_nobodys);
    tcase_add_test(tcase, a_child_of_which_no_handler_knows_does_not_remove_the_pidfile);
    tcase_add_test(tcase, nor_does_one_that_wants_to_be_a_daemon_itself);
    tcase_add_test(tcase, what_is_linked_beside_the_pidfile_is_not_written);
    tcase_add_test(tcase, what_another_user_has_left_there_is_in_nobodys_way);
    return suite;
}
