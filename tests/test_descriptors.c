/* Which descriptors a child has, and where: every layout, and nothing else. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 1024

static unsigned long long inode_of(int fd)
{
    struct stat found;

    ck_assert_msg(fstat(fd, &found) == 0, "descriptor %d", fd);
    return found.st_ino;
}

/* What the child had: its descriptors' inodes, 0 where there is none. */
static void found_by(struct proc_options options, unsigned long long inodes[MOST])
{
    const char *report = temporary("report");
    const char *const argv[] = {probe_path(), report, NULL};
    unsigned long long inode;
    int fd, flags;

    options.argv = argv;
    ck_assert_int_eq(must_end(must_spawn(options)).code, 0);
    memset(inodes, 0, MOST * sizeof *inodes);
    FILE *file = fopen(report, "re");
    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "fd %d %llu %d\n", &fd, &inode, &flags) == 3) {
        inodes[fd] = inode;
        ck_assert_int_eq(flags, 0);
    }
    fclose(file);
}

static int count_of(const unsigned long long inodes[MOST])
{
    int count = 0;

    for (int fd = 0; fd < MOST; fd++)
        count += inodes[fd] != 0;
    return count;
}

START_TEST(a_program_has_the_standard_streams_and_nothing_else)
{
    unsigned long long inodes[MOST];
    int leaky = dup(2), far = fcntl(2, F_DUPFD, 900);

    found_by((struct proc_options){0}, inodes);
    close(leaky), close(far);
    ck_assert_int_eq(count_of(inodes), 3);
    for (int fd = 0; fd < 3; fd++)
        ck_assert_uint_eq(inodes[fd], inode_of(fd));
}
END_TEST

START_TEST(keep_fds_keeps_what_exec_keeps)
{
    unsigned long long inodes[MOST];
    int kept = fcntl(2, F_DUPFD, 900), closed = fcntl(2, F_DUPFD_CLOEXEC, 901), inheritable = 0;

    for (int fd = 0; fd < MOST; fd++)
        inheritable += fcntl(fd, F_GETFD) == 0;
    found_by((struct proc_options){.flags = PROC_KEEP_FDS, .in = PROC_PIPE, .out = PROC_PIPE}, inodes);
    ck_assert_uint_eq(inodes[kept], inode_of(2));
    ck_assert_uint_eq(inodes[closed], 0);
    close(kept), close(closed);
    ck_assert_int_eq(count_of(inodes), inheritable);
}
END_TEST

/* Files on the given descriptors, in a process of its own: the standard ones may be among them. */
static void put_file_on(int fd)
{
    int file = memfd_create("layout", MFD_CLOEXEC);

    ck_assert_int_ge(file, 0);
    if (file == fd)
        return;
    ck_assert_int_eq(dup3(file, fd, O_CLOEXEC), fd);
    close(file);
}

#define PLACES 6
static const int sources[PLACES] = {0, 1, 2, 3, 4, 200};

static void check_layout(const int targets[], size_t count)
{
    struct proc_fd fds[PLACES];
    unsigned long long inodes[MOST], expected[MOST] = {0};

    for (size_t i = 0; i < count; i++) {
        fds[i] = (struct proc_fd){.parent = sources[i], .child = targets[i]};
        expected[targets[i]] = inode_of(sources[i]);
    }
    for (int fd = 0; fd < 3; fd++)
        if (!expected[fd])
            expected[fd] = inode_of(fd);
    found_by((struct proc_options){.fds = fds, .nfds = count}, inodes);
    for (int fd = 0; fd < MOST; fd++)
        ck_assert_msg(inodes[fd] == expected[fd], "descriptor %d of targets %d %d %d %d", fd, targets[0], targets[1],
                      targets[2], targets[3]);
}

static void each_permutation(int *targets, size_t fixed, size_t count)
{
    if (fixed == count) {
        check_layout(targets, count);
        return;
    }
    for (size_t i = fixed; i < count; i++) {
        int swap = targets[fixed];

        targets[fixed] = targets[i], targets[i] = swap;
        each_permutation(targets, fixed + 1, count);
        swap = targets[fixed];
        targets[fixed] = targets[i], targets[i] = swap;
    }
}

