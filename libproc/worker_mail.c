/* A worker's messages. They come from its manager, one at a time: he keeps each until he hears that it has been read. */
#include "worker_state.h"

#include "deadline.h"
#include "kernel.h"
#include "leaving.h"
#include "packet.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define FROM_NOBODY (-2)

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool is_to_leave(struct proc_worker *worker)
{
    return !worker->is_detached && leaving.asked;
}

/* ---- opening ---- */

static int make_pair(int pair[2])
{
    if (ends_make_socketpair(pair, SOCK_SEQPACKET) < 0)
        return -1;
    pair[0] = fd_above_stdio(pair[0]);
    pair[1] = fd_above_stdio(pair[1]);
    if (pair[0] >= 0 && pair[1] >= 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            raw(SYS_close, pair[i]);
    return fail(EMFILE);
}

static int open_mailbox(struct proc_worker *worker)
{
    struct notice notice = worker_notice(worker, NOTICE_MAILBOX);
    struct packet packet = {.size = 0};
    int pair[2];

    if (worker->mailbox >= 0)
        return 0;
    if (make_pair(pair) < 0)
        return -1;
    packet.fds[0] = pair[1];
    packet.fds[1] = pair[0];
    long result = notice_send(notices_way_in(&worker->pool->notices), &notice, &packet);
    raw(SYS_close, pair[1]);
    if (result < 0) {
        raw(SYS_close, pair[0]);
        return fail((int)-result);
    }
    worker->mailbox = pair[0];
    return 0;
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return fd < 0 ? -1 : (int)sys(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event);
}

int proc_worker_fd(struct proc_worker *worker)
{
    if (worker->fd >= 0)
        return worker->fd;
    if (open_mailbox(worker) < 0)
        return -1;
    int epoll = fd_above_stdio((int)sys(SYS_epoll_create1, EPOLL_CLOEXEC));
    if (epoll < 0)
        return -1;
    if (watch(epoll, worker->mailbox) < 0 || watch(epoll, leaving_fd()) < 0) {
        int failure = errno;

        raw(SYS_close, epoll);
        return fail(failure);
    }
    worker->fd = epoll;
    return epoll;
}

/* ---- receiving ---- */

static void confirm(const struct proc_worker *worker)
{
    struct notice notice = worker_notice(worker, NOTICE_READ);

    worker_tell(worker, &notice);
}

/* Of one that lies in a file only the head is in the packet. */
static long take(struct proc_worker *worker, const struct letter_head *head, struct packet *packet)
{
    long result = 0;

    if (head->size > LETTER_IN_PACKET) {
        result = letter_read_file(packet->fds[0], packet->data, head->size);
        packet->fds[0] = -1;
    }
    if (result == 0)
        result = packet_drop(worker->mailbox);
    if (result < 0)
        return result;
    confirm(worker);
    return (long)head->size;
}

/* -EAGAIN: there is none yet. */
static long receive(struct proc_worker *worker, void *buf, size_t size, int *from)
{
    struct letter_head head;
    struct packet packet = {&head, sizeof head, buf, size, PACKET_NO_FDS};
    long result = packet_look(worker->mailbox, &packet);

    if (result < 0)
        return result;
    result = head.size > size ? -EMSGSIZE : take(worker, &head, &packet);
    packet_close_fds(&packet);
    if (result >= 0 && from)
        *from = head.from;
    return result;
}

static long wait_for_one(struct proc_worker *worker, void *buf, size_t size, int *from, struct deadline deadline)
{
    for (;;) {
        long result = receive(worker, buf, size, from);
        struct pollfd fds[] = {{.fd = worker->mailbox, .events = POLLIN}, {.fd = leaving_fd(), .events = POLLIN}};

        if (result != -EAGAIN || deadline_left_ns(deadline) == 0)
            return result == -EAGAIN ? -ETIMEDOUT : result;
        if (deadline_poll(deadline, fds, worker->is_detached ? 1 : 2) < 0)
            return -errno;
        if (is_to_leave(worker))
            return -EINTR;
    }
}

ssize_t proc_worker_recv(struct proc_worker *worker, void *buf, size_t size, int *from, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (open_mailbox(worker) < 0)
        return -1;
    long result = is_to_leave(worker) ? -EINTR : wait_for_one(worker, buf, size, from, deadline_in(timeout_ms));
    if (result != -EINTR)
        return kernel_result(result);
    if (from)
        *from = FROM_NOBODY;
    return 0;
}
