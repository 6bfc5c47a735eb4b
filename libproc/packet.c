/* Packets over sockets that keep their boundaries. */
#include "packet.h"

#include "ends.h"
#include "kernel.h"

#include <string.h>
#include <sys/socket.h>

#define ROOM_FOR_FDS CMSG_SPACE(PACKET_FDS * sizeof(int))

static size_t count_fds(const struct packet *packet)
{
    size_t count = 0;

    while (count < PACKET_FDS && packet->fds[count] >= 0)
        count++;
    return count;
}

long packet_send(int socket, const struct packet *packet, bool wait)
{
    struct iovec pieces[] = {{packet->head, packet->head_size}, {packet->data, packet->size}};
    _Alignas(struct cmsghdr) char control[ROOM_FOR_FDS] = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    size_t fds_size = count_fds(packet) * sizeof(int);

    if (fds_size > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fds_size);
        struct cmsghdr *passed = CMSG_FIRSTHDR(&message);
        passed->cmsg_level = SOL_SOCKET;
        passed->cmsg_type = SCM_RIGHTS;
        passed->cmsg_len = CMSG_LEN(fds_size);
        memcpy(CMSG_DATA(passed), packet->fds, fds_size);
    }
    long result = raw(SYS_sendmsg, socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    return result < 0 ? result == -ECONNRESET || result == -ENOTCONN ? -EPIPE : result : 0;
}

/* false: some could not be had. */
static bool take_fds(struct packet *packet, struct msghdr *message)
{
    bool has_all = !(message->msg_flags & MSG_CTRUNC);

    struct cmsghdr *passed = CMSG_FIRSTHDR(message);

    for (size_t i = 0; i < PACKET_FDS; i++)
        packet->fds[i] = -1;
    if (!passed || passed->cmsg_level != SOL_SOCKET || passed->cmsg_type != SCM_RIGHTS)
        return has_all;
    for (size_t i = 0; i < PACKET_FDS && CMSG_LEN((i + 1) * sizeof(int)) <= passed->cmsg_len; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(passed) + i * sizeof fd, sizeof fd);
        packet->fds[i] = fd_above_stdio(fd);
        has_all &= packet->fds[i] >= 0;
    }
    return has_all;
}

void packet_close_fds(struct packet *packet)
{
    for (size_t i = 0; i < PACKET_FDS; i++) {
        if (packet->fds[i] >= 0)
            raw(SYS_close, packet->fds[i]);
        packet->fds[i] = -1;
    }
}

long packet_look(int socket, struct packet *packet)
{
    struct iovec pieces[] = {{packet->head, packet->head_size}, {packet->data, packet->size}};
    _Alignas(struct cmsghdr) char control[ROOM_FOR_FDS] = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    long result = raw(SYS_recvmsg, socket, &message, MSG_PEEK | MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_DONTWAIT);

    if (result < 0)
        return result == -ECONNRESET ? -EPIPE : result;
    bool has_all = take_fds(packet, &message);
    if ((size_t)result < packet->head_size || !has_all) {
        packet_close_fds(packet);
        return has_all ? -EPIPE : -EMFILE;
    }
    packet->size = (size_t)result - packet->head_size;
    return 0;
}

/* Its descriptors are thrown away by the kernel, where there is no room for them. */
long packet_drop(int socket)
{
    long result = raw(SYS_recvfrom, socket, NULL, 0, MSG_DONTWAIT, NULL, NULL);

    return result < 0 ? result : 0;
}
