/* The clients of a worker as a source of jobs.
 *
 * One round: attend to those who may have something for us, and hand out one request. No call is made that is not likely to
 * have an effect: a new connection is read from at once, since most clients have sent something by then, and the epoll is asked
 * when there is nothing left to do, or was not for a while. */
#include "clients.h"

#include "clients_state.h"
#include "kernel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define ROUNDS_WITHOUT_A_LOOK 16
#define NS_WITHOUT_A_LOOK 1000000

/* ---- taking ---- */

static int hand_out(struct clients *clients, struct taken_job *taken)
{
    const struct connection *connection = clients->in_hand;

    taken->source = &clients->source;
    taken->job = (struct proc_job){connection->id, connection->attempt, connection->data, connection->size};
    return 1;
}

static int hand_out_next(struct clients *clients, struct taken_job *taken)
{
    struct connection *connection = clients->all.ready.first;

    connection_move(connection, NULL);
    connection->data = frames_take(&connection->requests, &connection->size);
    connection->id = atomic_fetch_add(clients->options.ids, 1) + 1;
    connection->attempt = 1;
    clients->in_hand = connection;
    clients->queue_had_turn = false;
    return hand_out(clients, taken);
}

static int ask_queue(struct clients *clients, struct taken_job *taken)
{
    int result = clients->options.queue->take(clients->options.queue, taken);

    clients->queue_had_turn = true;
    clients->bell_rang = result > 0;
    return result;
}

/* 1, or 0: nobody has any. */
static int ask_clients(struct clients *clients, struct taken_job *taken)
{
    bool has_looked = clients->unlooked_rounds == 0;

    clients_attend(clients);
    /* While we are busy others may take it, but not for ever. */
    if (clients->may_accept && (has_looked || !clients->all.ready.first))
        clients_accept(clients);
    return clients->all.ready.first ? hand_out_next(clients, taken) : 0;
}

static int ask_both(struct clients *clients, struct taken_job *taken)
{
    int result = 0;

    if (clients->bell_rang && !clients->queue_had_turn)
        result = ask_queue(clients, taken);
    if (result == 0)
        result = ask_clients(clients, taken);
    if (result == 0 && clients->bell_rang)
        result = ask_queue(clients, taken);
    return result;
}

static bool has_work_left(const struct clients *clients)
{
    return clients->may_accept || clients->bell_rang || clients->all.eager.first;
}

static int take(struct job_source *source, struct taken_job *taken)
{
    struct clients *clients = (struct clients *)source;

    if (clients->is_handed_back) {
        clients->is_handed_back = false;
        return hand_out(clients, taken);
    }
    clients_resume_clock(clients);
    for (;;) {
        if (clients->unlooked_rounds++ >= ROUNDS_WITHOUT_A_LOOK || clients_unlooked_ns(clients) >= NS_WITHOUT_A_LOOK)
            clients_look_around(clients);
        int result = ask_both(clients, taken);
        if (result != 0)
            return result;
        if (clients->is_stopping && clients->all.count == 0)
            return 0;
        if (!has_work_left(clients))
            clients_wait(clients);
    }
}

/* ---- what becomes of a request ---- */

static struct connection *request_is_over(struct clients *clients)
{
    struct connection *connection = clients->in_hand;

    clients->in_hand = NULL;
    clients->steps++;
    frames_drop(&connection->requests);
    connection->served++;
    clients_note_staying(clients, connection);
    return connection;
}

static void done(struct job_source *source, struct taken_job *taken)
{
    struct clients *clients = (struct clients *)source;
    struct connection *connection = request_is_over(clients);

    (void)taken;
    frames_finish(&connection->answer);
    clients_give_usual_time(clients, connection);
    clients_send_answer(clients, connection);
}

static enum job_fate give_back(struct job_source *source, struct taken_job *taken)
{
    struct clients *clients = (struct clients *)source;
    struct connection *connection = clients->in_hand;

    (void)taken;
    frames_clear(&connection->answer);
    if (connection->attempt < clients->options.max_attempts) {
        connection->attempt++;
        clients->is_handed_back = true;
        return JOB_AGAIN;
    }
    clients_leave(clients, request_is_over(clients));
    return JOB_DEAD;
}

static int reply(struct job_source *source, const void *data, size_t size)
{
    return frames_add(&((struct clients *)source)->in_hand->answer, data, size);
}

/* ---- life ---- */

static int watch(struct clients *clients)
{
    const struct clients_options *options = &clients->options;

    if (connections_open(&clients->all) < 0 || connections_watch_other(&clients->all, options->stop, EPOLLIN) < 0 ||
        (options->queue_bell >= 0 && connections_watch_other(&clients->all, options->queue_bell, EPOLLIN) < 0))
        return -1;
    return clients_listen(clients);
}

struct clients *clients_new(const struct clients_options *options)
{
    struct clients *clients = malloc(sizeof *clients);

    if (!clients)
        return NULL;
    *clients = (struct clients){.source = {take, done, give_back, reply}, .options = *options};
    clients->next_expiry_ns = INT64_MAX;
    if (watch(clients) < 0) {
        int reason = errno;

        clients_free(clients);
        errno = reason;
        return NULL;
    }
    return clients;
}

struct job_source *clients_source(struct clients *clients)
{
    return &clients->source;
}

void clients_stop(struct clients *clients)
{
    clients->must_stop = true;
    clients->unlooked_rounds = ROUNDS_WITHOUT_A_LOOK;
}

void clients_free(struct clients *clients)
{
    if (!clients)
        return;
    connections_close(&clients->all);
    free(clients);
}
