/* Workers that stay alive, and jobs that are not lost.
 *
 * A pool's manager is the process that calls proc_pool_run, or proc_pool_poll; it starts the workers, and sees to it that there
 * are always as many. Both are to be called by one thread, which lives as long as the pool runs. Any number of processes may
 * submit jobs and read the scoreboard. */
#ifndef PROC_POOL_H
#define PROC_POOL_H

#include <proc/key.h>
#include <proc/process.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct proc_pool;

/* The pool as one of its workers sees it. */
struct proc_worker;

/* The data is the library's, and valid until the job function returns. */
struct proc_job {
    uint64_t id;      /* unique in the pool, from 1 */
    unsigned attempt; /* from 1 */
    const void *data;
    size_t size;
};

/* What a worker runs. In main mode its return value is the worker's exit status; of `start`, anything but 0 is a failure. */
typedef int proc_worker_fn(struct proc_worker *worker, void *arg);

/* 0: done. -1 (or anything else): to be tried again, up to max_attempts. */
typedef int proc_job_fn(struct proc_worker *worker, const struct proc_job *job, void *arg);

enum proc_restart {
    PROC_RESTART_ALWAYS,
    PROC_RESTART_ON_FAILURE, /* when it was killed, or has exited with a status other than 0 */
    PROC_RESTART_NEVER
};

enum proc_pool_event_type {
    PROC_POOL_WORKER_STARTED, /* there is a process */
    PROC_POOL_WORKER_READY,   /* its `start` has returned 0 */
    PROC_POOL_WORKER_EXITED,  /* it has ended, in whatever way: see `exit` */
    PROC_POOL_WORKER_KILLED,  /* the manager has sent it SIGKILL; EXITED follows */
    PROC_POOL_JOB_RETRIED,    /* its worker died or returned -1: it will be run again */
    PROC_POOL_JOB_DEAD,       /* … for the last time: it will not */
    PROC_POOL_JOB_DAMAGED,    /* a bare message whose length was lost with its worker: `data` is all that was there, and more */
    PROC_POOL_RELOADED,
    PROC_POOL_RESIZED,
    PROC_POOL_GAVE_UP /* more failures than max_restarts: the pool stops */
};

struct proc_pool_event {
    enum proc_pool_event_type type;
    struct proc_pool *pool;
    int worker;                 /* its index; -1: none */
    pid_t pid;                  /* of the worker; 0: none */
    struct proc_exit exit;      /* EXITED */
    const struct proc_job *job; /* the JOB events: with the attempt that failed; else NULL. Valid during the call */
};
typedef void proc_pool_event_fn(const struct proc_pool_event *event, void *arg);

/* Zero it, fill in what is wanted: zero is the sensible default of every member. The strings are copied. */
struct proc_pool_options {
    const char *name;      /* in process titles; NULL: "pool" */
    unsigned workers;      /* 0: one for each processor that may be used */
    proc_worker_fn *main;  /* a worker that runs its own loop … */
    proc_job_fn *job;      /* … or one that is handed jobs; exactly one of the two */
    proc_worker_fn *start; /* in the worker: before its first job or main … */
    proc_worker_fn *stop;  /* … and after the last, when it leaves in order */
    void *arg;
    key_t key;                          /* jobs and their state outlive the manager; 0 (PROC_PRIVATE): they do not */
    const char *listen;                 /* jobs from clients as well: "unix:/run/app.sock", "tcp:127.0.0.1:9933" */
    int client_timeout_ms;              /* a client slower than this is dropped; 0: 60000, -1: never */
    size_t max_job_size;                /* bytes; larger ones are refused; 0: what one message of a queue holds */
    unsigned max_jobs;                  /* a worker is replaced after so many, or up to a quarter fewer; 0: never */
    unsigned max_attempts;              /* then a job is dead; 0: 3 */
    int job_timeout_ms;                 /* a worker stuck in one job for so long is killed; 0: never */
    int heartbeat_ms;                   /* main: one that has not called proc_worker_alive for so long is killed; 0: never */
    int grace_ms;                       /* for each worker, between SIGTERM and SIGKILL; 0: 5000, -1: no SIGKILL */
    enum proc_restart restart;
    int backoff_min_ms, backoff_max_ms; /* between restarts of a worker that fails at once; 0: 100, 30000 */
    unsigned max_restarts;              /* more failures than that … */
    int restart_window_ms;              /* … within so long, and the pool gives up; 0, either: never */
    proc_pool_event_fn *event;          /* in the manager: what has happened */
    void *event_arg;
    unsigned flags; /* 0 */
};

