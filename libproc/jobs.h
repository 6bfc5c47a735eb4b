/* Where a worker's jobs come from: a queue, or clients. The worker knows no more of it than this. */
#ifndef LIBPROC_JOBS_H
#define LIBPROC_JOBS_H

#include <proc/pool.h>

struct job_source;

/* A job in a worker's hands. */
struct taken_job {
    struct proc_job job; /* the first member: what the job function is given */
    struct job_source *source;
};

/* What becomes of a job whose function has not returned 0. */
enum job_fate {
    JOB_LEFT_TO_MANAGER, /* he is to be told, and decides */
    JOB_AGAIN,           /* the source will hand it out again */
    JOB_DEAD
};

#define JOB_NOT_RUN 2

struct job_source {
    /* Waits for a job. 1; JOB_NOT_RUN: one that cannot be run now, and is to be given back; 0: it is time to leave, and
     * nothing is in hand; -1 with errno: there will be no more. */
    int (*take)(struct job_source *source, struct taken_job *taken);
    void (*done)(struct job_source *source, struct taken_job *taken);
    enum job_fate (*give_back)(struct job_source *source, struct taken_job *taken);

    /* Adds to the answer; -1 with errno. NULL: nobody waits for one. */
    int (*reply)(struct job_source *source, const void *data, size_t size);
};

#endif
