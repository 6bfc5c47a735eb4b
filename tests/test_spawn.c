/* Starting programs: what fails and how, where they are found, what they start with. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const true_argv[] = {"true", NULL};
#define RUN_TRUE .argv = true_argv

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* ---- options ---- */

static int nothing(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    return 0;
}

START_TEST(bad_options_are_einval_before_anything_is_created)
{
    const struct proc_fd twice[] = {{1, 5}, {2, 5}}, negative[] = {{1, -1}}, third[] = {{1, 3}}, first[] = {{1, 0}};
    const struct proc_ids no_uid = {.uid = (uid_t)-1}, no_gid = {.gid = (gid_t)-1}, no_groups = {.ngroups = 1};
    const char *const empty_name[] = {"=x", NULL}, *const empty[] = {"", NULL}, *const no_argv[] = {NULL};
    cpu_set_t cpus;

    must_not_spawn((struct proc_options){0}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .main = nothing}, EINVAL, "options");
    must_not_spawn((struct proc_options){.main = nothing, .path = "/bin/true"}, EINVAL, "options");
    must_not_spawn((struct proc_options){.argv = no_argv}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .title = "t"}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .flags = 0x80}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .out = PROC_TO_STDOUT}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .in = PROC_TO_STDOUT}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .in = PROC_READ(NULL)}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .in = {(enum proc_stdio_kind)99, 0, NULL}}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .channel = (enum proc_channel)4}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .fds = twice, .nfds = 2}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .fds = negative, .nfds = 1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .nfds = 1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .channel = PROC_STREAM, .fds = third, .nfds = 1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .in = PROC_NULL, .fds = first, .nfds = 1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .env = empty_name}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .env = empty}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .ids = &no_uid}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .ids = &no_gid}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .ids = &no_groups}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .nlimits = 1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .affinity = &cpus}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .death_signal = 65}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .death_signal = -1}, EINVAL, "options");
    must_not_spawn((struct proc_options){RUN_TRUE, .death_signal = 9, .flags = PROC_DETACH}, EINVAL, "options");
}
END_TEST

START_TEST(options_of_another_header_size_are_understood)
{
    struct {
        struct proc_options known;
        long newer;
    } larger = {.known = {RUN_TRUE}};

    struct proc *proc = proc_spawn_sized(&larger.known, sizeof larger);
    ck_assert_ptr_nonnull(proc);
    must_end(proc);
    larger.newer = 1;
    ck_assert_ptr_null(proc_spawn_sized(&larger.known, sizeof larger));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_spawn_sized(&larger.known, offsetof(struct proc_options, flags)));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(proc_spawn_sized(NULL, sizeof larger));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- the program ---- */

START_TEST(a_program_that_cannot_be_run_fails_with_its_errno)
{
    write_file(temporary("plain"), "no program", 0644);
    write_file(temporary("text"), "echo hidden shell", 0755);
    write_file(temporary("orphan"), "#!/nonexistent/interpreter\n", 0755);
    if (runs_in_valgrind()) {
        skip("valgrind looks into a program's file by itself");
        return;
    }
    must_not_spawn((struct proc_options){.argv = (const char *[]){"/nonexistent/x", NULL}}, ENOENT, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){"no-such-program-anywhere", NULL}}, ENOENT, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){"", NULL}}, ENOENT, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){temporary("plain"), NULL}}, EACCES, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){temporary(""), NULL}}, EACCES, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){temporary("text"), NULL}}, ENOEXEC, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){temporary("orphan"), NULL}}, ENOENT, "execve");
    must_not_spawn((struct proc_options){.argv = (const char *[]){"/dev/null/x", NULL}}, ENOTDIR, "execve");
}
END_TEST

START_TEST(a_name_that_is_too_long_is_enametoolong)
{
    char name[300];

    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    must_not_spawn((struct proc_options){.argv = (const char *[]){name, NULL}}, ENAMETOOLONG, "execve");
}
END_TEST

