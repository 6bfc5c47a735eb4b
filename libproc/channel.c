/* The socket between parent and child: bytes, messages and descriptors. */
#include "channel.h"

#include "ends.h"
#include "kernel.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* What the kernel says once of a peer that died without reading everything, even before what that peer had sent: it is no
 * end of file yet. */
#define PEER_LEFT_DATA_UNREAD (-ECONNRESET)

static int flag_for(bool block)
{
    return block ? 0 : MSG_DONTWAIT;
}

static long as_broken_pipe(long result)
{
    return result == -ECONNREFUSED || result == -ECONNRESET || result == -ENOTCONN ? -EPIPE : result;
}

long channel_receive(int fd, enum proc_channel kind, void *buf, size_t size, bool block)
{
    bool messages = kind != PROC_STREAM;
    long result;

    do
        result = raw(SYS_recvfrom, fd, buf, size, flag_for(block) | (messages ? MSG_TRUNC : 0), NULL, NULL);
    while (result == PEER_LEFT_DATA_UNREAD);
    if (messages && result > (long)size)
        return -EMSGSIZE;
    return result;
}

long channel_send(int fd, const void *data, size_t size, bool block)
{
    return as_broken_pipe(raw(SYS_sendto, fd, data, size, MSG_NOSIGNAL | flag_for(block), NULL, 0));
}

/* One byte, since a descriptor does not travel alone on a stream. */
struct parcel {
    struct msghdr header;
    struct iovec piece;
    char byte;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
};

static void parcel_prepare(struct parcel *parcel)
{
    memset(parcel, 0, sizeof *parcel);
    parcel->piece = (struct iovec){.iov_base = &parcel->byte, .iov_len = 1};
    parcel->header.msg_iov = &parcel->piece;
    parcel->header.msg_iovlen = 1;
    parcel->header.msg_control = &parcel->control;
    parcel->header.msg_controllen = CMSG_LEN(sizeof(int)); /* not CMSG_SPACE: its padding would hold a second descriptor */
}

long channel_send_fd(int fd, int passed, bool block)
{
    struct parcel parcel;

    parcel_prepare(&parcel);
    parcel.control.header.cmsg_level = SOL_SOCKET;
    parcel.control.header.cmsg_type = SCM_RIGHTS;
    parcel.control.header.cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(&parcel.control.header), &passed, sizeof passed);
    return as_broken_pipe(raw(SYS_sendmsg, fd, &parcel.header, MSG_NOSIGNAL | flag_for(block)));
}

static bool holds_descriptor(const struct parcel *parcel)
{
    const struct cmsghdr *control = &parcel->control.header;

    return parcel->header.msg_controllen >= CMSG_LEN(sizeof(int)) && control->cmsg_level == SOL_SOCKET &&
           control->cmsg_type == SCM_RIGHTS && control->cmsg_len >= CMSG_LEN(sizeof(int));
}

long channel_receive_fd(int fd, bool block)
{
    struct parcel parcel;
    int passed;

    long result;

    do {
        parcel_prepare(&parcel);
        result = raw(SYS_recvmsg, fd, &parcel.header, MSG_CMSG_CLOEXEC | flag_for(block));
    } while (result == PEER_LEFT_DATA_UNREAD);
    if (result < 0)
        return result;
    if (!holds_descriptor(&parcel))
        return result == 0 ? -EPIPE : parcel.header.msg_flags & MSG_CTRUNC ? -EMFILE : -ENOMSG;
    memcpy(&passed, CMSG_DATA(&parcel.control.header), sizeof passed);
    passed = fd_above_stdio(passed);
    return passed < 0 ? -errno : passed;
}
