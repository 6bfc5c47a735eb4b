/* Streams and channels: what is connected to what, and how bytes, messages, descriptors and ends get across. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const enum proc_channel every_kind[] = {PROC_STREAM, PROC_DGRAM, PROC_SEQPACKET};

/* Reads to the end of file. */
static const char *read_all(struct proc *proc)
{
    static char text[65536];
    size_t size = 0;
    ssize_t got;

    proc_set_timeout(proc, 20000);
    while ((got = proc_read(proc, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    ck_assert_msg(got == 0, "%s", strerror(errno));
    text[size] = '\0';
    return text;
}

/* ---- streams ---- */

START_TEST(pipes_connect_all_three_streams)
{
    char text[16] = "";
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE},
                                         "read x; echo out $x; echo err $x >&2");

    ck_assert_int_eq(proc_write(proc, "word\n", 5), 5);
    ck_assert_str_eq(read_all(proc), "out word\n");
    ck_assert_int_eq(read(proc_err(proc), text, sizeof text), 9);
    ck_assert_str_eq(text, "err word\n");
    must_end(proc);
}
END_TEST

START_TEST(files_are_read_truncated_and_appended_to)
{
    const char *in = temporary("in"), *out = temporary("out"), *log = temporary("log");
    FILE *file = fopen(in, "we");

    fputs("short", file);
    fclose(file);
    file = fopen(out, "we");
    fputs("a stale and longer text", file);
    fclose(file);
    struct proc_options options = {.in = PROC_READ(in), .out = PROC_WRITE(out), .err = PROC_APPEND(log)};
    for (int i = 0; i < 2; i++)
        must_end(must_spawn_shell(options, "cat; echo line >&2"));
    ck_assert_str_eq(contents_of(out), "short");
    ck_assert_str_eq(contents_of(log), "line\nline\n");
}
END_TEST

START_TEST(redirect_files_are_made_with_the_callers_umask)
{
    const char *out = temporary("made");
    struct stat made;
    mode_t old = umask(027);

    must_end(must_spawn_shell((struct proc_options){.out = PROC_WRITE(out), .umask = 0, .flags = PROC_UMASK}, ":"));
    umask(old);
    ck_assert_int_eq(stat(out, &made), 0);
    ck_assert_int_eq(made.st_mode & 0777, 0640);
}
END_TEST

START_TEST(a_redirect_may_name_the_stream_that_it_replaces)
{
    const char *file = temporary("same");
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600), saved = dup(1);

    ck_assert_int_eq(dup2(fd, 1), 1);
    must_end(must_spawn_shell((struct proc_options){.out = PROC_APPEND("/dev/stdout")}, "echo there"));
    ck_assert_int_eq(dup2(saved, 1), 1);
    close(saved), close(fd);
    ck_assert_str_eq(contents_of(file), "there\n");
}
END_TEST

START_TEST(null_is_empty_and_swallows)
{
    struct proc_options options = {.in = PROC_NULL, .out = PROC_PIPE, .err = PROC_NULL};

    ck_assert_str_eq(output_of_shell(options, "cat; echo lost >&2; readlink /proc/self/fd/2"), "/dev/null\n");
}
END_TEST

START_TEST(err_goes_wherever_out_goes)
{
    const char *file = temporary("both");

    ck_assert_str_eq(output_of_shell((struct proc_options){.err = PROC_TO_STDOUT}, "echo a; echo b >&2; echo c"), "a\nb\nc\n");
    must_end(must_spawn_shell((struct proc_options){.out = PROC_WRITE(file), .err = PROC_TO_STDOUT}, "echo a; echo b >&2"));
    ck_assert_str_eq(contents_of(file), "a\nb\n");
    struct proc *proc =
        must_spawn_shell((struct proc_options){.out = PROC_CHANNEL, .err = PROC_TO_STDOUT}, "echo a; echo b >&2");
    ck_assert_str_eq(read_all(proc), "a\nb\n");
    must_end(proc);
}
END_TEST