/* Makes a pool: its queue, its shared memory, its socket; no worker yet. With a key, what an earlier pool of that key has left
 * (jobs, counts) is taken over. EINVAL: the options, or something else is under that key; EBUSY: that key's pool has a manager;
 * ENOSPC: more workers than the memory of that key has room for, or a limit of the system; EADDRINUSE: a live server listens
 * there; EACCES, EADDRNOTAVAIL, …: as bind(2); ENOMEM, EMFILE, ENFILE. */
struct proc_pool *proc_pool_new_sized(const struct proc_pool_options *options, size_t options_size);
static inline struct proc_pool *proc_pool_new(const struct proc_pool_options *options)
{
    return proc_pool_new_sized(options, sizeof *options);
}

/* Manages the pool until it has stopped. While it runs SIGTERM and SIGINT stop it, SIGHUP and SIGUSR1 reload it, SIGTTIN and
 * SIGTTOU make it one worker more or less; dispositions and mask are put back. Other threads of the program must block these.
 * Returns 0 after a stop, or when `restart` leaves nobody to restart; -1 with errno: ECHILD when it gave up; EBUSY: it has a
 * manager, or the program has routed one of the signals; EIDRM: its queue was removed; EACCES: a worker has become a user who may
 * not read it. */
int proc_pool_run(struct proc_pool *pool);

/* Several pools under one manager, all controlled by the signals. Returns when all have stopped; -1 if one of them would. */
int proc_pool_run_all(struct proc_pool *const *pools, size_t count);

/* For a loop of one's own, in place of proc_pool_run: a descriptor that is readable when there is something to do, to be
 * polled and never read or closed (-1 with errno: EMFILE, ENFILE, ENOMEM); and what does it, after waiting up to timeout_ms.
 * Signals are the caller's business. Returns 1 when something was done, 0 when the time ran out, -1 with errno as
 * proc_pool_run; EDEADLK: it was called in `event`. The first call starts the workers; the pool is over when proc_pool_done
 * says so. */
int proc_pool_fd(const struct proc_pool *pool);
int proc_pool_poll(struct proc_pool *pool, int timeout_ms);

/* Whether it has stopped, and every worker was reaped. */
bool proc_pool_done(const struct proc_pool *pool);

/* Hands in a job, from any process that has the pool: the manager, its forked children, its workers, and who has attached it.
 * Waits up to timeout_ms for room; a manager that has begun does its work meanwhile, so there may be events. Returns 1, 0 when
 * the queue stayed full, -1 with errno. EMSGSIZE: above max_job_size; EDEADLK: it would have to wait, in `event`; ESHUTDOWN:
 * the pool drains, or is private and has stopped; EIDRM, EINVAL: it was removed; EINVAL: its workers have a main; ENOSPC,
 * EFBIG, ENOMEM: no room for a job above one message. */
int proc_pool_submit(struct proc_pool *pool, const void *data, size_t size, int timeout_ms);

/* The pool of that key, as made by another process: to submit, and to read the scoreboard. ENOENT: there is none; EINVAL: key 0,
 * or something else is under that key; EACCES. */
struct proc_pool *proc_pool_attach(key_t key);

/* These begin something and return; in the manager only (else EPERM), also in `event`. ESHUTDOWN: it stops already.
 *
 * reload: replaces each worker in turn; each replacement is ready before the old one is asked to leave.
 * resize: EINVAL: 0 workers; ENOSPC: more than there is room for (twice as many as it began with, and 64 in any case).
 * stop: workers finish the job in hand and leave; what is queued under a key stays queued.
 * drain: all accepted jobs are finished first; only workers can submit more. */
int proc_pool_reload(struct proc_pool *pool);
int proc_pool_resize(struct proc_pool *pool, unsigned workers);
int proc_pool_stop(struct proc_pool *pool);
int proc_pool_drain(struct proc_pool *pool);