START_TEST(every_permutation_is_mapped_right)
{
    int targets[PLACES] = {0, 1, 2, 3, 4, 5};

    for (int i = 0; i < PLACES; i++)
        put_file_on(sources[i]);
    each_permutation(targets, 0, runs_instrumented() ? 4 : PLACES);
}
END_TEST

START_TEST(one_descriptor_may_go_to_several_places_and_stay)
{
    const struct proc_fd fds[] = {{5, 5}, {5, 6}, {6, 7}, {5, 300}, {6, 1}, {300, 8}};
    unsigned long long inodes[MOST];

    put_file_on(5), put_file_on(6), put_file_on(300);
    found_by((struct proc_options){.fds = fds, .nfds = 6}, inodes);
    ck_assert_uint_eq(inodes[5], inode_of(5));
    ck_assert_uint_eq(inodes[6], inode_of(5));
    ck_assert_uint_eq(inodes[7], inode_of(6));
    ck_assert_uint_eq(inodes[300], inode_of(5));
    ck_assert_uint_eq(inodes[1], inode_of(6));
    ck_assert_uint_eq(inodes[8], inode_of(300));
    ck_assert_int_eq(count_of(inodes), 8);
    close(5), close(6), close(300);
}
END_TEST

/* Streams and mapped descriptors at once, on the very numbers that the pipes get. */
START_TEST(streams_and_fds_are_one_step)
{
    struct proc_fd fds[8];
    unsigned long long inodes[MOST];

    put_file_on(50);
    for (int i = 0; i < 8; i++)
        fds[i] = (struct proc_fd){.parent = 50, .child = 3 + i};
    struct proc_options options = {.fds = fds, .nfds = 8, .in = PROC_PIPE, .out = PROC_FD(2), .err = PROC_FD(50)};
    found_by(options, inodes);
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(inodes[3 + i], inode_of(50));
    ck_assert_uint_eq(inodes[1], inode_of(2));
    ck_assert_uint_eq(inodes[2], inode_of(50));
    ck_assert_int_eq(count_of(inodes), 11);
    close(50);
}
END_TEST

static int report_layout(struct proc *self, void *unused)
{
    (void)unused;
    struct stat found[4];
    char text[4] = "0123";

    for (int i = 0; i < 4; i++)
        if (fstat(20 + i, &found[i]) < 0)
            return 1;
    if (found[0].st_ino == found[1].st_ino || found[2].st_ino != found[3].st_ino)
        return 2;
    return proc_write(self, text, 4) == 4 ? 0 : 3;
}

START_TEST(a_callback_child_is_mapped_in_the_same_way)
{
    const struct proc_fd fds[] = {{21, 20}, {20, 21}, {22, 22}, {22, 23}};
    char text[8];

    put_file_on(20), put_file_on(21), put_file_on(22);
    struct proc *proc =
        must_spawn((struct proc_options){.main = report_layout, .fds = fds, .nfds = 4, .channel = PROC_STREAM});
    ck_assert_int_eq(proc_read(proc, text, sizeof text), 4);
    ck_assert_int_eq(must_end(proc).code, 0);
    close(20), close(21), close(22);
}
END_TEST

/* The channel and the report lie where something is to be mapped. */
START_TEST(a_callback_childs_own_ends_get_out_of_the_way)
{
    struct proc_fd fds[40];
    char text[8];

    put_file_on(60), put_file_on(61), put_file_on(62);
    for (int i = 0; i < 40; i++)
        fds[i] = (struct proc_fd){.parent = i % 2 ? 61 : 60, .child = 3 + i};
    fds[17] = (struct proc_fd){60, 20}, fds[18] = (struct proc_fd){61, 21};
    fds[19] = (struct proc_fd){62, 22}, fds[20] = (struct proc_fd){62, 23};
    struct proc *proc =
        must_spawn((struct proc_options){.main = report_layout, .fds = fds, .nfds = 40, .channel = PROC_SEQPACKET});
    ck_assert_int_eq(proc_read(proc, text, sizeof text), 4);
    ck_assert_int_eq(must_end(proc).code, 0);
    close(60), close(61), close(62);
}
END_TEST

