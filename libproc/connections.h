/* All connections of a worker, and the epoll that says which of them there is something to do with.
 *
 * Each is in one of four places. It is not put into the epoll before there is nothing else to do: most are over by then. Once
 * there it stays, and is not changed with each request: each arrival is reported once (EPOLLET). */
#ifndef LIBPROC_CONNECTIONS_H
#define LIBPROC_CONNECTIONS_H

#include "connection.h"

struct connections {
    struct ends ends;               /* END_EPOLL */
    struct connection_list ready;   /* a request is there: to be served, in turn */
    struct connection_list eager;   /* to be tried: there may be more to read, or room to send */
    struct connection_list quiet;   /* nothing now, and the epoll does not know it */
    struct connection_list waiting; /* … and the epoll does */
    size_t count;
    struct connection_at {
        struct connection *connection;
    } *by_fd;
    size_t room;
    uint32_t last_serial;
    struct connection *spare;       /* memory of some that were closed */
    unsigned spares;
};

/* -1 with errno, and is to be closed all the same. */
int connections_open(struct connections *connections);
void connections_close(struct connections *connections);

/* Lets the epoll look at another descriptor as well. -1 with errno. */
int connections_watch_other(struct connections *connections, int fd, uint32_t events);
void connections_forget_other(struct connections *connections, int fd);

/* The next of the listener's; it is in no place. NULL with errno. */
struct connection *connections_accept(struct connections *connections, int listener);
void connections_drop(struct connections *connections, struct connection *connection);

/* Makes it wait until there is something to read, or if it has an answer, until there is room to send. -1: it cannot. */
int connections_await(struct connections *connections, struct connection *connection);

/* Waits for events. Makes connections eager; calls `other` with each of the other descriptors that are ready. */
void connections_look(struct connections *connections, int timeout_ms, void (*other)(void *context, int fd), void *context);

#endif