START_TEST(path_is_searched_in_the_childs_environment)
{
    char path[600];

    ck_assert_int_eq(mkdir(temporary("a"), 0755), 0);
    ck_assert_int_eq(mkdir(temporary("b"), 0755), 0);
    write_file(temporary("a/tool"), "#!/bin/sh\necho a\n", 0644);
    write_file(temporary("b/tool"), "#!/bin/sh\necho b\n", 0755);
    write_file(temporary("a/locked"), "#!/bin/sh\n", 0644);
    snprintf(path, sizeof path, "PATH=%s:/dev/null:/nonexistent:%s:/bin:/usr/bin", temporary("a"), temporary("b"));
    const char *const env[] = {path, NULL};
    const char *const tool[] = {"tool", NULL}, *const locked[] = {"locked", NULL};

    ck_assert_str_eq(output_of((struct proc_options){.argv = tool, .env = env}), "b\n");
    must_not_spawn((struct proc_options){.argv = locked, .env = env}, EACCES, "execve");
    must_not_spawn((struct proc_options){.argv = tool}, ENOENT, "execve");
    ck_assert_str_eq(output_of((struct proc_options){.argv = (const char *[]){"zero", NULL}, .path = "tool", .env = env}),
                     "b\n");
}
END_TEST

START_TEST(without_path_the_systems_default_is_searched)
{
    const char *const env[] = {"PATH", NULL};

    ck_assert_str_eq(output_of((struct proc_options){.argv = (const char *[]){"echo", "x", NULL}, .env = env}), "x\n");
    ck_assert_str_eq(
        output_of((struct proc_options){.argv = (const char *[]){"echo", "x", NULL}, .flags = PROC_CLEAR_ENV}), "x\n");
}
END_TEST

START_TEST(what_is_relative_is_found_from_the_callers_directory_even_with_cwd)
{
    char old[4096];
    const char *const empty_place[] = {"PATH=/nonexistent:", NULL};
    struct proc_options options = {.argv = (const char *[]){"./here", NULL}, .cwd = "/"};

    ck_assert_ptr_nonnull(getcwd(old, sizeof old));
    write_file(temporary("here"), "#!/bin/sh\npwd\n", 0755);
    ck_assert_int_eq(chdir(temporary("")), 0);
    ck_assert_str_eq(output_of(options), "/\n");
    options.argv = (const char *[]){"here", NULL};
    options.env = empty_place;
    ck_assert_str_eq(output_of(options), "/\n");
    options.out = PROC_WRITE("relative-file");
    must_end(must_spawn(options));
    ck_assert_str_eq(contents_of(temporary("relative-file")), "/\n");
    ck_assert_int_eq(chdir(old), 0);
}
END_TEST

START_TEST(a_working_directory_that_is_gone_hides_only_what_is_relative)
{
    char old[4096];
    const char *const places[] = {"PATH=:/bin:/usr/bin", NULL};

    ck_assert_ptr_nonnull(getcwd(old, sizeof old));
    ck_assert_int_eq(mkdir(temporary("gone"), 0755), 0);
    ck_assert_int_eq(chdir(temporary("gone")), 0);
    ck_assert_int_eq(rmdir(temporary("gone")), 0);
    must_end(must_spawn((struct proc_options){RUN_TRUE, .env = places, .cwd = "/"}));
    must_not_spawn((struct proc_options){.argv = (const char *[]){"./x", NULL}, .cwd = "/"}, ENOENT, "execve");
    ck_assert_int_eq(chdir(old), 0);
}
END_TEST

/* ---- environment ---- */

START_TEST(env_adds_replaces_and_removes_each_name_once)
{
    const char *const env[] = {"LIBPROC_A=1", "LIBPROC_B", "LIBPROC_A=2", "LIBPROC_C=new=er", "LIBPROC_NONE", NULL};

    setenv("LIBPROC_A", "old", 1);
    setenv("LIBPROC_B", "old", 1);
    setenv("LIBPROC_AB", "kept", 1);
    const char *text = output_of_shell((struct proc_options){.env = env}, "env | grep ^LIBPROC_ | sort");
    ck_assert_str_eq(text, "LIBPROC_A=2\nLIBPROC_AB=kept\nLIBPROC_C=new=er\n");
    ck_assert_str_eq(getenv("LIBPROC_A"), "old");
    unsetenv("LIBPROC_A"), unsetenv("LIBPROC_B"), unsetenv("LIBPROC_AB");
}
END_TEST