START_TEST(a_number_at_the_limit_is_emfile)
{
    const struct proc_fd fds[] = {{1, 1 << 24}};

    must_not_spawn((struct proc_options){.argv = SHELL(":"), .fds = fds, .nfds = 1}, EMFILE, "descriptors");
    must_not_spawn((struct proc_options){.argv = SHELL(":"), .fds = &(struct proc_fd){29999, 5}, .nfds = 1}, EBADF,
                   "descriptors");
}
END_TEST

/* A process whose standard descriptors are closed gets none of ours there, and the child's are right. */
static int with_closed_standard_descriptors(const char *file)
{
    close(0), close(1), close(2);
    struct proc_options options = {.argv = SHELL("cat; echo err >&2"), .in = PROC_PIPE, .out = PROC_PIPE,
                                   .err = PROC_WRITE(file), .channel = PROC_STREAM};
    struct proc_output output = {0};
    struct proc *proc = proc_spawn(&options);

    if (!proc)
        return 1;
    if (proc_in(proc) < 3 || proc_out(proc) < 3 || proc_fd(proc) < 3 ||
        (proc_pidfd(proc) < 3 && !no_pidfds()))
        return 2;
    if (fcntl(0, F_GETFD) >= 0 || fcntl(1, F_GETFD) >= 0 || fcntl(2, F_GETFD) >= 0)
        return 3;
    if (proc_communicate(proc, "fed", 3, &output, -1) != 1 || strcmp(output.out, "fed") != 0)
        return 4;
    proc_output_free(&output);
    proc_free(proc);
    struct proc_options pty = {.argv = SHELL("test -t 0 && test -t 1"), .in = PROC_PTY, .out = PROC_PTY};
    proc = proc_spawn(&pty);
    if (!proc || proc_in(proc) < 3 || proc_out(proc) < 3 || proc_wait(proc, &output.exit, -1) != 1 || output.exit.code != 0)
        return 5;
    proc_free(proc);
    return 0;
}

START_TEST(closed_standard_descriptors_are_left_alone)
{
    int status;
    const char *file = temporary("err");
    pid_t pid = fork();

    if (pid == 0)
        _exit(with_closed_standard_descriptors(file));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(contents_of(file), "err\n");
}
END_TEST

START_TEST(what_the_library_makes_is_close_on_exec)
{
    struct proc *proc = must_spawn((struct proc_options){
        .argv = SHELL("read x"), .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE, .channel = PROC_SEQPACKET});
    const int fds[] = {proc_in(proc), proc_out(proc), proc_err(proc), proc_fd(proc), proc_pidfd(proc)};

    for (int i = 0; i < (no_pidfds() ? 4 : 5); i++) {
        ck_assert_int_gt(fds[i], 2);
        ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
    }
    proc_free(proc);
}
END_TEST

/* ---- end-of-file among siblings ---- */

static int wait_for_word(struct proc *self, void *unused)
{
    char word;

    (void)unused;
    return proc_read(self, &word, 1) == 1 ? 0 : 1;
}

START_TEST(siblings_hold_none_of_a_childs_ends)
{
    struct proc *children[4];
    char byte;

    children[0] = must_spawn((struct proc_options){.argv = SHELL("cat"), .in = PROC_PIPE, .out = PROC_PIPE});
    children[1] = must_spawn((struct proc_options){.main = wait_for_word, .channel = PROC_STREAM});
    children[2] = must_spawn((struct proc_options){.main = wait_for_word, .channel = PROC_SEQPACKET});
    children[3] = must_spawn((struct proc_options){.argv = SHELL("read x"), .in = PROC_PIPE});
    for (int i = 0; i < 3; i++)
        proc_set_timeout(children[i], 20000);
    ck_assert_int_eq(proc_close(children[0], PROC_CLOSE_IN), 0); /* cat sees the end although the others live */
    ck_assert_int_eq(proc_read(children[0], &byte, 1), 0);
    ck_assert_int_eq(proc_kill(children[1], 9), 0);
    ck_assert_int_eq(proc_read(children[1], &byte, 1), 0); /* and we see the end of one, although the next was forked later */
    for (int i = 0; i < 4; i++)
        proc_free(children[i]);
}
END_TEST