/* Sends a message of any size to the worker of that index, from the manager or from a worker, which may be one of another pool
 * under the same manager. It is kept by the manager until the newest holder of the index has read it. EINVAL: no such index;
 * EPERM: another process; ESHUTDOWN: the pool stops; EPIPE: the manager is gone; ENOMEM; EMFILE, ENOSPC, EFBIG: no room for a
 * message that does not fit a socket. */
int proc_pool_send(struct proc_pool *pool, unsigned worker, const void *data, size_t size);

enum proc_worker_state {
    PROC_WORKER_STARTING,
    PROC_WORKER_IDLE,
    PROC_WORKER_BUSY,
    PROC_WORKER_STOPPING,
    PROC_WORKER_BACKING_OFF,
    PROC_WORKER_GONE /* and not to be restarted */
};

struct proc_pool_stats {
    unsigned workers;      /* how many it is to have */
    unsigned idle, busy;   /* of them */
    uint64_t submitted;    /* jobs that were accepted; a bare message counts when a worker takes it */
    uint64_t done;         /* … and have returned 0 */
    uint64_t retried;      /* attempts that failed, and were followed by another one */
    uint64_t dead;         /* jobs that were given up, or damaged */
    uint64_t restarts;     /* of workers, for whatever reason */
    size_t queued;         /* jobs that wait, those to be tried again among them */
};

struct proc_worker_stats {
    pid_t pid; /* 0: none */
    enum proc_worker_state state;
    uint64_t jobs; /* done by all that have held this index */
    unsigned restarts;
    int64_t started_ns, busy_since_ns; /* CLOCK_MONOTONIC; busy_since: 0 unless it is busy */
};

/* Reads the scoreboard, of a pool that runs at the moment or of one that has stopped. Fills the first `nworkers` of workers,
 * those above stats->workers with zeros and PROC_WORKER_GONE. stats may be NULL. EIDRM, EINVAL: it was removed. */
int proc_pool_stats(struct proc_pool *pool, struct proc_pool_stats *stats, struct proc_worker_stats *workers, size_t nworkers);

/* The port of a "tcp:" address, also when it was given as 0. EINVAL: it has none. */
int proc_pool_port(const struct proc_pool *pool);

/* Removes the key's queue, with the jobs in it, and shared memory from the system. A manager that hands out jobs will stop. */
int proc_pool_remove(struct proc_pool *pool);

/* In the process that runs it: workers that are left are killed, the socket is removed. What lies under a key stays. In any
 * other process it takes nothing away. Accepts NULL, keeps errno. */
void proc_pool_free(struct proc_pool *pool);

/* ---- in a worker ---- */

unsigned proc_worker_index(const struct proc_worker *worker);      /* from 0; kept by a replacement */
unsigned proc_worker_generation(const struct proc_worker *worker); /* how often this index was started, from 1 */
struct proc_pool *proc_worker_pool(struct proc_worker *worker);

/* Whether it is time to leave: SIGTERM has come, or the manager is gone. A call that blocks has returned with EINTR. */
bool proc_worker_stopping(struct proc_worker *worker);

/* Readable when a message or the stop has come: to be polled, and never read or closed. -1 with errno: EMFILE, ENFILE, ENOMEM;
 * EPIPE: the manager is gone. */
int proc_worker_fd(struct proc_worker *worker);

/* Waits up to timeout_ms for a message. Returns its size, and in *from (which may be NULL) the index of the worker that sent it,
 * or -1: the manager. At the stop it returns 0, and *from is -2. -1 with errno: ETIMEDOUT; EMSGSIZE: it is larger than buf, and
 * stays; EPIPE: the manager is gone. */
ssize_t proc_worker_recv(struct proc_worker *worker, void *buf, size_t size, int *from, int timeout_ms);

/* Tells the manager that the worker is not stuck: see heartbeat_ms. No system call but the clock's. */
void proc_worker_alive(struct proc_worker *worker);

/* Leaves the pool, which starts a replacement at once: no signal and no timeout of the pool's ends this process any more. It
 * finishes its job, or main, and exits. ESHUTDOWN: the worker is to leave already; EPIPE: the manager is gone. */
int proc_worker_detach(struct proc_worker *worker);

/* With listen: adds to the answer, which is sent as one frame when the job function has returned 0. EINVAL: the job is none of a
 * client's; EMSGSIZE: the frame would exceed 4 GiB; ENOMEM. */
int proc_job_reply(const struct proc_job *job, const void *data, size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