START_TEST(clear_env_starts_from_nothing)
{
    const char *const env[] = {"ONLY=1", NULL};
    struct proc_options options = {.argv = (const char *[]){"/usr/bin/env", NULL}, .env = env, .flags = PROC_CLEAR_ENV};

    ck_assert_str_eq(output_of(options), "ONLY=1\n");
    options.env = NULL;
    ck_assert_str_eq(output_of(options), "");
}
END_TEST

/* ---- what the child becomes ---- */

START_TEST(cwd_is_where_the_child_starts)
{
    ck_assert_str_eq(output_of_shell((struct proc_options){.cwd = "/usr"}, "pwd"), "/usr\n");
    must_not_spawn((struct proc_options){RUN_TRUE, .cwd = "/nonexistent"}, ENOENT, "chdir");
    must_not_spawn((struct proc_options){RUN_TRUE, .cwd = "/dev/null"}, ENOTDIR, "chdir");
}
END_TEST

START_TEST(umask_nice_limits_and_affinity_are_set)
{
    if (runs_in_valgrind()) {
        skip("valgrind keeps the limit on descriptors to itself");
        return;
    }
    const struct proc_rlimit limits[] = {{RLIMIT_NOFILE, {64, 128}}, {RLIMIT_CORE, {0, 0}}};
    struct proc_options options = {.nice = 3, .umask = 027, .flags = PROC_UMASK, .limits = limits, .nlimits = 2};
    cpu_set_t cpus;

    ck_assert_str_eq(output_of_shell(options, "umask; nice; ulimit -Sn; ulimit -Hn"), "0027\n3\n64\n128\n");
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    options = (struct proc_options){.affinity = &cpus, .affinity_size = sizeof cpus};
    ck_assert_str_eq(output_of_shell(options, "grep ^Cpus_allowed_list /proc/self/status"), "Cpus_allowed_list:\t0\n");
}
END_TEST

START_TEST(a_set_up_that_fails_names_its_step)
{
    const struct proc_rlimit limits[] = {{9999, {1, 1}}};
    cpu_set_t none;

    CPU_ZERO(&none);
    must_not_spawn((struct proc_options){RUN_TRUE, .limits = limits, .nlimits = 1}, EINVAL, "limits");
    must_not_spawn((struct proc_options){RUN_TRUE, .affinity = &none, .affinity_size = sizeof none}, EINVAL, "affinity");
    must_not_spawn((struct proc_options){RUN_TRUE, .out = PROC_WRITE("/nonexistent/x")}, ENOENT, "open");
    must_not_spawn((struct proc_options){RUN_TRUE, .flags = PROC_CGROUP, .cgroup = -1}, EBADF, "cgroup");
    must_not_spawn((struct proc_options){RUN_TRUE, .in = PROC_FD(29999)}, EBADF, "descriptors");
}
END_TEST

START_TEST(a_lowered_limit_on_descriptors_does_not_break_the_redirects)
{
    if (runs_in_valgrind()) {
        skip("valgrind keeps the limit on descriptors to itself");
        return;
    }
    const struct proc_rlimit limits[] = {{RLIMIT_NOFILE, {3, 3}}};
    struct proc_options options = {.in = PROC_NULL, .out = PROC_WRITE("/dev/null"), .err = PROC_TO_STDOUT,
                                   .limits = limits, .nlimits = 1, .argv = (const char *[]){probe_path(), NULL}};

    must_end(must_spawn(options)); /* a dynamic program cannot even load: that it was started is what counts */
}
END_TEST

/* ---- signals ---- */

static void handler(int signo)
{
    (void)signo;
}

static unsigned long long mask_in(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    ck_assert_ptr_nonnull(line);
    return strtoull(line + strlen(name) + 1, NULL, 16);
}

static const char *signals_of_a_program(void)
{
    return output_of((struct proc_options){.argv = (const char *[]){"cat", "/proc/self/status", NULL}});
}