static int count_open(struct proc *self, void *closed)
{
    const int *fds = closed;

    (void)self;
    for (; *fds >= 0; fds++)
        if (fcntl(*fds, F_GETFD) >= 0)
            return 1;
    return 0;
}

START_TEST(a_callback_child_closes_the_parents_ends_of_all_children)
{
    struct proc *first = must_spawn((struct proc_options){
        .argv = SHELL("read x"), .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE, .channel = PROC_DGRAM});
    struct proc *pty = must_spawn((struct proc_options){.argv = SHELL("read x"), .in = PROC_PTY, .out = PROC_PTY});
    int closed[] = {proc_in(first), proc_out(first), proc_err(first), proc_fd(first), proc_in(pty), proc_out(pty), -1};
    struct proc *second = must_spawn((struct proc_options){.main = count_open, .arg = closed, .in = PROC_PIPE});

    ck_assert_int_eq(must_end(second).code, 0);
    proc_free(first), proc_free(pty);
}
END_TEST

static int write_to_sibling(struct proc *self, void *arg)
{
    (void)self, (void)arg;
    return write(40, "to sibling", 10) == 10 ? 0 : 1;
}

START_TEST(a_parents_end_that_is_named_is_passed_on)
{
    struct proc *first = must_spawn((struct proc_options){.argv = SHELL("cat"), .in = PROC_PIPE, .out = PROC_PIPE});
    const struct proc_fd fds[] = {{proc_in(first), 40}};
    char text[32] = "";

    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = write_to_sibling, .fds = fds, .nfds = 1})).code, 0);
    proc_close(first, PROC_CLOSE_IN);
    ck_assert_int_eq(proc_read(first, text, sizeof text), 10);
    ck_assert_str_eq(text, "to sibling");
    proc_free(first);
}
END_TEST

static int free_siblings(struct proc *self, void *siblings)
{
    struct proc **proc = siblings;

    (void)self;
    for (; *proc; proc++)
        proc_free(*proc);
    proc_free(NULL);
    return 0;
}

START_TEST(an_inherited_object_can_be_freed_without_harm_to_the_sibling)
{
    struct proc *siblings[] = {must_spawn((struct proc_options){.argv = SHELL("read x"), .in = PROC_PIPE}),
                               must_spawn((struct proc_options){.argv = SHELL("read x"), .in = PROC_PIPE}), NULL};

    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = free_siblings, .arg = siblings})).code, 0);
    ck_assert(proc_running(siblings[0]) && proc_running(siblings[1]));
    pid_t forked = fork(); /* by hand, too */
    if (forked == 0) {
        proc_free(siblings[0]);
        _exit(0);
    }
    waitpid(forked, NULL, 0);
    ck_assert(proc_running(siblings[0]));
    proc_free(siblings[0]), proc_free(siblings[1]);
}
END_TEST

static int have_standard_streams(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0 ? 0 : 1;
}

static int spawn_callbacks(struct proc *self, void *file)
{
    struct proc_options inherits = {.main = have_standard_streams};
    struct proc_options redirected = {.main = have_standard_streams, .in = PROC_NULL, .out = PROC_WRITE(file)};
    int status = 0;

    (void)self;
    for (int i = 0; i < 2; i++) {
        struct proc_exit exit = {.code = -2};
        struct proc *proc = proc_spawn(i ? &redirected : &inherits);

        if (!proc || proc_wait(proc, &exit, -1) != 1)
            return 10;
        status |= exit.code << i;
        proc_free(proc);
    }
    return status;
}