START_TEST(a_descriptor_of_the_callers_is_lent)
{
    int fds[2];
    char text[8] = "";

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    must_end(must_spawn_shell((struct proc_options){.out = PROC_FD(fds[1]), .err = PROC_FD(fds[1])}, "echo a; echo b >&2"));
    ck_assert_int_eq(read(fds[0], text, sizeof text), 4);
    ck_assert_str_eq(text, "a\nb\n");
    ck_assert_int_eq(close(fds[0]) | close(fds[1]), 0);
}
END_TEST

START_TEST(a_program_can_reopen_its_pipe)
{
    ck_assert_str_eq(output_of_shell((struct proc_options){0}, "echo reopened > /dev/stdout"), "reopened\n");
}
END_TEST

START_TEST(the_childs_ends_block)
{
    struct proc_options options = {.in = PROC_PIPE, .out = PROC_PIPE};

    struct proc *proc = must_spawn_shell(options, "grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1");
    proc_set_timeout(proc, 20000);
    const char *text = read_all(proc);
    ck_assert_ptr_null(strstr(text, "4000")); /* O_NONBLOCK, in octal */
    ck_assert_ptr_nonnull(strstr(text, "flags"));
    must_end(proc);
}
END_TEST

/* ---- ends ---- */

START_TEST(an_end_that_is_not_there_is_ebadf)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_NULL}, ":");
    char byte = 0;

    ck_assert_int_eq(proc_in(proc), -1);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(proc_out(proc), -1);
    ck_assert_int_eq(proc_err(proc), -1);
    ck_assert_int_eq(proc_fd(proc), -1);
    errno = 0;
    ck_assert_int_eq(proc_read(proc, &byte, 1), -1);
    ck_assert_int_eq(errno, EBADF);
    errno = 0;
    ck_assert_int_eq(proc_write(proc, &byte, 1), -1);
    ck_assert_int_eq(errno, EBADF);
    errno = 0;
    ck_assert_int_eq(proc_send_fd(proc, 1), -1);
    ck_assert_int_eq(errno, EBADF);
    errno = 0;
    ck_assert_int_eq(proc_recv_fd(proc), -1);
    ck_assert_int_eq(errno, EBADF);
    must_end(proc);
}
END_TEST

START_TEST(closing_twice_is_ebadf_and_closing_nothing_einval)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_PIPE}, "cat");
    const int each[] = {PROC_CLOSE_IN, PROC_CLOSE_OUT, PROC_CLOSE_ERR};

    ck_assert_int_eq(proc_close(proc, 0), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_close(proc, 0x20), -1);
    ck_assert_int_eq(errno, EINVAL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(proc_close(proc, each[i]), 0);
        ck_assert_int_eq(proc_close(proc, each[i]), -1);
        ck_assert_int_eq(errno, EBADF);
    }
    must_end(proc);
    for (int i = 0; i < 3; i++) {
        proc = must_spawn_shell((struct proc_options){.channel = every_kind[i]}, "exec cat <&3");
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_READ), 0);
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_READ), -1);
        ck_assert_int_eq(errno, EBADF);
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_READ | PROC_CLOSE_WRITE), -1); /* all or nothing */
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_WRITE), 0);
        ck_assert_int_eq(proc_fd(proc), -1);
        proc_free(proc);
    }
}
END_TEST

START_TEST(without_a_channel_the_halves_are_the_pipes)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE}, "cat");

    ck_assert_int_eq(proc_write(proc, "abc", 3), 3);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_WRITE), 0);
    ck_assert_str_eq(read_all(proc), "abc");
    ck_assert_int_eq(proc_in(proc), -1);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_READ), 0);
    must_end(proc);
}
END_TEST

/* ---- channels ---- */

static int echo_messages(struct proc *self, void *unused)
{
    char text[4096];
    ssize_t size;

    (void)unused;
    while ((size = proc_read(self, text, sizeof text)) > 0)
        if (proc_write(self, text, (size_t)size) != size)
            return 1;
    return size == 0 ? 0 : 2;
}