START_TEST(a_program_starts_with_a_clean_signal_state)
{
    sigset_t all, old;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int signo = 1; signo < SIGRTMAX; signo++)
        if (signo != SIGKILL && signo != SIGSTOP && (signo < 32 || signo > 33) && signo != SIGCHLD && signo != SIGCONT)
            signal(signo, handler);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGRTMIN + 3, SIG_IGN);
    unsigned long long kept = strtoull(status_of(getpid(), "SigIgn"), NULL, 16) & ~(1ull << (SIGPIPE - 1));
    const char *text = signals_of_a_program();
    ck_assert_uint_ne(kept & 1ull << (SIGHUP - 1), 0);
    ck_assert_uint_ne(kept & 1ull << (SIGRTMIN + 3 - 1), 0);
    ck_assert_uint_eq(mask_in(text, "SigBlk:"), 0);
    ck_assert_uint_eq(mask_in(text, "SigCgt:"), 0);
    ck_assert_uint_eq(mask_in(text, "SigIgn:"), kept);
    for (int signo = 1; signo < SIGRTMAX; signo++)
        if (signo != SIGKILL && signo != SIGSTOP && (signo < 32 || signo > 33))
            signal(signo, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
}
END_TEST

START_TEST(sigchld_ignored_by_the_caller_is_default_in_the_child)
{
    signal(SIGCHLD, SIG_IGN);
    struct proc_options options = {.out = PROC_PIPE, .argv = (const char *[]){"cat", "/proc/self/status", NULL}};
    char text[4096] = "";
    struct proc *proc = must_spawn(options);
    ck_assert_int_gt(proc_read(proc, text, sizeof text - 1), 0);
    must_end(proc);
    signal(SIGCHLD, SIG_DFL);
    ck_assert_uint_eq(mask_in(text, "SigIgn:") & 1ull << (SIGCHLD - 1), 0);
}
END_TEST

static volatile sig_atomic_t handled_in;

static void note_pid(int signo)
{
    (void)signo;
    if (getpid() != handled_in)
        _exit(99);
}

/* Signals to the whole group while children come and go: the parent's handler runs in the parent only. */
START_TEST(the_parents_handler_never_runs_in_the_child)
{
    pid_t storm;

    handled_in = getpid();
    ck_assert_int_eq(setpgid(0, 0), 0);
    signal(SIGUSR1, note_pid);
    storm = fork();
    if (storm == 0) {
        signal(SIGUSR1, SIG_IGN);
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        for (;;)
            kill(0, SIGUSR1);
    }
    int started = 0, killed = 0;
    while (started + killed < 300) {
        struct proc *proc = must_spawn((struct proc_options){.argv = (const char *[]){"/bin/true", NULL}});
        struct proc_exit exit = must_end(proc);

        ck_assert_int_ne(exit.code, 99);
        ck_assert(exit.code == 0 || exit.signal == SIGUSR1);
        *(exit.code == 0 ? &started : &killed) += 1;
    }
    kill(storm, SIGKILL);
    while (waitpid(storm, NULL, 0) < 0 && errno == EINTR) /* by its last signals: with a sanitizer it does not go on by itself */
        ;
    signal(SIGUSR1, SIG_DFL);
}
END_TEST

START_TEST(a_failed_spawn_leaves_the_mask_as_it_was)
{
    sigset_t mine, old;

    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mine, &old);
    must_not_spawn((struct proc_options){.argv = (const char *[]){"/nonexistent", NULL}}, ENOENT, "execve");
    ck_assert_str_eq(status_of(getpid(), "SigBlk"), "0000000000000800");
    sigprocmask(SIG_SETMASK, &old, NULL);
}
END_TEST

/* ---- groups, sessions, ids ---- */

