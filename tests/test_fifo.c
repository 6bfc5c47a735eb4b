/* Fifos: who waits for whom, and for how long. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char path[4096];

static void set_up(void)
{
    snprintf(path, sizeof path, "%s", temporary("fifo"));
}

static void must_be_good(int fd, int access)
{
    ck_assert_msg(fd > 2, "%d: %s", fd, strerror(errno));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), access);
}

static void must_fail(const char *name, int flags, int timeout_ms, int failure)
{
    ck_assert_int_eq(proc_fifo(name, 0, flags, timeout_ms), -1);
    ck_assert_msg(errno == failure, "%s", strerror(errno));
}

START_TEST(nobody_comes_in_time)
{
    must_fail(path, O_RDONLY | O_CREAT, 0, ETIMEDOUT);
    must_fail(path, O_WRONLY, 0, ETIMEDOUT);
    for (int access = O_RDONLY; access <= O_WRONLY; access++) {
        int64_t before = now_ms();

        must_fail(path, access, 60, ETIMEDOUT);
        ck_assert_int_ge(now_ms() - before, 60);
    }
}
END_TEST

START_TEST(for_both_directions_nobody_is_waited_for)
{
    int fd = proc_fifo(path, 0, O_RDWR | O_CREAT, 0);
    char text[4];

    must_be_good(fd, O_RDWR);
    ck_assert_int_eq(write(fd, "text", 4), 4);
    ck_assert_int_eq(read(fd, text, 4), 4);
    close(fd);
}
END_TEST

struct peer {
    int access, timeout_ms, delay_ms;
    bool is_silent;
};

/* Writes its letter, or reads one and exits with it; a silent one waits until it is killed. */
static int be_peer(struct proc *self, void *argument)
{
    const struct peer *peer = argument;
    char letter = 'x';

    if (peer->delay_ms)
        proc_read(self, &letter, 1); /* the test says when */
    int fd = proc_fifo(path, 0, peer->access | O_CREAT, peer->timeout_ms);
    if (fd < 0)
        return 1;
    if (peer->is_silent)
        for (;;)
            pause();
    if (peer->access == O_WRONLY)
        return write(fd, &letter, 1) == 1 ? 0 : 2;
    return read(fd, &letter, 1) == 1 ? letter : 3;
}

static struct proc *begin(struct peer *peer)
{
    return must_spawn((struct proc_options){.main = be_peer, .arg = peer, .channel = PROC_STREAM});
}

static void check_meeting(int timeout_ms, int peers_timeout_ms)
{
    struct peer writer = {.access = O_WRONLY, .timeout_ms = peers_timeout_ms};
    struct peer reader = {.access = O_RDONLY, .timeout_ms = peers_timeout_ms};
    char letter = 0;

    struct proc *proc = begin(&writer);
    int fd = proc_fifo(path, 0, O_RDONLY | O_CREAT, timeout_ms);
    must_be_good(fd, O_RDONLY);
    ck_assert_int_eq(read(fd, &letter, 1), 1);
    ck_assert_int_eq(letter, 'x');
    ck_assert_int_eq(read(fd, &letter, 1), 0);
    close(fd);
    ck_assert_int_eq(must_end(proc).code, 0);

    proc = begin(&reader);
    fd = proc_fifo(path, 0, O_WRONLY | O_CREAT, timeout_ms);
    must_be_good(fd, O_WRONLY);
    ck_assert_int_eq(write(fd, "y", 1), 1);
    ck_assert_int_eq(must_end(proc).code, 'y');
    close(fd);
}

START_TEST(two_that_want_each_other_meet)
{
    for (int round = 0; round < (runs_shortened() ? 5 : 50); round++) {
        check_meeting(20000, 20000);
        check_meeting(-1, 20000);
        check_meeting(20000, -1);
    }
}
END_TEST

START_TEST(one_who_waits_is_found_by_one_who_just_looks)
{
    struct peer writer = {.access = O_WRONLY, .timeout_ms = -1, .is_silent = true};
    struct peer reader = {.access = O_RDONLY, .timeout_ms = -1, .is_silent = true};
    struct proc *proc = begin(&writer);
    int fd;

    while ((fd = proc_fifo(path, 0, O_RDONLY | O_CREAT, 0)) < 0)
        ck_assert_int_eq(errno, ETIMEDOUT);
    must_be_good(fd, O_RDONLY); /* though nothing was written */
    close(fd);
    proc_free(proc);
    proc = begin(&reader);
    while ((fd = proc_fifo(path, 0, O_WRONLY, 0)) < 0)
        ck_assert_int_eq(errno, ETIMEDOUT);
    must_be_good(fd, O_WRONLY);
    close(fd);
    proc_free(proc);
}
END_TEST