START_TEST(each_kind_of_channel_carries_both_ways)
{
    char text[32] = "";

    for (int i = 0; i < 3; i++) {
        struct proc *proc = must_spawn((struct proc_options){.main = echo_messages, .channel = every_kind[i]});

        ck_assert_int_eq(proc_write(proc, "one", 3), 3);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), 3);
        ck_assert_int_eq(memcmp(text, "one", 3), 0);
        if (every_kind[i] != PROC_DGRAM) {
            ck_assert_int_eq(proc_close(proc, PROC_CLOSE_WRITE), 0);
            ck_assert_int_eq(must_end(proc).code, 0);
        } else {
            proc_free(proc); /* a datagram reader hears of no end */
        }
    }
}
END_TEST

START_TEST(messages_keep_their_boundaries_and_streams_do_not)
{
    char text[32];

    for (int i = 0; i < 3; i++) {
        struct proc *proc = must_spawn_shell((struct proc_options){.channel = every_kind[i]}, "echo a >&3; echo b >&3");
        proc_wait(proc, NULL, -1);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), every_kind[i] == PROC_STREAM ? 4 : 2);
        proc_free(proc);
    }
}
END_TEST

START_TEST(a_program_finds_the_channel_at_3_or_on_its_streams)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.channel = PROC_STREAM}, "exec cat <&3 >&3");
    ck_assert_int_eq(proc_write(proc, "three", 5), 5);
    proc_close(proc, PROC_CLOSE_WRITE);
    ck_assert_str_eq(read_all(proc), "three");
    must_end(proc);
    proc = must_spawn_shell((struct proc_options){.in = PROC_CHANNEL, .out = PROC_CHANNEL}, "cat; test ! -e /proc/self/fd/3");
    ck_assert_int_eq(proc_write(proc, "streams", 7), 7);
    proc_close(proc, PROC_CLOSE_WRITE);
    ck_assert_str_eq(read_all(proc), "streams");
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

START_TEST(the_channel_goes_before_the_pipes)
{
    struct proc *proc = must_spawn_shell(
        (struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE, .channel = PROC_STREAM}, "echo pipe; echo channel >&3");

    ck_assert_str_eq(read_all(proc), "channel\n");
    must_end(proc);
}
END_TEST

START_TEST(a_message_that_does_not_fit_is_emsgsize_and_the_next_is_whole)
{
    for (int i = 1; i < 3; i++) {
        char text[8];
        struct proc *proc = must_spawn_shell((struct proc_options){.channel = every_kind[i]}, "echo 123456789 >&3; echo b >&3");

        ck_assert_int_eq(proc_read(proc, text, sizeof text), -1);
        ck_assert_int_eq(errno, EMSGSIZE);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), 2);
        ck_assert_int_eq(memcmp(text, "b\n", 2), 0);
        size_t huge = 16 << 20;
        char *data = calloc(1, huge);
        ck_assert_int_eq(proc_write(proc, data, huge), -1);
        ck_assert_msg(errno == EMSGSIZE || errno == EPIPE, "%s", strerror(errno));
        free(data);
        proc_free(proc);
    }
}
END_TEST

START_TEST(a_child_that_ends_is_end_of_file_even_with_data_unread)
{
    const enum proc_channel kinds[] = {PROC_STREAM, PROC_SEQPACKET};

    for (int i = 0; i < 2; i++) {
        char text[32];
        struct proc *proc = must_spawn_shell((struct proc_options){.channel = kinds[i]}, "echo last >&3; read x <&3");

        proc_set_timeout(proc, 20000);
        ck_assert_int_eq(proc_write(proc, "\n", 1), 1);
        ck_assert_int_ge(proc_write(proc, "never read", 10), -1); /* the child may have gone by now */
        ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), 5);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), 0);
        ck_assert_int_eq(proc_read(proc, text, sizeof text), 0);
        proc_free(proc);
    }
}
END_TEST