START_TEST(new_group_and_new_session_are_led_by_the_child)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.flags = PROC_NEW_GROUP}, "read x");
    ck_assert_int_eq(getpgid(proc_pid(proc)), proc_pid(proc));
    ck_assert_int_eq(getsid(proc_pid(proc)), getsid(0));
    proc_free(proc);
    proc = must_spawn_shell((struct proc_options){.flags = PROC_NEW_SESSION | PROC_NEW_GROUP}, "read x");
    ck_assert_int_eq(getpgid(proc_pid(proc)), proc_pid(proc));
    ck_assert_int_eq(getsid(proc_pid(proc)), proc_pid(proc));
    proc_free(proc);
}
END_TEST

START_TEST(ids_are_taken_groups_first_and_for_good)
{
    const gid_t groups[] = {7, 5};
    const struct proc_ids ids = {.uid = 65534, .gid = 65533, .groups = groups, .ngroups = 2};
    const struct proc_ids alone = {.uid = 65534, .gid = 65533};

    if (geteuid() != 0) {
        skip("changing ids needs root");
        return;
    }
    ck_assert_str_eq(output_of_shell((struct proc_options){.ids = &ids}, "grep -E '^(Uid|Gid|Groups)' /proc/self/status"),
                     "Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\nGroups:\t5 7 \n");
    ck_assert_str_eq(output_of_shell((struct proc_options){.ids = &alone}, "grep ^Groups /proc/self/status"), "Groups:\t \n");
}
END_TEST

/* In a forked process, since there is no way back. Ends with 0, or with the line that was wrong. */
static int as_nobody(void)
{
    const gid_t mine[] = {11, 12}, other[] = {11, 13};
    struct proc_ids own = {.uid = 65534, .gid = 65533};
    struct proc_options options = {RUN_TRUE, .ids = &own};
    struct proc *proc;

    if (setgroups(2, mine) < 0 || setresgid(65533, 65533, 65533) < 0 || setresuid(65534, 65534, 65534) < 0)
        return 1;
    if (!(proc = proc_spawn(&options)))
        return 2;
    proc_free(proc);
    own.groups = mine, own.ngroups = 2;
    if (!(proc = proc_spawn(&options)))
        return 3;
    proc_free(proc);
    own.groups = other;
    if (proc_spawn(&options) || errno != EPERM || strcmp(proc_spawn_step(), "setgroups") != 0)
        return 4;
    own = (struct proc_ids){.uid = 0, .gid = 65533};
    if (proc_spawn(&options) || errno != EPERM || strcmp(proc_spawn_step(), "setgroups") != 0)
        return 5;
    return 0;
}