START_TEST(one_who_says_nothing_counts_as_well)
{
    struct peer writer = {.access = O_WRONLY, .timeout_ms = 20000, .is_silent = true, .delay_ms = 1};
    struct proc *proc = begin(&writer);

    ck_assert_int_eq(proc_write(proc, "g", 1), 1);
    int fd = proc_fifo(path, 0, O_RDONLY | O_CREAT, 20000);
    must_be_good(fd, O_RDONLY);
    close(fd);
    proc_free(proc);
}
END_TEST

START_TEST(what_was_written_in_between_is_not_lost)
{
    int keeper = proc_fifo(path, 0, O_RDWR | O_CREAT, 0);
    char text[5] = "";

    ck_assert_int_eq(write(keeper, "text", 4), 4);
    int fd = proc_fifo(path, 0, O_RDONLY, 0);
    must_be_good(fd, O_RDONLY);
    ck_assert_int_eq(read(fd, text, 4), 4);
    ck_assert_str_eq(text, "text");
    close(fd);
    close(keeper);
}
END_TEST

static struct stat status_of_path(void)
{
    struct stat status;

    ck_assert_int_eq(stat(path, &status), 0);
    return status;
}

START_TEST(it_is_made_with_the_mode_that_is_asked_for)
{
    mode_t before = umask(026);

    must_fail(path, O_RDONLY, 0, ENOENT);
    int fd = proc_fifo(path, 0666, O_RDWR | O_CREAT, 0);
    must_be_good(fd, O_RDWR);
    close(fd);
    ck_assert(S_ISFIFO(status_of_path().st_mode));
    ck_assert_int_eq(status_of_path().st_mode & 07777, 0640);
    unlink(path);
    close(proc_fifo(path, 0, O_RDWR | O_CREAT, 0));
    ck_assert_int_eq(status_of_path().st_mode & 07777, 0600);
    umask(before);
}
END_TEST

START_TEST(what_is_no_fifo_is_left_alone)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    close(fd);
    must_fail(path, O_RDONLY, 0, EEXIST);
    must_fail(path, O_WRONLY | O_CREAT, -1, EEXIST);
    must_fail(temporary(""), O_RDONLY | O_CREAT, 0, EEXIST);
    must_fail("/dev/null", O_RDWR | O_CREAT, 0, EEXIST);
    ck_assert(S_ISREG(status_of_path().st_mode));
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    must_fail(NULL, O_RDONLY, 0, EINVAL);
    must_fail(path, O_ACCMODE | O_CREAT, 0, EINVAL);
    must_fail(path, O_RDONLY | O_NONBLOCK, 0, EINVAL);
    must_fail(path, O_RDONLY, -2, EINVAL);
    must_fail(temporary("nowhere/fifo"), O_RDWR | O_CREAT, 0, ENOENT);
    ck_assert_int_eq(symlink(temporary("nowhere/fifo"), path), 0);
    must_fail(path, O_RDWR | O_CREAT, 0, ENOENT); /* a link that leads nowhere */
}
END_TEST

static int open_as_nobody(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    if (setuid(65534) < 0)
        return 1;
    return proc_fifo(path, 0, O_RDWR, 0) == -1 && errno == EACCES ? 0 : 2;
}

START_TEST(permissions_are_heeded)
{
    if (geteuid() != 0) {
        skip("no other user: this needs root");
        return;
    }
    close(proc_fifo(path, 0600, O_RDWR | O_CREAT, 0));
    ck_assert_int_eq(chmod(temporary(""), 0755), 0);
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = open_as_nobody})).code, 0);
}
END_TEST

START_TEST(signals_neither_end_the_wait_nor_make_it_longer)
{
    int64_t before = now_ms();

    interrupt_begin();
    must_fail(path, O_RDONLY | O_CREAT, 200, ETIMEDOUT);
    must_fail(path, O_WRONLY, 200, ETIMEDOUT);
    ck_assert_int_ge(now_ms() - before, 400);
    struct peer writer = {.access = O_WRONLY, .timeout_ms = 20000};
    struct proc *proc = begin(&writer);
    int fd = proc_fifo(path, 0, O_RDONLY, -1);
    must_be_good(fd, O_RDONLY);
    interrupt_end();
    close(fd);
    must_end(proc);
}
END_TEST

