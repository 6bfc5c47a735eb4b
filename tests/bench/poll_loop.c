/* The yardstick: posix_spawn, nonblocking ends, poll, and a buffer that doubles. */
#include "poll_loop.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_ROOM ((size_t)64 << 10)

struct buffer {
    char *data;
    size_t size, room;
};

static void make_pipe(int pair[2], int size)
{
    if (pipe2(pair, O_CLOEXEC) < 0)
        err(1, "pipe2");
    fcntl(pair[0], F_SETPIPE_SZ, size); /* refused to those who have too many: then it stays as it is */
}

static void make_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        err(1, "fcntl");
}

static pid_t start_cat(int in, int out)
{
    posix_spawn_file_actions_t actions;
    char name[] = "cat", *argv[] = {name, NULL};
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    if ((errno = posix_spawnp(&pid, name, &actions, NULL, argv, environ)) != 0)
        err(1, "posix_spawnp");
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Returns how much was taken. */
static size_t feed(int fd, const char *input, size_t size)
{
    ssize_t wrote = write(fd, input, size);

    if (wrote < 0 && errno != EAGAIN && errno != EINTR)
        err(1, "write");
    return wrote > 0 ? (size_t)wrote : 0;
}

/* Returns false at the end. */
static bool drain(int fd, struct buffer *buffer)
{
    if (buffer->size == buffer->room) {
        buffer->room = buffer->room == 0 ? FIRST_ROOM : 2 * buffer->room;
        buffer->data = realloc(buffer->data, buffer->room);
        if (!buffer->data)
            err(1, "realloc");
    }
    ssize_t got = read(fd, buffer->data + buffer->size, buffer->room - buffer->size);
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        err(1, "read");
    if (got > 0)
        buffer->size += (size_t)got;
    return got != 0;
}

static void feed_and_drain(int in, int out, const char *input, size_t size, struct buffer *buffer)
{
    for (bool open = true; open;) {
        struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = in, .events = POLLOUT}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            err(1, "poll");
        if (fds[1].revents && size > 0) {
            size_t took = feed(in, input, size);

            input += took;
            size -= took;
        }
        if (size == 0 && in >= 0) {
            close(in);
            in = -1; /* which poll skips */
        }
        if (fds[0].revents)
            open = drain(out, buffer);
    }
}

void poll_loop(const char *input, size_t size, int pipe_size)
{
    struct buffer buffer = {0};
    int in[2], out[2], status;

    signal(SIGPIPE, SIG_IGN);
    make_pipe(in, pipe_size);
    make_pipe(out, pipe_size);
    pid_t cat = start_cat(in[0], out[1]);
    close(in[0]);
    close(out[1]);
    make_nonblocking(in[1]);
    make_nonblocking(out[0]);
    feed_and_drain(in[1], out[0], input, size, &buffer);
    close(out[0]);
    if (waitpid(cat, &status, 0) != cat || status != 0 || buffer.size != size)
        errx(1, "poll loop: unexpected end");
    free(buffer.data);
}