/* ---- dead peers and SIGPIPE ---- */

static bool sigpipe_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

static void write_to_the_dead(struct proc_options options)
{
    struct proc *proc = must_spawn_shell(options, ":");

    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    for (int timeout = -1; timeout < 1; timeout++) {
        proc_set_timeout(proc, timeout);
        errno = 0;
        ck_assert_int_eq(proc_write(proc, "x", 1), -1);
        ck_assert_msg(errno == EPIPE, "%s", strerror(errno));
    }
    proc_free(proc);
}

static void write_to_all_kinds_of_dead(void)
{
    write_to_the_dead((struct proc_options){.in = PROC_PIPE});
    for (int i = 0; i < 3; i++)
        write_to_the_dead((struct proc_options){.channel = every_kind[i]});
}

START_TEST(a_dead_reader_is_epipe_and_never_sigpipe)
{
    sigset_t sigpipe, old;

    write_to_all_kinds_of_dead(); /* with the default action, which would have killed us */
    signal(SIGPIPE, SIG_IGN);
    write_to_all_kinds_of_dead();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &sigpipe, &old);
    write_to_all_kinds_of_dead();
    ck_assert(!sigpipe_pending());
    raise(SIGPIPE); /* the caller's own */
    write_to_all_kinds_of_dead();
    ck_assert(sigpipe_pending());
    ck_assert_int_eq(sigtimedwait(&sigpipe, NULL, &(struct timespec){0}), SIGPIPE);
    sigprocmask(SIG_SETMASK, &old, NULL);
}
END_TEST

/* ---- timeouts ---- */

START_TEST(reading_gives_up_in_time)
{
    struct proc_options each[] = {{.out = PROC_PIPE},        {.in = PROC_PTY, .out = PROC_PTY},
                                  {.channel = PROC_STREAM},  {.channel = PROC_DGRAM},
                                  {.channel = PROC_SEQPACKET}};

    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        char byte;
        struct proc *proc = must_spawn_shell(each[i], "kill -STOP $$");

        for (int timeout = 0; timeout < 40; timeout += 20) {
            ck_assert_int_eq(proc_set_timeout(proc, timeout), 0);
            errno = 0;
            ck_assert_int_eq(proc_read(proc, &byte, 1), -1);
            ck_assert_msg(errno == ETIMEDOUT, "%zu: %s", i, strerror(errno));
        }
        ck_assert_int_eq(proc_set_timeout(proc, -2), -1);
        ck_assert_int_eq(errno, EINVAL);
        proc_free(proc);
    }
}
END_TEST

START_TEST(a_write_that_runs_out_of_time_says_how_much_it_wrote)
{
    size_t size = 8 << 20;
    char *data = calloc(1, size);

    for (int i = 0; i < 2; i++) {
        struct proc_options pipe_in = {.in = PROC_PIPE}, channel = {.channel = PROC_STREAM};
        struct proc *proc = must_spawn_shell(i ? channel : pipe_in, "kill -STOP $$");

        proc_set_timeout(proc, 20);
        ssize_t written = proc_write(proc, data, size);
        ck_assert_int_gt(written, 0);
        ck_assert_int_lt(written, (ssize_t)size);
        errno = 0;
        ck_assert_int_eq(proc_write(proc, data, size), -1);
        ck_assert_int_eq(errno, ETIMEDOUT);
        proc_set_timeout(proc, 0);
        ck_assert_int_eq(proc_write(proc, data, 1), -1);
        ck_assert_int_eq(errno, ETIMEDOUT);
        ck_assert_int_eq(proc_write(proc, data, 0), 0);
        proc_free(proc);
    }
    free(data);
}
END_TEST

START_TEST(the_timeout_covers_descriptor_passing)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.channel = PROC_SEQPACKET}, "kill -STOP $$");

    proc_set_timeout(proc, 10);
    ck_assert_int_eq(proc_recv_fd(proc), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    int sent = 0;
    while (sent < 100000 && proc_send_fd(proc, 2) == 0)
        sent++;
    ck_assert_msg(errno == ETIMEDOUT || errno == ETOOMANYREFS, "%s after %d", strerror(errno), sent);
    ck_assert_int_gt(sent, 0);
    proc_free(proc);
}
END_TEST

