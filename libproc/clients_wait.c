/* Waiting for clients, for as long as each may take; and the end of it all. */
#include "clients_state.h"
#include "deadline.h"
#include "kernel.h"

#include <limits.h>
#include <sys/epoll.h>

#define FIRST_REQUEST_NS 1000000000 /* so long, at a stop, one may take that has connected and sent nothing yet */
#define EXPIRY_STEP_NS 5000000
#define ENOUGH_ONE_TIMERS 8         /* for us to expect that the next one is another */
#define NS_PER_MS 1000000

/* ---- the clock ---- */

static void read_clock(struct clients *clients)
{
    clients->now_ns = monotonic_ns() - clients->away_ns;
}

void clients_resume_clock(struct clients *clients)
{
    clients->away_ns = monotonic_ns() - clients->now_ns;
}

int64_t clients_unlooked_ns(const struct clients *clients)
{
    return clients->now_ns + clients->away_ns - clients->looked_ns;
}

/* ---- the listener ---- */

/* The kernel wakes the first of those that wait, and so one worker would get all clients. Whoever has one that may stay goes to
 * the end of the line: then each gets as many. */
static void give_way(struct clients *clients)
{
    if (!clients->is_listening || clients->one_timers >= ENOUGH_ONE_TIMERS)
        return;
    connections_forget_other(&clients->all, clients->options.listener);
    if (clients_listen(clients) < 0)
        clients_stop_listening(clients, clients->now_ns + EXPIRY_STEP_NS);
}

/* ---- the end ---- */

/* Each is looked at once more: what has arrived is served, and who has nothing for us is told that we are leaving. */
static void make_eager(struct clients *clients, struct connection_list *list)
{
    while (list->first) {
        struct connection *connection = list->first;

        connection->is_drained = false;
        if (connection->is_idle && connection->served == 0 && !connection->is_leaving)
            clients_give_time(clients, connection, FIRST_REQUEST_NS);
        connection_move(connection, &clients->all.eager);
    }
}

static void begin_to_stop(struct clients *clients)
{
    clients_stop_listening(clients, INT64_MAX);
    connections_forget_other(&clients->all, clients->options.stop);
    if (clients->options.queue_bell >= 0)
        connections_forget_other(&clients->all, clients->options.queue_bell);
    clients->bell_rang = false;
    clients->is_stopping = true;
    /* A connection wakes one worker alone. If that was us, no other knows: so we take one yet. */
    clients_accept(clients);
    make_eager(clients, &clients->all.quiet);
    make_eager(clients, &clients->all.waiting);
}

/* ---- those who are too slow ---- */

static void expire(struct clients *clients)
{
    for (struct connection *connection = clients->all.waiting.first, *following; connection; connection = following) {
        following = connection->next;
        if (connection->deadline_ns <= clients->now_ns)
            clients_expire(clients, connection);
    }
}

static int64_t earliest(const struct connection_list *list)
{
    int64_t earliest_ns = INT64_MAX;

    for (const struct connection *connection = list->first; connection; connection = connection->next)
        if (connection->deadline_ns < earliest_ns)
            earliest_ns = connection->deadline_ns;
    return earliest_ns;
}

static int64_t sooner(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* Those that are not waiting are tried first: see rest(). */
static void expire_and_go_on(struct clients *clients)
{
    if (clients->listen_again_ns <= clients->now_ns && clients_listen(clients) < 0)
        clients->listen_again_ns = clients->now_ns + EXPIRY_STEP_NS;
    expire(clients);
    int64_t next = sooner(earliest(&clients->all.waiting), earliest(&clients->all.eager));
    next = sooner(sooner(next, earliest(&clients->all.quiet)), clients->listen_again_ns);
    /* Not sooner than this: the times of many clients run out one shortly after the other. */
    bool is_too_soon = next < clients->now_ns + EXPIRY_STEP_NS;
    clients->next_expiry_ns = is_too_soon ? clients->now_ns + EXPIRY_STEP_NS : next;
}

/* ---- waiting ---- */

static void on_other(void *context, int fd)
{
    struct clients *clients = context;

    if (fd == clients->options.stop)
        clients->must_stop = true;
    else if (fd == clients->options.queue_bell)
        clients->bell_rang = true;
    else {
        clients->may_accept = true;
        clients->is_guess = false;
    }
}

static void look(struct clients *clients, int timeout_ms)
{
    connections_look(&clients->all, timeout_ms, on_other, clients);
    read_clock(clients);
    clients->unlooked_rounds = 0;
    clients->looked_ns = clients->now_ns + clients->away_ns;
    if (clients->must_stop && !clients->is_stopping)
        begin_to_stop(clients);
    if (clients->next_expiry_ns <= clients->now_ns)
        expire_and_go_on(clients);
}

static int ms_to_wait(const struct clients *clients)
{
    int64_t left_ms = (clients->next_expiry_ns - clients->now_ns) / NS_PER_MS + 1;

    if (clients->next_expiry_ns == INT64_MAX)
        return -1;
    return left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* ---- connections that the epoll does not know ---- */

/* A client that has just connected is about to send something, and one that has its answer to close, or to go on. It may only
 * lack the processor, which we hold: so we let others have it, which costs little where nobody wants it. Meanwhile somebody
 * else may have connected. */
static void let_clients_run(struct clients *clients)
{
    raw(SYS_sched_yield);
    clients->may_accept = clients->is_listening;
    clients->is_guess = false;
}

static bool is_worth_a_try(struct clients *clients, struct connection *connection, bool *has_yielded)
{
    if (connection->quiet_since != clients->steps)
        return true; /* some time has passed, in which we did something else */
    if (!connection->deserves_a_try)
        return false;
    connection->deserves_a_try = false;
    if (!*has_yielded)
        let_clients_run(clients);
    *has_yielded = true;
    return true;
}

static void try_or_await(struct clients *clients, struct connection *connection, bool shall_try)
{
    if (shall_try && !connection->has_answer) {
        connection->is_drained = false;
        connection_move(connection, &clients->all.eager);
    } else if (connections_await(&clients->all, connection) < 0)
        clients_drop(clients, connection);
}

void clients_look_around(struct clients *clients)
{
    for (size_t left = clients->all.quiet.count; left > 0; left--) {
        struct connection *connection = clients->all.quiet.first;
        bool shall_try = connection->deserves_a_try;

        connection->deserves_a_try = false;
        try_or_await(clients, connection, shall_try);
    }
    look(clients, 0);
}

void clients_wait(struct clients *clients)
{
    bool has_yielded = false;
    size_t waited = clients->all.waiting.count;

    for (size_t left = clients->all.quiet.count; left > 0; left--) {
        struct connection *connection = clients->all.quiet.first;

        try_or_await(clients, connection, is_worth_a_try(clients, connection, &has_yielded));
    }
    if (clients->all.waiting.count > waited)
        give_way(clients);
    if (!clients->all.eager.first)
        look(clients, ms_to_wait(clients));
}
