/* Packets between a pool's processes: a head of fixed size, data, and maybe descriptors, sent as one. */
#ifndef LIBPROC_PACKET_H
#define LIBPROC_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#define PACKET_FDS 2

struct packet {
    void *head;
    size_t head_size;
    void *data;  /* sent, or room for what comes */
    size_t size; /* of that; then of what came, even if the room was too small */
    int fds[PACKET_FDS]; /* passed along; -1: none. What comes is the receiver's, close-on-exec and above 2 */
};

#define PACKET_NO_FDS {-1, -1}

/* 0, or -errno. Neither raises SIGPIPE; with `wait` they wait, and -EINTR is passed on; else -EAGAIN. */
long packet_send(int socket, const struct packet *packet, bool wait);

/* The next one, with descriptors of the receiver's, which is still there afterwards: so nothing is lost that cannot be used now.
 * -EAGAIN: there is none; -EMFILE: no descriptor is free; -EPIPE: the other side is closed. */
long packet_look(int socket, struct packet *packet);

/* Now it is gone. -EAGAIN: somebody else was faster. */
long packet_drop(int socket);

void packet_close_fds(struct packet *packet);

#endif