START_TEST(large_data_gets_across_whole_with_and_without_a_timeout)
{
    size_t size = 3 << 20;
    char *data = malloc(size), *back = malloc(size);

    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    for (int timeout = -1; timeout < 30000; timeout += 30000) {
        const char *file = temporary("large");
        struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_WRITE(file)}, "cat");

        proc_set_timeout(proc, timeout);
        ck_assert_int_eq(proc_write(proc, data, size), (ssize_t)size);
        proc_close(proc, PROC_CLOSE_IN);
        ck_assert_int_eq(must_end(proc).code, 0);
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        size_t got = 0;
        for (ssize_t n; (n = read(fd, back + got, size - got)) > 0;)
            got += (size_t)n;
        close(fd);
        ck_assert_uint_eq(got, size);
        ck_assert_int_eq(memcmp(data, back, size), 0);
    }
    free(data), free(back);
}
END_TEST

/* ---- half-close ---- */

START_TEST(a_peer_that_shuts_its_reading_wakes_a_blocked_writer)
{
    size_t size = 8 << 20;
    char *data = calloc(1, size);
    struct proc *proc = must_spawn_shell((struct proc_options){.channel = PROC_STREAM, .in = PROC_CHANNEL}, "head -c 10; :");

    ck_assert_int_eq(proc_write(proc, data, size), -1); /* blocks until the child ends */
    ck_assert_int_eq(errno, EPIPE);
    free(data);
    must_end(proc);
}
END_TEST

static int shut_reading(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    if (proc_read(self, &byte, 1) != 1 || proc_close(self, PROC_CLOSE_READ) != 0)
        return 1;
    if (proc_read(self, &byte, 1) != -1 || errno != EBADF)
        return 2;
    return proc_write(self, "still", 5) == 5 ? 0 : 3;
}