START_TEST(without_privilege_ones_own_ids_are_no_change_and_others_an_error)
{
    int status;

    if (geteuid() != 0) {
        skip("changing ids needs root");
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(as_nobody());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_child_with_other_ids_leaves_the_parent_dumpable)
{
    const struct proc_ids ids = {.uid = 65534, .gid = 65534};

    if (geteuid() != 0) {
        skip("changing ids needs root");
        return;
    }
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
    must_end(must_spawn((struct proc_options){RUN_TRUE, .ids = &ids}));
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
    must_not_spawn((struct proc_options){RUN_TRUE, .ids = &ids, .cwd = "/nonexistent"}, ENOENT, "chdir");
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
}
END_TEST

START_TEST(ids_of_a_user_come_from_the_database)
{
    struct proc_ids ids = {0};

    ck_assert_int_eq(proc_ids_of("root", &ids), 0);
    ck_assert_int_eq(ids.uid, 0);
    ck_assert_int_eq(ids.gid, 0);
    ck_assert_uint_ge(ids.ngroups, 1);
    proc_ids_free(&ids);
    ck_assert_ptr_null(ids.groups);
    proc_ids_free(&ids);
    proc_ids_free(NULL);
    ck_assert_int_eq(proc_ids_of("no-such-user-here", &ids), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(proc_ids_of(NULL, &ids), -1);
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- death signal, cgroup, detach ---- */

static int spawn_and_die(int report)
{
    struct proc_options options = {.argv = SHELL("kill -STOP $$; sleep 60"), .death_signal = SIGKILL};
    struct proc *proc = proc_spawn(&options);
    pid_t pid = proc ? proc_pid(proc) : -1;

    return write(report, &pid, sizeof pid) == sizeof pid ? 0 : 1;
}

static void await_end_of(pid_t pid)
{
    for (int i = 0; i < 3000 && kill(pid, 0) == 0 && status_of(pid, "State")[0] != 'Z'; i++)
        usleep(10000); /* a stranger's child by now: there is nothing to wait on */
    ck_assert(kill(pid, 0) != 0 || status_of(pid, "State")[0] == 'Z');
}

START_TEST(death_signal_ends_the_child_when_its_parent_is_killed)
{
    int pipe_fds[2];
    pid_t child = -1;

    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0)
        _exit(spawn_and_die(pipe_fds[1]));
    ck_assert_int_eq(read(pipe_fds[0], &child, sizeof child), sizeof child);
    waitpid(parent, NULL, 0);
    close(pipe_fds[0]), close(pipe_fds[1]);
    ck_assert_int_gt(child, 0);
    await_end_of(child);
}
END_TEST

/* Or has to write itself into it: then what is no directory is found out by the attempt to open a file in it. */
static bool born_into_cgroups(void)
{
    return !seam_is_off("clone3") && !seam_is_off("clone_vm") && !runs_in_valgrind();
}

START_TEST(a_child_is_born_into_its_cgroup)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[128] = "", expected[64];

    for (int i = 0; i < 2 && !path[0]; i++) {
        snprintf(path, sizeof path, "%s/cgroup.controllers", mounts[i]);
        if (access(path, F_OK) == 0)
            snprintf(path, sizeof path, "%s/libproc-test-%d", mounts[i], (int)getpid());
        else
            path[0] = '\0';
    }
    if (!path[0] || mkdir(path, 0755) < 0) {
        skip("no cgroup v2 that we may use");
        return;
    }
    struct proc_options options = {.cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .flags = PROC_CGROUP};
    const char *text = output_of_shell(options, "grep ^0:: /proc/self/cgroup");
    snprintf(expected, sizeof expected, "/libproc-test-%d\n", (int)getpid());
    bool right = strstr(text, expected) != NULL;
    int fd = options.cgroup;
    must_not_spawn((struct proc_options){RUN_TRUE, .cgroup = STDIN_FILENO, .flags = PROC_CGROUP},
                   !born_into_cgroups() ? ENOTDIR : EBADF, "cgroup");
    close(fd);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_msg(right, "%s", text);
}
END_TEST

START_TEST(a_detached_child_is_not_ours_and_its_end_is_told)
{
    struct proc_exit exit;
    struct proc_options options = {.flags = PROC_DETACH, .in = PROC_PIPE, .argv = SHELL("read x; exit 5")};

    if (no_pidfds()) {
        skip("a detached child is waited for through its pidfd");
        return;
    }
    struct proc *proc = must_spawn(options);
    ck_assert_int_eq(waitpid(proc_pid(proc), NULL, WNOHANG | __WALL), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_ne(atoi(status_of(proc_pid(proc), "PPid")), getpid());
    ck_assert(proc_running(proc));
    ck_assert_int_eq(proc_wait(proc, &exit, 0), 0);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_IN), 0);
    ck_assert_int_eq(proc_wait(proc, &exit, 30000), 1);
    ck_assert_int_eq(exit.pid, proc_pid(proc));
    ck_assert_msg(exit.code == 5 || (exit.code == -1 && exit.signal == -1), "code %d", exit.code);
    ck_assert(!proc_running(proc));
    proc_free(proc);
}
END_TEST

/* Orphans come to a subreaper: then a detached child is ours to reap in the end, and its exit is known. */
START_TEST(a_detached_child_of_a_subreaper_is_reaped_by_wait)
{
    struct proc_exit exit;

    if (no_pidfds()) {
        skip("a detached child is waited for through its pidfd");
        return;
    }
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    struct proc *proc = must_spawn_shell((struct proc_options){.flags = PROC_DETACH}, "exit 5");
    ck_assert_int_eq(proc_wait(proc, &exit, 30000), 1);
    ck_assert_int_eq(exit.code, 5);
    proc_free(proc);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
END_TEST

START_TEST(a_detached_child_outlives_free)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.flags = PROC_DETACH}, "exec sleep 60");
    pid_t pid = proc_pid(proc);

    proc_free(proc);
    ck_assert_int_eq(kill(pid, 0), 0);
    kill(pid, SIGKILL);
    await_end_of(pid);
}
END_TEST

