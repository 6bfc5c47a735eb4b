/* The workers' way to their manager. */
#include "notice.h"

#include "kernel.h"
#include "leaving.h"
#include "packet.h"

#include <sys/socket.h>

int notices_open(struct notices *notices)
{
    ends_enlist(&notices->ends);
    ends_enlist(&notices->workers);
    int result = ends_create(ends_make_socketpair, SOCK_SEQPACKET, &notices->ends, END_CHANNEL, &notices->workers, END_CHANNEL);
    if (result < 0)
        notices_close(notices);
    return result;
}

void notices_close(struct notices *notices)
{
    int saved = errno;

    ends_delist(&notices->ends);
    ends_delist(&notices->workers);
    errno = saved;
}

/* The signal that asks a worker to leave interrupts it: then it goes on, unless nobody reads any more. */
long notice_send(int socket, const struct notice *notice, struct packet *packet)
{
    long result;

    packet->head = (void *)notice;
    packet->head_size = sizeof *notice;
    do
        result = packet_send(socket, packet, true);
    while (result == -EINTR && !leaving_manager_is_gone());
    return result == -EINTR ? -EPIPE : result;
}