START_TEST(half_closing_leaves_the_other_half)
{
    char text[8] = "";
    struct proc *proc = must_spawn((struct proc_options){.main = shut_reading, .channel = PROC_SEQPACKET});

    ck_assert_int_eq(proc_write(proc, "x", 1), 1);
    ck_assert_int_eq(proc_read(proc, text, sizeof text), 5);
    ck_assert_str_eq(text, "still");
    ck_assert_int_eq(proc_write(proc, "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

/* ---- descriptors ---- */

static int send_descriptor(struct proc *self, void *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, "from the child", 14) != 14 || proc_send_fd(self, fd) != 0)
        return 1;
    close(fd);
    fd = proc_recv_fd(self);
    if (fd < 3 || fcntl(fd, F_GETFD) != FD_CLOEXEC)
        return 2;
    return write(fd, "y", 1) == 1 && close(fd) == 0 ? 0 : 3;
}

START_TEST(descriptors_go_over_every_kind_of_channel_both_ways)
{
    for (int i = 0; i < 3; i++) {
        const char *path = temporary("passed");
        char text[32] = "";
        int fds[2];
        struct proc *proc =
            must_spawn((struct proc_options){.main = send_descriptor, .arg = (char *)path, .channel = every_kind[i]});

        int fd = proc_recv_fd(proc);
        ck_assert_int_gt(fd, 2);
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(pread(fd, text, sizeof text, 0), 14);
        ck_assert_str_eq(text, "from the child");
        close(fd);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(proc_send_fd(proc, fds[1]), 0);
        close(fds[1]);
        ck_assert_int_eq(read(fds[0], text, 1), 1);
        ck_assert_int_eq(read(fds[0], text, 1), 0);
        close(fds[0]);
        ck_assert_int_eq(proc_send_fd(proc, -1), -1);
        ck_assert_int_eq(errno, EBADF);
        ck_assert_int_eq(proc_send_fd(proc, 29999), -1);
        ck_assert_int_eq(errno, EBADF);
        ck_assert_int_eq(must_end(proc).code, 0);
    }
}
END_TEST

START_TEST(a_message_without_a_descriptor_is_enomsg_and_the_end_epipe)
{
    const enum proc_channel kinds[] = {PROC_STREAM, PROC_SEQPACKET};

    for (int i = 0; i < 2; i++) {
        struct proc *proc = must_spawn_shell((struct proc_options){.channel = kinds[i]}, "printf x >&3");

        ck_assert_int_eq(proc_recv_fd(proc), -1);
        ck_assert_int_eq(errno, ENOMSG);
        ck_assert_int_eq(proc_recv_fd(proc), -1);
        ck_assert_int_eq(errno, EPIPE);
        must_end(proc);
    }
}
END_TEST

static int send_one(struct proc *self, void *unused)
{
    (void)unused;
    return proc_send_fd(self, 2) == 0 ? 0 : 1;
}

START_TEST(a_full_table_is_emfile_when_a_descriptor_comes)
{
    struct rlimit old, low;

    if (runs_in_valgrind()) {
        skip("valgrind keeps the limit on descriptors to itself");
        return;
    }
    struct proc *proc = must_spawn((struct proc_options){.main = send_one, .channel = PROC_SEQPACKET});
    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){3, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int fd = proc_recv_fd(proc), failure = errno;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(failure, EMFILE);
    proc_free(proc);
}
END_TEST

static int close_channel(struct proc *self, void *unused)
{
    char byte;

    (void)unused;
    if (proc_close(self, PROC_CLOSE_READ | PROC_CLOSE_WRITE) != 0)
        return 1;
    return read(0, &byte, 1) == 0 ? 0 : 2; /* shut down, although it is still open as a standard stream */
}

START_TEST(closing_both_halves_is_end_of_file_for_the_peer)
{
    char byte;
    struct proc *proc = must_spawn((struct proc_options){.main = close_channel, .in = PROC_CHANNEL, .out = PROC_CHANNEL});

    proc_set_timeout(proc, 20000);
    ck_assert_int_eq(proc_read(proc, &byte, 1), 0);
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

/* More than was asked for, with a message that is read as bytes, and with one that is received as a descriptor. */
static int send_three(struct proc *self, void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(3 * sizeof(int))];
        } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(3 * sizeof(int))}};
        struct iovec piece = {.iov_base = (char[]){"x"}, .iov_len = 1};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

        memcpy(CMSG_DATA(&control.header), (int[]){0, 1, 2}, 3 * sizeof(int));
        if (sendmsg(proc_fd(self), &message, 0) != 1)
            return 1;
    }
    return 0;
}

START_TEST(descriptors_that_nobody_asked_for_leak_none)
{
    for (int i = 0; i < 3; i++) {
        char byte;
        struct proc *proc = must_spawn((struct proc_options){.main = send_three, .channel = every_kind[i]});
        int before = fds_count();

        ck_assert_int_eq(proc_read(proc, &byte, 1), 1);
        ck_assert_int_eq(fds_count(), before);
        int fd = proc_recv_fd(proc);
        ck_assert_int_gt(fd, 2);
        ck_assert_int_eq(fds_count(), before + 1);
        close(fd);
        ck_assert_int_eq(must_end(proc).code, 0);
    }
}
END_TEST

/* ---- terminals ---- */

START_TEST(a_pty_is_the_childs_controlling_terminal)
{
    struct proc_options options = {.in = PROC_PTY, .out = PROC_PTY, .err = PROC_PTY};
    struct proc *proc = must_spawn_shell(options, "test -t 0 && test -t 1 && test -t 2 && echo all; echo tty > /dev/tty");
    const char *text = read_all(proc);

    ck_assert_msg(strncmp(text, "all\r\ntty\r\n", 10) == 0, "%s", text);
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

START_TEST(in_and_out_are_separate_descriptors_of_the_master)
{
    struct winsize size = {.ws_row = 33, .ws_col = 99};
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, "read x; stty size");

    ck_assert_int_ne(proc_in(proc), proc_out(proc));
    ck_assert_int_eq(proc_err(proc), -1);
    ck_assert_int_eq(ioctl(proc_out(proc), TIOCSWINSZ, &size), 0);
    ck_assert_int_eq(proc_write(proc, "\n", 1), 1);
    const char *text = read_all(proc);
    ck_assert_msg(strstr(text, "33 99\r\n") != NULL, "%s", text);
    must_end(proc);
}
END_TEST