START_TEST(a_callback_childs_own_children_have_standard_streams)
{
    const char *file = temporary("out");
    struct proc *proc = must_spawn((struct proc_options){
        .main = spawn_callbacks, .arg = (char *)file, .in = PROC_PIPE, .out = PROC_PIPE});

    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

static int read_word(struct proc *self, void *unused)
{
    char text[8];

    (void)self, (void)unused;
    return read(0, text, sizeof text) == 5 && memcmp(text, "hello", 5) == 0 ? 0 : 1;
}

/* The channel's own number, whichever it is, is among the targets. */
START_TEST(a_channel_that_is_a_stream_gets_out_of_the_way_too)
{
    struct proc_fd fds[30];

    for (int i = 0; i < 30; i++)
        fds[i] = (struct proc_fd){.parent = 2, .child = 3 + i};
    struct proc *proc = must_spawn((struct proc_options){.main = read_word, .in = PROC_CHANNEL, .fds = fds, .nfds = 30});
    ck_assert_int_eq(proc_write(proc, "hello", 5), 5);
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

/* ---- other threads ---- */

static _Atomic bool stop_opening;

static void *open_and_close(void *unused)
{
    (void)unused;
    while (!stop_opening) {
        int fd = open("/dev/null", O_RDONLY); /* not close-on-exec: a leak would be seen */

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(close(fd), 0);
    }
    return NULL;
}

START_TEST(descriptors_that_other_threads_open_meanwhile_leak_into_no_child)
{
    pthread_t threads[2];
    unsigned long long inodes[MOST];

    stop_opening = false;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 100; i++) {
        found_by((struct proc_options){.in = PROC_PIPE}, inodes);
        ck_assert_int_eq(count_of(inodes), 3);
    }
    stop_opening = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static void *spawn_pipes(void *unused)
{
    (void)unused;
    for (int i = 0; i < 60; i++) {
        struct proc *proc = must_spawn((struct proc_options){.argv = SHELL("cat"), .in = PROC_PIPE, .out = PROC_PIPE});
        char byte;

        proc_set_timeout(proc, 30000);
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_IN), 0);
        ck_assert_int_eq(proc_read(proc, &byte, 1), 0);
        proc_free(proc);
    }
    return NULL;
}

/* Forked children are born at every moment of another thread's spawn; while they live, its end-of-files must come. */
START_TEST(a_fork_at_any_moment_takes_no_end_of_a_spawn_in_progress)
{
    pthread_t thread;
    struct proc *children[60];

    ck_assert_int_eq(pthread_create(&thread, NULL, spawn_pipes, NULL), 0);
    for (int i = 0; i < 60; i++)
        children[i] = must_spawn((struct proc_options){.main = wait_for_word, .channel = PROC_STREAM});
    pthread_join(thread, NULL);
    for (int i = 0; i < 60; i++)
        proc_free(children[i]);
}
END_TEST

/* fork() by the program itself, while another thread spawns: the child may free what it has inherited. */
START_TEST(a_plain_fork_at_any_moment_leaves_no_lock_behind)
{
    pthread_t thread;
    struct proc *mine = must_spawn((struct proc_options){.argv = SHELL("read x"), .in = PROC_PIPE});

    ck_assert_int_eq(pthread_create(&thread, NULL, spawn_pipes, NULL), 0);
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        int status = -1;

        if (pid == 0) {
            alarm(30); /* a lock that nobody holds any more would be waited for until then */
            proc_free(mine);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    pthread_join(thread, NULL);
    ck_assert(proc_running(mine));
    proc_free(mine);
}
END_TEST

static pthread_mutex_t programs_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool handlers_lock; /* the handlers stay registered: they do their work in one test only */

static void take_programs_lock(void)
{
    if (handlers_lock)
        pthread_mutex_lock(&programs_lock);
}

static void give_programs_lock(void)
{
    if (handlers_lock)
        pthread_mutex_unlock(&programs_lock);
}

static void *spawn_under_a_lock(void *unused)
{
    (void)unused;
    for (int i = 0; i < 60; i++) {
        pthread_mutex_lock(&programs_lock);
        must_end(must_spawn((struct proc_options){.argv = SHELL(":"), .in = PROC_PIPE}));
        pthread_mutex_unlock(&programs_lock);
    }
    return NULL;
}

START_TEST(the_programs_own_fork_handlers_may_take_its_locks)
{
    pthread_t thread;

    if (seam_is_off("clone_vm")) {
        skip("programs are forked too here: a thread with the lock would take it once more");
        return;
    }
    ck_assert_int_eq(pthread_atfork(take_programs_lock, give_programs_lock, give_programs_lock), 0);
    handlers_lock = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, spawn_under_a_lock, NULL), 0);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = have_standard_streams})).code, 0);
    pthread_join(thread, NULL);
    handlers_lock = false;
}
END_TEST

