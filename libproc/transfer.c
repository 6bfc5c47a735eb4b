/* One attempt to read from, or write to, a pipe or a terminal.
 *
 * Pipes take RWF_NOWAIT since Linux 6.4 and RWF_NOSIGNAL since 6.18. Before, and on terminals: poll, and then no more than
 * what is sure to fit; SIGPIPE is held back in this thread meanwhile. */
#include "transfer.h"

#include "deadline.h"
#include "kernel.h"
#include "signals.h"

#include <limits.h>
#include <signal.h>
#include <sys/uio.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x08
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

static bool is_refusal(long result)
{
    return result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS || result == -ESPIPE;
}

/* 0: ready; -EAGAIN: not now; -EPIPE: nor ever, since nobody is at the other side; or why nobody can tell. */
static long look(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    int ready = deadline_poll(deadline_in(0), &pollfd, 1);

    if (ready <= 0)
        return ready < 0 ? -errno : -EAGAIN;
    bool gone = pollfd.revents & (POLLHUP | POLLERR);
    return gone && !(pollfd.revents & events & POLLIN) ? -EPIPE : 0;
}

long transfer_read(int fd, void *buf, size_t size, bool block)
{
    struct iovec piece = {.iov_base = buf, .iov_len = size};

    if (!block) {
        long result = raw(SYS_preadv2, fd, &piece, 1, -1, -1, RWF_NOWAIT);

        if (!is_refusal(result))
            return result;
        result = look(fd, POLLIN);
        if (result < 0)
            return result == -EPIPE ? 0 : result;
    }
    return raw(SYS_read, fd, buf, size);
}

static bool sigpipe_is_pending(void)
{
    kernel_sigset pending = 0;

    raw(SYS_rt_sigpending, &pending, sizeof pending);
    return pending & KERNEL_SIGNAL_BIT(SIGPIPE);
}

/* A SIGPIPE of our making is taken back. One that was pending before is the caller's and stays; it can only have been, if
 * he blocks the signal. */
static long write_without_sigpipe(int fd, const void *data, size_t size)
{
    kernel_sigset sigpipe = KERNEL_SIGNAL_BIT(SIGPIPE), old = 0;

    raw(SYS_rt_sigprocmask, SIG_BLOCK, &sigpipe, &old, sizeof old);
    bool callers = old & sigpipe && sigpipe_is_pending();
    long result = raw(SYS_write, fd, data, size);
    if (result == -EPIPE && !callers)
        raw(SYS_rt_sigtimedwait, &sigpipe, NULL, &(struct timespec){0}, sizeof sigpipe);
    signals_set_mask(old);
    return result;
}

/* A pipe that is ready for writing has room for a page; of a terminal we know no more than that it has some. */
static size_t sure_to_fit(const struct sink *sink, size_t size)
{
    size_t room = sink->is_terminal ? 1 : PIPE_BUF;

    return size < room ? size : room;
}

/* What a terminal says when the other side has closed it. */
static long as_broken_pipe(long result)
{
    return result == -EIO ? -EPIPE : result;
}

long transfer_write(struct sink *sink, const void *data, size_t size, bool block)
{
    struct iovec piece = {.iov_base = (void *)data, .iov_len = size};

    if (!sink->flags_refused && !sink->is_terminal) {
        long result = raw(SYS_pwritev2, sink->fd, &piece, 1, -1, -1, RWF_NOSIGNAL | (block ? 0 : RWF_NOWAIT));

        if (!is_refusal(result))
            return result;
        sink->flags_refused = true;
    }
    /* A terminal that nobody has open takes everything, and drops it: so it is asked first. */
    long result = block && !sink->is_terminal ? 0 : look(sink->fd, POLLOUT);
    if (result == -EPIPE || (result < 0 && !block))
        return result;
    if (block)
        return as_broken_pipe(write_without_sigpipe(sink->fd, data, size));
    return as_broken_pipe(write_without_sigpipe(sink->fd, data, sure_to_fit(sink, size)));
}