START_TEST(closing_the_in_of_a_pty_sends_end_of_file)
{
    for (int open_line = 0; open_line < 2; open_line++) {
        struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, "stty -echo; echo; cat");
        char byte[2];

        ck_assert_int_eq(proc_read(proc, byte, 2), 2);
        ck_assert_int_eq(proc_write(proc, open_line ? "ab\ncd" : "ab\n", open_line ? 5 : 3), open_line ? 5 : 3);
        ck_assert_int_eq(proc_close(proc, PROC_CLOSE_IN), 0);
        ck_assert_str_eq(read_all(proc), open_line ? "ab\r\ncd" : "ab\r\n");
        ck_assert_int_eq(must_end(proc).code, 0);
    }
}
END_TEST

/* A terminal whose other side nobody has open any more takes no time at all, let alone for ever. */
START_TEST(a_hung_up_terminal_holds_no_writer)
{
    size_t size = 300000;
    char *data = calloc(1, size);

    for (int timeout = -1; timeout < 30000; timeout += 30000) {
        struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, ":");

        ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
        proc_set_timeout(proc, timeout);
        errno = 0;
        ck_assert_int_eq(proc_write(proc, data, size), -1);
        ck_assert_msg(errno == EPIPE, "%s", strerror(errno));
        proc_free(proc);
    }
    struct proc_output output = {0};
    struct proc_options options = {
        .argv = SHELL("exec <&- >&- 2>&-; kill -STOP $$"), .in = PROC_PTY, .out = PROC_PTY, .err = PROC_PTY};
    ck_assert_int_ge(proc_run(&options, data, size, &output, 200), 0); /* out of time, or hung up: but not for ever */
    proc_output_free(&output);
    free(data);
}
END_TEST

static int write_much(struct proc *self, void *unused)
{
    static char data[100000];

    (void)unused;
    proc_set_timeout(self, 50);
    ssize_t written = proc_write(self, data, sizeof data);
    return written < (ssize_t)sizeof data ? 0 : 1;
}

START_TEST(a_childs_write_to_its_terminal_gives_up_in_time)
{
    for (int i = 0; i < 5; i++) {
        struct proc *proc = must_spawn((struct proc_options){.main = write_much, .in = PROC_PTY, .out = PROC_PTY});
        struct proc_exit exit;

        ck_assert_int_eq(proc_wait(proc, &exit, 20000), 1);
        ck_assert_int_eq(exit.code, 0);
        proc_free(proc);
    }
}
END_TEST

START_TEST(a_pty_for_in_alone_ends_without_a_hang_up)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("cat"), .in = PROC_PTY};

    ck_assert_int_eq(proc_run(&options, "hello\n", 6, &output, 20000), 1);
    ck_assert_str_eq(output.out, "hello\n");
    ck_assert(proc_exit_ok(&output.exit));
    proc_output_free(&output);
}
END_TEST

START_TEST(a_pty_on_one_stream_leaves_the_others)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_PTY, .err = PROC_PIPE},
                                         "test -t 1 && ! test -t 0 && ! test -t 2 && cat");

    ck_assert_int_eq(proc_write(proc, "through", 7), 7);
    ck_assert_int_eq(proc_close(proc, PROC_CLOSE_IN), 0);
    ck_assert_str_eq(read_all(proc), "through");
    ck_assert_int_eq(must_end(proc).code, 0);
}
END_TEST