START_TEST(without_standard_streams_it_is_above_them)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);

    close(0);
    int fd = proc_fifo(path, 0, O_RDWR | O_CREAT, 0);
    ck_assert_int_eq(fcntl(0, F_GETFD), -1);
    dup2(saved, 0);
    close(saved);
    must_be_good(fd, O_RDWR);
    close(fd);
}
END_TEST

START_TEST(whatever_fails_leaves_nothing_open)
{
    static const long calls[] = {SYS_openat, SYS_fstat, SYS_mknodat, SYS_fcntl, SYS_pipe2, SYS_tee, SYS_clone, SYS_clone3};
    struct fd_set_all before, after;

    fds_open(&before);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int nth = 1; nth < 4; nth++)
            for (int timeout_ms = 0; timeout_ms <= 2; timeout_ms += 2) {
                seam_fail(calls[i], nth, EMFILE);
                int fd = proc_fifo(path, 0, O_RDONLY | O_CREAT, timeout_ms);
                int failure = errno;
                seam_end();
                ck_assert_int_eq(fd, -1);
                ck_assert_msg(failure == EMFILE || failure == ETIMEDOUT, "call %ld: %s", calls[i], strerror(failure));
                fds_open(&after);
                ck_assert(fds_same(&before, &after));
                unlink(path);
            }
}
END_TEST

/* Writes a letter each time that it is told to, and says when it is written. */
static int write_letters(struct proc *self, void *unused)
{
    char letter;

    (void)unused;
    while (proc_read(self, &letter, 1) == 1) {
        int fd = proc_fifo(path, 0, O_WRONLY, 20000);

        if (fd < 0 || write(fd, &letter, 1) != 1)
            return 1;
        close(fd);
        proc_write(self, &letter, 1);
    }
    return 0;
}

static bool is_readable(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static void check_that_letter_arrives(struct proc *writer)
{
    char letter = 'l', found = 0;
    bool is_written = false;
    int fd;

    ck_assert_int_eq(proc_write(writer, &letter, 1), 1);
    do {
        ck_assert_msg(!is_written, "what was written is lost");
        is_written = is_readable(proc_fd(writer)); /* asked before the look: that one has to find it */
        fd = proc_fifo(path, 0, O_RDONLY, 0);
    } while (fd < 0);
    ck_assert_int_eq(read(fd, &found, 1), 1);
    ck_assert_int_eq(found, letter);
    close(fd);
    ck_assert_int_eq(proc_read(writer, &letter, 1), 1);
}

START_TEST(a_reader_who_just_looks_loses_nothing)
{
    if (seam_is_off("clone_vm") || runs_in_valgrind()) {
        skip("a reader who just looks: without a helper a writer may be let in who is left alone");
        return;
    }
    close(proc_fifo(path, 0, O_RDWR | O_CREAT, 0));
    struct proc *writer = must_spawn((struct proc_options){.main = write_letters, .channel = PROC_STREAM});
    for (int round = 0; round < (runs_shortened() ? 20 : 200); round++)
        check_that_letter_arrives(writer);
    proc_free(writer);
}
END_TEST

START_TEST(an_open_that_is_interrupted_is_repeated)
{
    close(proc_fifo(path, 0, O_RDWR | O_CREAT, 0));
    seam_fail(SYS_openat, 2, EINTR); /* the first one finds out what it is */
    int fd = proc_fifo(path, 0, O_RDWR, 0);
    ck_assert(seam_end());
    must_be_good(fd, O_RDWR);
    close(fd);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("fifo");
    TCase *tcase = tcase_checked(suite, "fifo");

    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, nobody_comes_in_time);
    tcase_add_test(tcase, for_both_directions_nobody_is_waited_for);
    tcase_add_test(tcase, two_that_want_each_other_meet);
    tcase_add_test(tcase, one_who_waits_is_found_by_one_who_just_looks);
    tcase_add_test(tcase, one_who_says_nothing_counts_as_well);
    tcase_add_test(tcase, what_was_written_in_between_is_not_lost);
    tcase_add_test(tcase, it_is_made_with_the_mode_that_is_asked_for);
    tcase_add_test(tcase, what_is_no_fifo_is_left_alone);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    tcase_add_test(tcase, permissions_are_heeded);
    tcase_add_test(tcase, signals_neither_end_the_wait_nor_make_it_longer);
    tcase_add_test(tcase, without_standard_streams_it_is_above_them);
    tcase_add_test(tcase, whatever_fails_leaves_nothing_open);
    tcase_add_test(tcase, a_reader_who_just_looks_loses_nothing);
    tcase_add_test(tcase, an_open_that_is_interrupted_is_repeated);
    return suite;
}
