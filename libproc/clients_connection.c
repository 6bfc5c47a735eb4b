/* One client: how it comes, and where its connection goes after each attempt to read or to send. */
#include "clients_state.h"
#include "kernel.h"

#include <sys/epoll.h>

#define BACK_OFF_NS 20000000   /* where there is no descriptor or memory for one more */
#define LEAVE_NS 500000000     /* so long a client may take to notice that we are done with it */
#define GOOD_GUESSES 4

/* ---- time ---- */

void clients_give_time(struct clients *clients, struct connection *connection, int64_t ns)
{
    connection->deadline_ns = clients->now_ns + ns;
    if (connection->deadline_ns < clients->next_expiry_ns)
        clients->next_expiry_ns = connection->deadline_ns;
}

/* For the next thing that is expected of it: to begin a request, to end it, to take an answer. */
void clients_give_usual_time(struct clients *clients, struct connection *connection)
{
    connection->deadline_ns = INT64_MAX;
    if (clients->options.timeout_ms >= 0)
        clients_give_time(clients, connection, clients->options.timeout_ms * INT64_C(1000000));
}

/* ---- places ---- */

void clients_drop(struct clients *clients, struct connection *connection)
{
    connections_drop(&clients->all, connection);
    clients->steps++;
}

void clients_leave(struct clients *clients, struct connection *connection)
{
    connection_leave(connection);
    clients_give_time(clients, connection, LEAVE_NS);
    connection_move(connection, &clients->all.eager);
}

void clients_expire(struct clients *clients, struct connection *connection)
{
    if (clients->is_stopping && connection->is_idle && !connection->is_leaving && !connection->has_answer)
        clients_leave(clients, connection);
    else
        clients_drop(clients, connection);
}

/* There is nothing to do for it, until something arrives or its answer can be sent on. */
static void rest(struct clients *clients, struct connection *connection)
{
    if (connection->deadline_ns <= clients->now_ns)
        clients_expire(clients, connection);
    else if (!connection->is_drained && !connection->has_answer)
        connection_move(connection, &clients->all.eager);
    else if (!connection->is_watched) {
        connection->quiet_since = clients->steps;
        connection_move(connection, &clients->all.quiet);
    } else if (connections_await(&clients->all, connection) < 0)
        clients_drop(clients, connection);
}

static void note_idleness(struct clients *clients, struct connection *connection, bool is_idle)
{
    if (connection->is_idle != is_idle)
        clients_give_usual_time(clients, connection);
    connection->is_idle = is_idle;
}

/* Where it goes with what has been read from it. */
static void place(struct clients *clients, struct connection *connection)
{
    enum frame_found found = frames_find(&connection->requests, clients->options.max_job_size);
    bool has_finished = found == FRAME_NONE && connection->is_drained && connection->served > 0;

    note_idleness(clients, connection, found == FRAME_NONE);
    if (found == FRAME_WHOLE)
        connection_move(connection, &clients->all.ready);
    else if (connection->is_at_end) {
        clients_note_leaving(clients, connection);
        clients_drop(clients, connection);
    } else if (found == FRAME_REFUSED || (clients->is_stopping && has_finished))
        clients_leave(clients, connection);
    else
        rest(clients, connection);
}

/* ---- attempts ---- */

static void read_requests(struct clients *clients, struct connection *connection)
{
    enum progress progress = connection_read(connection);

    if (progress == PROGRESS_OVER && !connection->is_at_end)
        clients_drop(clients, connection);
    else
        place(clients, connection);
}

void clients_send_answer(struct clients *clients, struct connection *connection)
{
    enum progress progress = connection_send(connection);

    if (progress == PROGRESS_OVER)
        clients_drop(clients, connection);
    else if (progress == PROGRESS_NONE)
        rest(clients, connection);
    else {
        clients_give_usual_time(clients, connection);
        connection->deserves_a_try = connection->served < 2; /* else it stays: the epoll tells */
        if (clients->is_stopping) /* the last request must really have been the last */
            connection->is_drained = false;
        place(clients, connection);
    }
}

static void discard(struct clients *clients, struct connection *connection)
{
    if (connection_discard(connection) == PROGRESS_OVER)
        clients_drop(clients, connection);
    else
        rest(clients, connection);
}

static void attend(struct clients *clients, struct connection *connection)
{
    if (connection->is_leaving)
        discard(clients, connection);
    else if (connection->has_answer)
        clients_send_answer(clients, connection);
    else
        read_requests(clients, connection);
}

/* One attempt each, so that none keeps the others waiting: those with more to do stay. */
void clients_attend(struct clients *clients)
{
    for (size_t left = clients->all.eager.count; left > 0; left--)
        attend(clients, clients->all.eager.first);
}

/* ---- new ones ---- */

/* One connection wakes one worker. */
int clients_listen(struct clients *clients)
{
    int result = connections_watch_other(&clients->all, clients->options.listener, EPOLLIN | EPOLLEXCLUSIVE);

    clients->is_listening = result == 0;
    clients->listen_again_ns = INT64_MAX;
    return result;
}

void clients_stop_listening(struct clients *clients, int64_t until_ns)
{
    if (clients->is_listening)
        connections_forget_other(&clients->all, clients->options.listener);
    clients->is_listening = clients->may_accept = false;
    clients->listen_again_ns = until_ns;
    if (until_ns < clients->next_expiry_ns)
        clients->next_expiry_ns = until_ns;
}

static bool is_nobody(int reason)
{
    return reason == EAGAIN || reason == EINTR || reason == ECONNABORTED;
}

/* Where many connect, the next is there already. We guess that it is as long as that was right, and to find out whether it is
 * again, sometimes. */
static void note_guess(struct clients *clients, bool was_right)
{
    if (clients->is_guess && was_right && clients->good_guesses < GOOD_GUESSES)
        clients->good_guesses++;
    if (clients->is_guess && !was_right && clients->good_guesses > 0)
        clients->good_guesses--;
    clients->is_guess = clients->may_accept = was_right && (clients->good_guesses > 0 || clients->steps % 8 == 0);
}

void clients_accept(struct clients *clients)
{
    struct connection *connection = connections_accept(&clients->all, clients->options.listener);
    int reason = errno;

    note_guess(clients, connection);
    if (connection) {
        clients->steps++;
        clients_give_usual_time(clients, connection);
        read_requests(clients, connection);
    } else if (!is_nobody(reason) && !clients->is_stopping)
        clients_stop_listening(clients, clients->now_ns + BACK_OFF_NS);
}