START_TEST(a_detached_program_that_fails_is_reported)
{
    must_not_spawn((struct proc_options){.argv = (const char *[]){"/nonexistent", NULL}, .flags = PROC_DETACH}, ENOENT,
                   "execve");
    must_not_spawn((struct proc_options){RUN_TRUE, .cwd = "/nonexistent", .flags = PROC_DETACH}, ENOENT, "chdir");
}
END_TEST

/* ---- many at once ---- */

static void *spawn_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 50; i++) {
        struct proc_options options = {.argv = SHELL("cat; exit 3"), .in = PROC_PIPE, .out = PROC_PIPE};
        struct proc_output output = {0};
        struct proc *proc = proc_spawn(&options);

        ck_assert_ptr_nonnull(proc);
        ck_assert_int_eq(proc_communicate(proc, "text", 4, &output, -1), 1);
        ck_assert_str_eq(output.out, "text");
        ck_assert_int_eq(output.exit.code, 3);
        proc_output_free(&output);
        proc_free(proc);
    }
    return NULL;
}

START_TEST(many_threads_spawn_at_once)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_many, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(a_child_of_a_program_at_its_limit_of_descriptors_starts)
{
    struct rlimit old, low;
    int held[256], count = 0;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){fds_count() + 3, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < 256 && (held[count] = dup(2)) >= 0)
        count++;
    struct proc_options options = {RUN_TRUE};
    struct proc *proc = proc_spawn(&options);
    int failure = errno;
    int waited = proc ? proc_wait(proc, NULL, 30000) : 0;
    proc_free(proc);
    options.out = PROC_PIPE;
    struct proc *piped = proc_spawn(&options);
    int piped_failure = errno;
    while (count > 0)
        close(held[--count]);
    setrlimit(RLIMIT_NOFILE, &old);
    ck_assert_msg(proc != NULL || seam_is_off("clone_vm"), "%s", strerror(failure)); /* the fallback needs a socket */
    ck_assert(!proc || waited == 1);
    ck_assert_ptr_null(piped);
    ck_assert_int_eq(piped_failure, EMFILE);
}
END_TEST

START_TEST(a_full_process_table_is_eagain_at_clone)
{
    struct rlimit old, none = {0, 0};

    if (geteuid() == 0 && !seam_is_off("clone_vm")) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            getrlimit(RLIMIT_NPROC, &old);
            none.rlim_max = old.rlim_max;
            if (setresgid(65534, 65534, 65534) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0 || setresuid(65534, 65534, 65534) < 0)
                _exit(1);
            struct proc_options options = {RUN_TRUE};
            _exit(proc_spawn(&options) == NULL && errno == EAGAIN && strcmp(proc_spawn_step(), "clone") == 0 ? 0 : 2);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
}
END_TEST

START_TEST(elapsed_and_usage_are_filled)
{
    const char *script = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done";
    struct proc_exit exit = must_end(must_spawn_shell((struct proc_options){0}, script));

    ck_assert_int_gt(exit.elapsed_ns, 0);
    ck_assert_int_gt(exit.usage.ru_utime.tv_sec * 1000000 + exit.usage.ru_utime.tv_usec + exit.usage.ru_stime.tv_usec, 0);
}
END_TEST

static int spawn_in_a_new_namespace(struct proc *self, void *unused)
{
    struct proc_exit exit;

    (void)self, (void)unused;
    if (unshare(CLONE_NEWPID) < 0)
        return 9;
    struct proc *first = proc_spawn(&(struct proc_options){.argv = SHELL("exit $$")});
    if (!first || proc_wait(first, &exit, 60000) != 1)
        return 2;
    proc_free(first);
    return exit.code == 1 ? 0 : 3;
}