/* ---- many open ---- */

START_TEST(with_thousands_open_the_child_has_its_own_and_the_parent_keeps_all)
{
    struct rlimit limit;
    int many[2500], count = 0, far;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int wanted = limit.rlim_cur > 3000 ? 2500 : (int)limit.rlim_cur - 100;
    while (count < wanted && (many[count] = dup(2)) >= 0)
        count++;
    far = memfd_create("far", MFD_CLOEXEC);
    ck_assert_int_ge(far, wanted);
    int open_before = fds_count();
    const struct proc_fd fds[] = {{far, 3}, {far, 17}};
    unsigned long long inodes[MOST];
    found_by((struct proc_options){.fds = fds, .nfds = 2, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_FD(far)}, inodes);
    ck_assert_int_eq(count_of(inodes), 5);
    ck_assert_uint_eq(inodes[3], inode_of(far));
    ck_assert_uint_eq(inodes[17], inode_of(far));
    ck_assert_uint_eq(inodes[2], inode_of(far));
    found_by((struct proc_options){0}, inodes);
    ck_assert_int_eq(count_of(inodes), 3);
    ck_assert_int_eq(fds_count(), open_before);
    ck_assert_str_eq(output_of_shell((struct proc_options){0}, "echo still"), "still\n");
    close(far);
    while (count > 0)
        close(many[--count]);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("descriptors");
    TCase *tcase = tcase_checked(suite, "layout");

    tcase_add_test(tcase, a_program_has_the_standard_streams_and_nothing_else);
    tcase_add_test(tcase, keep_fds_keeps_what_exec_keeps);
    tcase_add_test(tcase, one_descriptor_may_go_to_several_places_and_stay);
    tcase_add_test(tcase, streams_and_fds_are_one_step);
    tcase_add_test(tcase, a_callback_child_is_mapped_in_the_same_way);
    tcase_add_test(tcase, a_callback_childs_own_ends_get_out_of_the_way);
    tcase_add_test(tcase, a_number_at_the_limit_is_emfile);
    tcase_add_test(tcase, closed_standard_descriptors_are_left_alone);
    tcase_add_test(tcase, what_the_library_makes_is_close_on_exec);
    tcase = tcase_checked(suite, "siblings");
    tcase_add_test(tcase, siblings_hold_none_of_a_childs_ends);
    tcase_add_test(tcase, a_callback_child_closes_the_parents_ends_of_all_children);
    tcase_add_test(tcase, a_parents_end_that_is_named_is_passed_on);
    tcase_add_test(tcase, an_inherited_object_can_be_freed_without_harm_to_the_sibling);
    tcase_add_test(tcase, a_callback_childs_own_children_have_standard_streams);
    tcase_add_test(tcase, a_channel_that_is_a_stream_gets_out_of_the_way_too);
    tcase = tcase_checked(suite, "threads");
    tcase_add_test(tcase, a_plain_fork_at_any_moment_leaves_no_lock_behind);
    tcase_add_test(tcase, the_programs_own_fork_handlers_may_take_its_locks);
    tcase_add_test(tcase, descriptors_that_other_threads_open_meanwhile_leak_into_no_child);
    tcase_add_test(tcase, a_fork_at_any_moment_takes_no_end_of_a_spawn_in_progress);
    tcase = tcase_checked(suite, "many open");
    tcase_add_test(tcase, with_thousands_open_the_child_has_its_own_and_the_parent_keeps_all);
    tcase = tcase_create("permutations"); /* unchecked: it replaces its own standard descriptors */
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, every_permutation_is_mapped_right);
    suite_add_tcase(suite, tcase);
    return suite;
}
