/* Talking to a child, and as a child to the parent: over the channel, or over the pipes where there is none. */
#include "process_state.h"

#include "channel.h"
#include "deadline.h"
#include "kernel.h"
#include "pty.h"
#include "transfer.h"

#include <sys/socket.h>

static int fail(int failure)
{
    errno = failure;
    return -1;
}

/* What an attempt works on: where it goes, what it moves. */
struct attempt {
    struct proc *proc;
    int fd;
    char *buf;
    size_t size;
    struct sink sink;
};

/* Repeats an attempt that would block until it does not, or until the proc's timeout. Returns its result or -errno. */
static long in_time(struct attempt *attempt, long (*try)(struct attempt *, bool block), short events,
                    struct deadline deadline)
{
    struct pollfd ready = {.fd = attempt->fd, .events = events};
    bool block = deadline.at_ns == INT64_MAX;

    for (;;) {
        long result = try(attempt, block);

        if (result == -EINTR)
            continue;
        if (result != -EAGAIN)
            return result;
        int answer = deadline_poll(deadline, &ready, 1); /* a caller's own O_NONBLOCK comes here too */
        if (answer <= 0)
            return answer < 0 ? -errno : -ETIMEDOUT;
    }
}

/* ---- which descriptor ---- */

static bool has_channel(const struct proc *proc)
{
    return proc->channel != PROC_NO_CHANNEL;
}

static int reading_fd(const struct proc *proc)
{
    if (!has_channel(proc))
        return proc->ends.fd[END_OUT];
    return proc->reading_closed ? -1 : proc->ends.fd[END_CHANNEL];
}

static int writing_fd(const struct proc *proc)
{
    if (!has_channel(proc))
        return proc->ends.fd[END_IN];
    return proc->writing_closed ? -1 : proc->ends.fd[END_CHANNEL];
}

/* ---- bytes and messages ---- */

static long try_read(struct attempt *attempt, bool block)
{
    if (has_channel(attempt->proc))
        return channel_receive(attempt->fd, attempt->proc->channel, attempt->buf, attempt->size, block);
    long result = transfer_read(attempt->fd, attempt->buf, attempt->size, block);
    return result == -EIO ? 0 : result; /* a terminal that nobody has open any more */
}

ssize_t proc_read(struct proc *proc, void *buf, size_t size)
{
    struct attempt attempt = {.proc = proc, .fd = reading_fd(proc), .buf = buf, .size = size};

    if (attempt.fd < 0)
        return fail(EBADF);
    return kernel_result(in_time(&attempt, try_read, POLLIN, deadline_in(proc->timeout_ms)));
}

static long try_write(struct attempt *attempt, bool block)
{
    if (has_channel(attempt->proc))
        return channel_send(attempt->fd, attempt->buf, attempt->size, block);
    return transfer_write(&attempt->sink, attempt->buf, attempt->size, block);
}

/* A stream takes the data in pieces; what went before the time ran out is what counts. */
static long write_pieces(struct attempt *attempt, struct deadline deadline)
{
    size_t whole = attempt->size;

    while (attempt->size > 0) {
        long result = in_time(attempt, try_write, POLLOUT, deadline);

        if (result < 0)
            return result == -ETIMEDOUT && attempt->size < whole ? (long)(whole - attempt->size) : result;
        attempt->buf += result;
        attempt->size -= (size_t)result;
    }
    return (long)whole;
}

ssize_t proc_write(struct proc *proc, const void *data, size_t size)
{
    int fd = writing_fd(proc);
    bool terminal = proc->has_pty && !has_channel(proc);
    struct attempt attempt = {.proc = proc, .fd = fd, .buf = (char *)data, .size = size, .sink = {fd, terminal, false}};
    struct deadline deadline = deadline_in(proc->timeout_ms);

    if (fd < 0)
        return fail(EBADF);
    if (has_channel(proc) && proc->channel != PROC_STREAM)
        return kernel_result(in_time(&attempt, try_write, POLLOUT, deadline));
    long result = write_pieces(&attempt, deadline);
    if (terminal && result > 0)
        proc->line_open = ((const char *)data)[result - 1] != '\n';
    return kernel_result(result);
}