/* Nobody else may have been it before, for with the first process of such a namespace the namespace ends. */
START_TEST(the_first_in_a_new_pid_namespace_is_the_program)
{
    int code = must_end(must_spawn((struct proc_options){.main = spawn_in_a_new_namespace})).code;

    if (code == 9)
        skip("a PID namespace takes root");
    else
        ck_assert_int_eq(code, 0);
}
END_TEST

START_TEST(the_version_is_that_of_the_header)
{
    char text[32];

    snprintf(text, sizeof text, "%d.%d.%d", PROC_VERSION_MAJOR, PROC_VERSION_MINOR, PROC_VERSION_PATCH);
    ck_assert_str_eq(proc_version(), text);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("spawn");
    TCase *tcase = tcase_checked(suite, "options");

    tcase_add_test(tcase, bad_options_are_einval_before_anything_is_created);
    tcase_add_test(tcase, options_of_another_header_size_are_understood);
    tcase = tcase_checked(suite, "program");
    tcase_add_test(tcase, a_program_that_cannot_be_run_fails_with_its_errno);
    tcase_add_test(tcase, a_name_that_is_too_long_is_enametoolong);
    tcase_add_test(tcase, path_is_searched_in_the_childs_environment);
    tcase_add_test(tcase, without_path_the_systems_default_is_searched);
    tcase_add_test(tcase, what_is_relative_is_found_from_the_callers_directory_even_with_cwd);
    tcase_add_test(tcase, a_working_directory_that_is_gone_hides_only_what_is_relative);
    tcase = tcase_checked(suite, "environment");
    tcase_add_test(tcase, env_adds_replaces_and_removes_each_name_once);
    tcase_add_test(tcase, clear_env_starts_from_nothing);
    tcase = tcase_checked(suite, "set-up");
    tcase_add_test(tcase, cwd_is_where_the_child_starts);
    tcase_add_test(tcase, umask_nice_limits_and_affinity_are_set);
    tcase_add_test(tcase, a_set_up_that_fails_names_its_step);
    tcase_add_test(tcase, a_lowered_limit_on_descriptors_does_not_break_the_redirects);
    tcase = tcase_checked(suite, "signals");
    tcase_add_test(tcase, a_program_starts_with_a_clean_signal_state);
    tcase_add_test(tcase, sigchld_ignored_by_the_caller_is_default_in_the_child);
    tcase_add_test(tcase, the_parents_handler_never_runs_in_the_child);
    tcase_add_test(tcase, a_failed_spawn_leaves_the_mask_as_it_was);
    tcase = tcase_checked(suite, "groups and ids");
    tcase_add_test(tcase, new_group_and_new_session_are_led_by_the_child);
    tcase_add_test(tcase, ids_are_taken_groups_first_and_for_good);
    tcase_add_test(tcase, without_privilege_ones_own_ids_are_no_change_and_others_an_error);
    tcase_add_test(tcase, a_child_with_other_ids_leaves_the_parent_dumpable);
    tcase_add_test(tcase, ids_of_a_user_come_from_the_database);
    tcase = tcase_checked(suite, "death signal, cgroup, detach");
    tcase_add_test(tcase, death_signal_ends_the_child_when_its_parent_is_killed);
    tcase_add_test(tcase, a_child_is_born_into_its_cgroup);
    tcase_add_test(tcase, a_detached_child_is_not_ours_and_its_end_is_told);
    tcase_add_test(tcase, a_detached_child_of_a_subreaper_is_reaped_by_wait);
    tcase_add_test(tcase, a_detached_child_outlives_free);
    tcase_add_test(tcase, a_detached_program_that_fails_is_reported);
    tcase = tcase_checked(suite, "many");
    tcase_add_test(tcase, many_threads_spawn_at_once);
    tcase_add_test(tcase, a_child_of_a_program_at_its_limit_of_descriptors_starts);
    tcase_add_test(tcase, a_full_process_table_is_eagain_at_clone);
    tcase_add_test(tcase, elapsed_and_usage_are_filled);
    tcase_add_test(tcase, the_first_in_a_new_pid_namespace_is_the_program);
    tcase_add_test(tcase, the_version_is_that_of_the_header);
    return suite;
}