START_TEST(a_group_on_a_terminal_can_be_signalled)
{
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, "read x");

    ck_assert_int_eq(proc_kill_group(proc, SIGTERM), 0);
    ck_assert_int_eq(must_end(proc).signal, SIGTERM);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("talk");
    TCase *tcase = tcase_checked(suite, "streams");

    tcase_add_test(tcase, pipes_connect_all_three_streams);
    tcase_add_test(tcase, files_are_read_truncated_and_appended_to);
    tcase_add_test(tcase, redirect_files_are_made_with_the_callers_umask);
    tcase_add_test(tcase, a_redirect_may_name_the_stream_that_it_replaces);
    tcase_add_test(tcase, null_is_empty_and_swallows);
    tcase_add_test(tcase, err_goes_wherever_out_goes);
    tcase_add_test(tcase, a_descriptor_of_the_callers_is_lent);
    tcase_add_test(tcase, a_program_can_reopen_its_pipe);
    tcase_add_test(tcase, the_childs_ends_block);
    tcase = tcase_checked(suite, "ends");
    tcase_add_test(tcase, an_end_that_is_not_there_is_ebadf);
    tcase_add_test(tcase, closing_twice_is_ebadf_and_closing_nothing_einval);
    tcase_add_test(tcase, without_a_channel_the_halves_are_the_pipes);
    tcase = tcase_checked(suite, "channels");
    tcase_add_test(tcase, each_kind_of_channel_carries_both_ways);
    tcase_add_test(tcase, messages_keep_their_boundaries_and_streams_do_not);
    tcase_add_test(tcase, a_program_finds_the_channel_at_3_or_on_its_streams);
    tcase_add_test(tcase, the_channel_goes_before_the_pipes);
    tcase_add_test(tcase, a_message_that_does_not_fit_is_emsgsize_and_the_next_is_whole);
    tcase_add_test(tcase, a_child_that_ends_is_end_of_file_even_with_data_unread);
    tcase_add_test(tcase, a_dead_reader_is_epipe_and_never_sigpipe);
    tcase = tcase_checked(suite, "timeouts");
    tcase_add_test(tcase, reading_gives_up_in_time);
    tcase_add_test(tcase, a_write_that_runs_out_of_time_says_how_much_it_wrote);
    tcase_add_test(tcase, the_timeout_covers_descriptor_passing);
    tcase_add_test(tcase, large_data_gets_across_whole_with_and_without_a_timeout);
    tcase = tcase_checked(suite, "half-close");
    tcase_add_test(tcase, a_peer_that_shuts_its_reading_wakes_a_blocked_writer);
    tcase_add_test(tcase, half_closing_leaves_the_other_half);
    tcase = tcase_checked(suite, "descriptors");
    tcase_add_test(tcase, descriptors_go_over_every_kind_of_channel_both_ways);
    tcase_add_test(tcase, a_message_without_a_descriptor_is_enomsg_and_the_end_epipe);
    tcase_add_test(tcase, a_full_table_is_emfile_when_a_descriptor_comes);
    tcase_add_test(tcase, closing_both_halves_is_end_of_file_for_the_peer);
    tcase_add_test(tcase, descriptors_that_nobody_asked_for_leak_none);
    tcase = tcase_checked(suite, "terminals");
    tcase_add_test(tcase, a_pty_is_the_childs_controlling_terminal);
    tcase_add_test(tcase, in_and_out_are_separate_descriptors_of_the_master);
    tcase_add_test(tcase, closing_the_in_of_a_pty_sends_end_of_file);
    tcase_add_test(tcase, a_hung_up_terminal_holds_no_writer);
    tcase_add_test(tcase, a_childs_write_to_its_terminal_gives_up_in_time);
    tcase_add_test(tcase, a_pty_for_in_alone_ends_without_a_hang_up);
    tcase_add_test(tcase, a_pty_on_one_stream_leaves_the_others);
    tcase_add_test(tcase, a_group_on_a_terminal_can_be_signalled);
    return suite;
}
