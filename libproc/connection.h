/* One client of a worker: its socket, what was read from it, and what is to be sent. */
#ifndef LIBPROC_CONNECTION_H
#define LIBPROC_CONNECTION_H

#include "ends.h"
#include "frames.h"

#include <stdint.h>

struct connection_list {
    struct connection *first, *last;
    size_t count;
};

struct connection {
    struct ends ends; /* END_IN is the socket: no child of the worker's shall keep a client waiting for end-of-file */
    struct connection *previous, *next;
    struct connection_list *list;
    uint32_t serial;         /* no other has had it */
    bool is_watched;         /* the epoll knows it … */
    bool is_watched_to_send; /* … and says when there is room to send, too */
    bool is_drained;         /* there was no more to read; the epoll will say when there is */
    bool has_hung_up;        /* the epoll has said that end-of-file follows what is still to be read */
    bool is_at_end;          /* end-of-file was read */
    bool is_idle;            /* no request has begun */
    bool has_answer;         /* one that is not sent whole */
    bool is_leaving;         /* our side is shut down: what still comes is thrown away, until the client closes */
    bool deserves_a_try;     /* before the epoll is to know it: see clients_wait.c */
    unsigned quiet_since;    /* the step at which it had nothing for us */
    unsigned served;         /* requests */
    int64_t deadline_ns;
    uint64_t id;             /* of the request in hand, … */
    unsigned attempt;
    const void *data;
    size_t size;
    struct frames requests, answer;
};

/* Takes it out of the list that it is in, to the end of another; NULL: into none. */
void connection_move(struct connection *connection, struct connection_list *list);

/* Makes one, in memory that may have been another's, of what `listener` has. -1 with errno. */
int connection_accept(struct connection *connection, int listener);

/* Closes it. The memory stays. */
void connection_close(struct connection *connection);

static inline int connection_fd(const struct connection *connection)
{
    return connection->ends.fd[END_IN];
}

/* One attempt, which does not block. OVER: end-of-file or an error. */
enum progress { PROGRESS_SOME, PROGRESS_NONE, PROGRESS_OVER };
enum progress connection_read(struct connection *connection);
enum progress connection_send(struct connection *connection); /* SOME: all of it */

/* Tells the client that we are done, without a reset: that is what closing would be, where something is unread. */
void connection_leave(struct connection *connection);
enum progress connection_discard(struct connection *connection);

#endif
