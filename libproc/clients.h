/* The clients of one worker: their connections, requests and answers. A source of jobs. */
#ifndef LIBPROC_CLIENTS_H
#define LIBPROC_CLIENTS_H

#include "jobs.h"

struct clients;

struct clients_options {
    int listener;           /* shared with other workers */
    int stop;               /* readable from the moment that the worker is to leave; not read here */
    int timeout_ms;         /* a client slower than this is dropped; -1: never */
    size_t max_job_size;    /* a larger request closes its connection */
    unsigned max_attempts;
    _Atomic uint64_t *ids;  /* the next job's is one more */
    int queue_bell;         /* readable when the pool's queue may have a job; -1: none */
    struct job_source *queue; /* … which is then asked: its `take` returns 0 at once when there is none */
};

/* NULL with errno. */
struct clients *clients_new(const struct clients_options *options);
struct job_source *clients_source(struct clients *clients);

/* As if `stop` were readable: `take` serves what has arrived, ends all connections in order, and then returns 0. */
void clients_stop(struct clients *clients);

/* Closes all connections, at once. Accepts NULL. */
void clients_free(struct clients *clients);

#endif
