/* What the parts of clients.c share: the clients of a worker, one connection of them, and waiting. */
#ifndef LIBPROC_CLIENTS_STATE_H
#define LIBPROC_CLIENTS_STATE_H

#include "clients.h"
#include "connections.h"

struct clients {
    struct job_source source; /* the first member */
    struct clients_options options;
    struct connections all;
    struct connection *in_hand;
    bool is_handed_back;  /* the one in hand is to be handed out once more */
    bool bell_rang;       /* the queue may have a job … */
    bool queue_had_turn;  /* … but it is the clients' turn */
    bool is_listening;    /* the listener is in the epoll */
    bool may_accept;      /* … and has somebody, as far as we know */
    bool must_stop;       /* the stop descriptor has said so */
    bool is_stopping;
    int good_guesses;     /* how often of late somebody else was there to be accepted */
    bool is_guess;
    unsigned one_timers;  /* clients in a row that have left after one request */
    unsigned steps;       /* of any kind: where something has happened, time has passed */
    unsigned unlooked_rounds; /* since the epoll was asked, … */
    int64_t looked_ns;        /* … which was then, on the clock that goes on */
    int64_t now_ns;       /* on a clock that stands still while the worker works: nobody is slow because we were away */
    int64_t away_ns;
    int64_t listen_again_ns, next_expiry_ns;
};

/* ---- clients_connection.c ---- */

void clients_give_time(struct clients *clients, struct connection *connection, int64_t ns);
void clients_give_usual_time(struct clients *clients, struct connection *connection);

void clients_drop(struct clients *clients, struct connection *connection);
void clients_leave(struct clients *clients, struct connection *connection);
void clients_expire(struct clients *clients, struct connection *connection); /* its time has run out */

/* Makes one attempt with each that is eager. */
void clients_attend(struct clients *clients);

/* The answer of this one's request is complete; or there is to be none. */
void clients_send_answer(struct clients *clients, struct connection *connection);

int clients_listen(struct clients *clients);
void clients_stop_listening(struct clients *clients, int64_t until_ns);
void clients_accept(struct clients *clients);

/* ---- clients_wait.c ---- */

/* An observation of what clients are like here: this one has left, or it stays. */
static inline void clients_note_leaving(struct clients *clients, const struct connection *connection)
{
    clients->one_timers = connection->served == 1 ? clients->one_timers + 1 : 0;
}

static inline void clients_note_staying(struct clients *clients, const struct connection *connection)
{
    if (connection->served == 2)
        clients->one_timers = 0;
}

void clients_resume_clock(struct clients *clients);
int64_t clients_unlooked_ns(const struct clients *clients);

/* What has happened meanwhile. */
void clients_look_around(struct clients *clients);

/* Waits until something happens; or returns at once, where there is something to be tried first. */
void clients_wait(struct clients *clients);

#endif
