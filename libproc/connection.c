/* One connection: each function makes one attempt, and notes what it says about the next. */
#include "connection.h"

#include "kernel.h"

#include <string.h>
#include <sys/socket.h>

void connection_move(struct connection *connection, struct connection_list *list)
{
    struct connection_list *old = connection->list;

    if (old) {
        *(connection->previous ? &connection->previous->next : &old->first) = connection->next;
        *(connection->next ? &connection->next->previous : &old->last) = connection->previous;
        old->count--;
    }
    connection->list = list;
    connection->next = NULL;
    if (!list)
        return;
    connection->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = connection;
    list->last = connection;
    list->count++;
}

static long accept_from(const void *listener)
{
    return raw(SYS_accept4, *(const int *)listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int connection_accept(struct connection *connection, int listener)
{
    memset(connection, 0, offsetof(struct connection, requests)); /* the rest is large, and needs none of it */
    frames_init(&connection->requests);
    frames_init(&connection->answer);
    connection->is_idle = connection->deserves_a_try = true;
    ends_enlist(&connection->ends);
    int fd = ends_open(accept_from, &listener, &connection->ends, END_IN);
    if (fd < 0)
        ends_delist(&connection->ends);
    return fd < 0 ? -1 : 0;
}

void connection_close(struct connection *connection)
{
    connection_move(connection, NULL);
    ends_delist(&connection->ends);
    frames_clear(&connection->requests);
    frames_clear(&connection->answer);
}

static bool is_nothing_yet(long result)
{
    return result == -EAGAIN || result == -EINTR;
}

enum progress connection_read(struct connection *connection)
{
    bool took_all;
    long got = frames_read(&connection->requests, connection_fd(connection), &took_all);

    connection->is_drained = got == -EAGAIN || (took_all && got > 0 && !connection->has_hung_up);
    connection->is_at_end = got == 0;
    return got > 0 ? PROGRESS_SOME : is_nothing_yet(got) ? PROGRESS_NONE : PROGRESS_OVER;
}

enum progress connection_send(struct connection *connection)
{
    long left = frames_send(&connection->answer, connection_fd(connection));

    connection->has_answer = left > 0;
    return left == 0 ? PROGRESS_SOME : left > 0 ? PROGRESS_NONE : PROGRESS_OVER;
}

void connection_leave(struct connection *connection)
{
    raw(SYS_shutdown, connection_fd(connection), SHUT_WR);
    connection->is_leaving = true;
    connection->is_drained = connection->has_answer = false;
    frames_clear(&connection->requests);
    frames_clear(&connection->answer);
}

enum progress connection_discard(struct connection *connection)
{
    char unwanted[16384];
    long got = raw(SYS_recvfrom, connection_fd(connection), unwanted, sizeof unwanted, MSG_DONTWAIT, NULL, NULL);

    connection->is_drained = got == -EAGAIN;
    return got > 0 ? PROGRESS_SOME : is_nothing_yet(got) ? PROGRESS_NONE : PROGRESS_OVER;
}