int proc_set_timeout(struct proc *proc, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    proc->timeout_ms = timeout_ms;
    return 0;
}

/* ---- descriptors ---- */

static long try_send_fd(struct attempt *attempt, bool block)
{
    return channel_send_fd(attempt->fd, (int)attempt->size, block);
}

static long try_receive_fd(struct attempt *attempt, bool block)
{
    return channel_receive_fd(attempt->fd, block);
}

int proc_send_fd(struct proc *proc, int fd)
{
    struct attempt attempt = {.proc = proc, .fd = has_channel(proc) ? writing_fd(proc) : -1, .size = (size_t)fd};

    if (attempt.fd < 0 || fd < 0)
        return fail(EBADF);
    long result = in_time(&attempt, try_send_fd, POLLOUT, deadline_in(proc->timeout_ms));
    return kernel_result(result) < 0 ? -1 : 0;
}

int proc_recv_fd(struct proc *proc)
{
    struct attempt attempt = {.proc = proc, .fd = has_channel(proc) ? reading_fd(proc) : -1};

    if (attempt.fd < 0)
        return fail(EBADF);
    return (int)kernel_result(in_time(&attempt, try_receive_fd, POLLIN, deadline_in(proc->timeout_ms)));
}

/* ---- closing ---- */

#define CLOSE_STREAMS (PROC_CLOSE_IN | PROC_CLOSE_OUT | PROC_CLOSE_ERR)
#define CLOSE_HALVES (PROC_CLOSE_READ | PROC_CLOSE_WRITE)

static bool all_open(const struct proc *proc, int ends)
{
    return !((ends & PROC_CLOSE_IN && proc->ends.fd[END_IN] < 0) || (ends & PROC_CLOSE_OUT && proc->ends.fd[END_OUT] < 0) ||
             (ends & PROC_CLOSE_ERR && proc->ends.fd[END_ERR] < 0) || (ends & PROC_CLOSE_READ && reading_fd(proc) < 0) ||
             (ends & PROC_CLOSE_WRITE && writing_fd(proc) < 0));
}

static void close_in(struct proc *proc)
{
    if (proc->has_pty && !proc->is_self)
        pty_send_eof(proc->ends.fd[END_IN], proc->line_open, deadline_in(proc->timeout_ms));
    ends_close(&proc->ends, END_IN);
}

static void close_halves(struct proc *proc, int ends)
{
    int fd = proc->ends.fd[END_CHANNEL];

    if (ends & PROC_CLOSE_READ)
        proc->reading_closed = true;
    if (ends & PROC_CLOSE_WRITE)
        proc->writing_closed = true;
    /* Shut down also before it is closed: a standard stream of the child's may be the same socket. */
    raw(SYS_shutdown, fd, !(ends & PROC_CLOSE_READ) ? SHUT_WR : !(ends & PROC_CLOSE_WRITE) ? SHUT_RD : SHUT_RDWR);
    if (proc->reading_closed && proc->writing_closed)
        ends_close(&proc->ends, END_CHANNEL);
}

int proc_close(struct proc *proc, int ends)
{
    if (ends == 0 || ends & ~(CLOSE_STREAMS | CLOSE_HALVES) || (proc->is_self && ends & CLOSE_STREAMS))
        return fail(EINVAL);
    if (!all_open(proc, ends))
        return fail(EBADF);
    if (has_channel(proc) && ends & CLOSE_HALVES)
        close_halves(proc, ends);
    if (ends & PROC_CLOSE_IN || (!has_channel(proc) && ends & PROC_CLOSE_WRITE))
        close_in(proc);
    if (ends & PROC_CLOSE_OUT || (!has_channel(proc) && ends & PROC_CLOSE_READ))
        ends_close(&proc->ends, END_OUT);
    if (ends & PROC_CLOSE_ERR)
        ends_close(&proc->ends, END_ERR);
    return 0;
}
