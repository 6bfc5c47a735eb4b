/* open(2) of a fifo waits for somebody at its other end, without a timeout. For a writer O_NONBLOCK says whether there is a
 * reader; it does not wait for one. For a reader it says nothing.
 *
 * So the open that waits is made by a helper (beside.c), who has our descriptors and a timer: it is the kernel that waits, and
 * that brings two together who want each other. Where there can be no helper, it is tried again and again; whether there is a
 * writer who has not written yet is asked with tee(), which takes nothing out: it tells "nothing yet" from "nobody". */
#include <proc/fifo.h>

#include "beside.h"
#include "deadline.h"
#include "ends.h"
#include "kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#define SPLICE_AT_ONCE 2u /* SPLICE_F_NONBLOCK */
#define FIRST_PAUSE_MS 1
#define LONGEST_PAUSE_MS 10

#define MAKE_TRIES 100
#define LOOK_MS 1 /* a look of the kernel's, which lets no writer in whom the reader then leaves */

struct opening {
    const char *path;
    int access; /* O_RDONLY, O_WRONLY, O_RDWR */
};

static long open_it(const struct opening *opening, int flags)
{
    return raw(SYS_openat, AT_FDCWD, opening->path, opening->access | flags | O_CLOEXEC, 0);
}

static long close_and(long fd, long result)
{
    raw(SYS_close, fd);
    return result;
}

/* ---- that there is one ---- */

static long check_kind(long fd)
{
    struct stat status = {.st_mode = 0};
    long result = raw(SYS_fstat, fd, &status);

    return result < 0 ? result : S_ISFIFO(status.st_mode) ? 0 : -EEXIST;
}

/* Without opening it: if it is something else, that might be felt. */
static long find(const struct opening *opening)
{
    long fd = raw(SYS_openat, AT_FDCWD, opening->path, O_PATH | O_CLOEXEC, 0);

    return fd < 0 ? fd : close_and(fd, check_kind(fd));
}

/* Somebody else may make it, or remove it, in between; but a link that leads nowhere is there, and not to be found, for ever. */
static long find_or_make(const struct opening *opening, mode_t mode)
{
    long result = find(opening);

    for (int tries = 0; tries < MAKE_TRIES && result == -ENOENT; tries++) {
        long made = raw(SYS_mknodat, AT_FDCWD, opening->path, S_IFIFO | (mode & 07777), 0);

        if (made < 0 && made != -EEXIST)
            return made;
        result = find(opening);
    }
    return result;
}

/* ---- without waiting in the kernel ---- */

static long make_blocking(long fd)
{
    long flags = raw(SYS_fcntl, fd, F_GETFL);
    long result = flags < 0 ? flags : raw(SYS_fcntl, fd, F_SETFL, flags & ~(long)O_NONBLOCK);

    return result < 0 ? close_and(fd, result) : fd;
}

/* 1, 0, or -errno. One who has come and gone again counts. */
static long has_writer(long fd)
{
    struct pollfd data = {.fd = (int)fd, .events = POLLIN};
    int pair[2] = {-1, -1};

    if (deadline_poll(deadline_in(0), &data, 1) > 0)
        return 1;
    long result = raw(SYS_pipe2, pair, O_CLOEXEC);
    if (result < 0)
        return result;
    result = raw(SYS_tee, fd, pair[1], 1, SPLICE_AT_ONCE);
    raw(SYS_close, pair[0]);
    raw(SYS_close, pair[1]);
    return result == -EAGAIN || result > 0 ? 1 : result;
}

static void pause_for(struct deadline deadline, int *pause_ms, struct pollfd *fds, unsigned count)
{
    struct deadline pause = deadline_in(*pause_ms);

    deadline_poll(pause.at_ns < deadline.at_ns ? pause : deadline, fds, count);
    *pause_ms = *pause_ms < LONGEST_PAUSE_MS / 2 ? 2 * *pause_ms : LONGEST_PAUSE_MS;
}

static long try_to_read(const struct opening *opening, struct deadline deadline)
{
    int pause_ms = FIRST_PAUSE_MS;
    long fd = open_it(opening, O_NONBLOCK);

    if (fd < 0)
        return fd;
    for (;;) {
        long writer = has_writer(fd);

        if (writer == 1)
            return make_blocking(fd);
        if (writer < 0 || deadline_left_ns(deadline) == 0)
            return close_and(fd, writer < 0 ? writer : -ETIMEDOUT);
        pause_for(deadline, &pause_ms, &(struct pollfd){.fd = (int)fd, .events = POLLIN}, 1);
    }
}

static long try_to_write(const struct opening *opening, struct deadline deadline)
{
    int pause_ms = FIRST_PAUSE_MS;

    for (;;) {
        long fd = open_it(opening, O_NONBLOCK);

        if (fd >= 0)
            return make_blocking(fd);
        if (fd != -ENXIO || deadline_left_ns(deadline) == 0)
            return fd == -ENXIO ? -ETIMEDOUT : fd;
        pause_for(deadline, &pause_ms, NULL, 0);
    }
}

static long try_until(const struct opening *opening, struct deadline deadline)
{
    return opening->access == O_RDONLY ? try_to_read(opening, deadline) : try_to_write(opening, deadline);
}

/* ---- waiting ---- */

static long open_waiting(void *opening)
{
    return open_it(opening, 0);
}

static void give_back(void *opening, long fd)
{
    (void)opening;
    raw(SYS_close, fd);
}

static long open_for_ever(const struct opening *opening)
{
    long fd;

    do
        fd = open_it(opening, 0);
    while (fd == -EINTR);
    return fd;
}

static long open_until(struct opening *opening, struct deadline deadline)
{
    struct beside beside = {.work = open_waiting, .give_back = give_back, .argument = opening, .deadline = deadline};

    if (opening->access == O_RDWR || deadline.at_ns == INT64_MAX)
        return open_for_ever(opening);
    if (opening->access == O_WRONLY && deadline_left_ns(deadline) == 0)
        return try_until(opening, deadline);
    if (deadline_left_ns(deadline) == 0)
        beside.deadline = deadline_in(LOOK_MS);
    long fd = beside_do(&beside);
    return fd == -ENOSYS ? try_until(opening, deadline) : fd;
}

int proc_fifo(const char *path, mode_t mode, int flags, int timeout_ms)
{
    struct opening opening = {.path = path, .access = flags & O_ACCMODE};
    struct deadline deadline = deadline_in(timeout_ms);

    if (!path || timeout_ms < -1 || flags & ~(O_ACCMODE | O_CREAT) || opening.access == O_ACCMODE)
        return (int)kernel_result(-EINVAL);
    long result = flags & O_CREAT ? find_or_make(&opening, mode ? mode : 0600) : find(&opening);
    if (result == 0)
        result = open_until(&opening, deadline);
    if (result < 0)
        return (int)kernel_result(result);
    int fd = fd_above_stdio((int)result);
    long kind = fd < 0 ? 0 : check_kind(fd);
    return kind < 0 ? (int)kernel_result(close_and(fd, kind)) : fd;
}
