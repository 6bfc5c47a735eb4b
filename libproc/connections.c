/* The connections of a worker, by descriptor, and their epoll. */
#include "connections.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENTS_AT_ONCE 32
#define SPARES 16

static long open_epoll(const void *unused)
{
    (void)unused;
    return raw(SYS_epoll_create1, EPOLL_CLOEXEC);
}

int connections_open(struct connections *connections)
{
    *connections = (struct connections){.room = 0};
    ends_enlist(&connections->ends);
    return ends_open(open_epoll, NULL, &connections->ends, END_EPOLL);
}

void connections_close(struct connections *connections)
{
    for (size_t fd = 0; fd < connections->room; fd++)
        if (connections->by_fd[fd].connection)
            connections_drop(connections, connections->by_fd[fd].connection);
    while (connections->spare) {
        struct connection *spare = connections->spare;

        connections->spare = spare->next;
        free(spare);
    }
    free(connections->by_fd);
    ends_delist(&connections->ends);
}

/* An event tells a connection by its descriptor and a number of its own: where the worker has forked, the epoll may go on
 * reporting a connection that was closed here, and whose descriptor is another's by now. Other descriptors have number 0. */
static uint64_t name_of(int fd, uint32_t serial)
{
    return (uint64_t)serial << 32 | (uint32_t)fd;
}

static long control(struct connections *connections, int operation, int fd, uint32_t events, uint32_t serial)
{
    struct epoll_event event = {.events = events, .data.u64 = name_of(fd, serial)};

    return raw(SYS_epoll_ctl, connections->ends.fd[END_EPOLL], operation, fd, &event);
}

int connections_watch_other(struct connections *connections, int fd, uint32_t events)
{
    return (int)kernel_result(control(connections, EPOLL_CTL_ADD, fd, events, 0));
}

void connections_forget_other(struct connections *connections, int fd)
{
    control(connections, EPOLL_CTL_DEL, fd, 0, 0);
}

/* ---- coming and going ---- */

static int make_room_for(struct connections *connections, int fd)
{
    size_t room = connections->room;

    if ((size_t)fd < room)
        return 0;
    size_t more = (size_t)fd + 1 > 2 * room ? (size_t)fd + 64 : 2 * room;
    struct connection_at *by_fd = realloc(connections->by_fd, more * sizeof *by_fd);
    if (!by_fd)
        return -1;
    memset(by_fd + room, 0, (more - room) * sizeof *by_fd);
    connections->by_fd = by_fd;
    connections->room = more;
    return 0;
}

static struct connection *get_memory(struct connections *connections)
{
    struct connection *spare = connections->spare;

    if (!spare)
        return malloc(sizeof *spare);
    connections->spare = spare->next;
    connections->spares--;
    return spare;
}

static void give_memory_back(struct connections *connections, struct connection *connection)
{
    if (connections->spares == SPARES) {
        free(connection);
        return;
    }
    connection->next = connections->spare;
    connections->spare = connection;
    connections->spares++;
}

struct connection *connections_accept(struct connections *connections, int listener)
{
    struct connection *connection = get_memory(connections);

    if (!connection)
        return NULL;
    if (connection_accept(connection, listener) < 0) {
        give_memory_back(connections, connection);
        return NULL;
    }
    if (make_room_for(connections, connection_fd(connection)) < 0) {
        connection_close(connection);
        free(connection);
        return NULL;
    }
    if (++connections->last_serial == 0)
        connections->last_serial = 1;
    connection->serial = connections->last_serial;
    connections->by_fd[connection_fd(connection)].connection = connection;
    connections->count++;
    return connection;
}

void connections_drop(struct connections *connections, struct connection *connection)
{
    connections->by_fd[connection_fd(connection)].connection = NULL;
    connections->count--;
    connection_close(connection);
    give_memory_back(connections, connection);
}

/* ---- events ---- */

int connections_await(struct connections *connections, struct connection *connection)
{
    int operation = connection->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (!connection->is_watched || connection->is_watched_to_send != connection->has_answer) {
        uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET | (connection->has_answer ? EPOLLOUT : 0);

        if (control(connections, operation, connection_fd(connection), events, connection->serial) < 0)
            return -1;
        connection->is_watched = true;
        connection->is_watched_to_send = connection->has_answer;
    }
    connection_move(connection, &connections->waiting);
    return 0;
}

static void note_event(struct connections *connections, struct connection *connection, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        connection->is_drained = false;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        connection->has_hung_up = true;
    bool can_go_on = !connection->has_answer || events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    if (connection->list == &connections->waiting && can_go_on)
        connection_move(connection, &connections->eager);
}

/* NULL: it is not the one that is meant. */
static struct connection *connection_at(const struct connections *connections, int fd, uint32_t serial)
{
    struct connection *connection = (size_t)fd < connections->room ? connections->by_fd[fd].connection : NULL;

    return connection && connection->serial == serial ? connection : NULL;
}

void connections_look(struct connections *connections, int timeout_ms, void (*other)(void *context, int fd), void *context)
{
    struct epoll_event events[EVENTS_AT_ONCE] = {{.events = 0}};
    long count = raw(SYS_epoll_pwait, connections->ends.fd[END_EPOLL], events, EVENTS_AT_ONCE, timeout_ms, NULL, 8);

    for (long i = 0; i < count; i++) {
        int fd = (int)(uint32_t)events[i].data.u64;
        uint32_t serial = (uint32_t)(events[i].data.u64 >> 32);
        struct connection *connection = serial ? connection_at(connections, fd, serial) : NULL;

        if (connection)
            note_event(connections, connection, events[i].events);
        else if (serial == 0)
            other(context, fd);
    }
}
