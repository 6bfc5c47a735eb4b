/* The queue of a pool as a source of jobs, and the way into it. */
#ifndef LIBPROC_JOB_QUEUE_H
#define LIBPROC_JOB_QUEUE_H

#include "deadline.h"
#include "jobs.h"
#include "pool_area.h"

/* Opens the queue of that key; PROC_PRIVATE makes a new one. Its number, or -1 with errno. */
int job_queue_open(key_t key, bool may_make);

/* 1; 0: the time ran out; -1 with errno. Larger ones than a message go into a file. */
int job_queue_submit(const struct pool_area *area, int queue, const void *data, size_t size, int timeout_ms);

/* How many messages are in it, and how many of them are jobs. */
size_t job_queue_messages(int queue);
size_t job_queue_length(const struct pool_area *area, int queue);

/* Sees to it that a worker which waits for a message looks for jobs that wait in slots. */
void job_queue_nudge(const struct pool_area *area, int queue);
void job_queue_take_nudges(const struct pool_area *area, int queue);

/* In a worker: takes jobs into its slot. */
struct job_queue {
    struct job_source source;
    const struct pool_area *area;
    int queue;
    uint32_t slot;
    int bell;       /* what tells that there is a message; then `take` returns 0 when there is none. -1: it waits */
    bool tries_own; /* the job that it has failed in has nowhere else to be */
    void *file; /* the data of a job that lies in one */
};

/* After a job was left to the manager: until the slot is free for another one, or the worker is to leave. */
void job_queue_wait_for_judgement(struct job_queue *jobs);

void job_queue_init(struct job_queue *jobs, const struct pool_area *area, int queue, uint32_t slot, int bell);

#endif
