/* A pool, as the process knows it that made or attached it, and as its manager keeps it. */
#ifndef LIBPROC_POOL_STATE_H
#define LIBPROC_POOL_STATE_H

#include "backoff.h"
#include "listener.h"
#include "mailbox.h"
#include "notice.h"
#include "pool_area.h"
#include "private_ipc.h"

#include <proc/pool.h>
#include <proc/waiter.h>

struct runner;
struct member;
struct manager;

/* What the manager's waiter is given as data: who wants to know of an event. */
struct reaction {
    void (*call)(struct reaction *reaction, const struct proc_event *event);
};

/* An alarm of the waiter's, one at a time. */
struct timeout {
    struct reaction reaction;
    int id;               /* 0: it is not set */
    int64_t at_ns;        /* without memory for it: when it is to be; else 0 */
    struct timeout *next; /* … of those that are to be set again */
};

/* One worker process, from its start until it is reaped. */
struct runner {
    struct reaction ended;
    struct timeout kill;
    struct proc_pool *pool;
    struct member *member; /* NULL: it has left the pool */
    struct runner *previous, *next; /* of the pool's */
    struct proc *proc;
    uint32_t slot;
    unsigned index, generation;
    uint64_t serial;  /* of all that the pool has started */
    uint64_t epoch;   /* which reload it is of */
    int64_t started_ns;
    bool ready, asked, killed, detached;
};

/* One worker's index, and the processes that have it: one that serves, or starts; on a reload one that starts to replace it.
 * Those that were asked to leave are on their own. */
struct member {
    unsigned index;
    struct proc_pool *pool;
    struct runner *holder, *successor;
    struct timeout restart;
    struct mailbox mailbox;
    unsigned failures; /* at once, in a row */
    bool is_over;      /* not to be restarted */
    bool is_due;       /* to be looked at when all that has come is known */
    struct member *next_due;
};

/* So long those may hold the manager's lock who only look whether there is one. */
#define POOL_A_MOMENT_MS 100

enum pool_stage {
    POOL_NOT_BEGUN,
    POOL_RUNS,
    POOL_DRAINS,
    POOL_STOPS,
    POOL_OVER
};

struct proc_pool {
    struct proc_pool_options options; /* with the defaults filled in */
    struct pool_area area;
    int queue;
    key_t key;
    pid_t maker;                     /* whose the private queue and the socket are */
    bool is_attached;
    struct listener listener;
    struct ends passed;              /* what workers keep when they are forked: END_IN: the listener, END_OUT: the bell */
    struct private_ipc private_ipc;
    struct manager *own_manager;     /* for proc_pool_fd and proc_pool_poll; … */
    struct proc_pool *alone[1];      /* … whose only pool it is */
    struct proc_worker *self;        /* in a worker */

    /* In the manager, once it has begun. */
    struct manager *manager;
    struct proc_pool *const *siblings; /* its pools */
    size_t sibling_count;
    struct proc_waiter *waiter; /* the manager's */
    pid_t manager_pid;
    enum pool_stage stage;
    enum pool_stage wanted;  /* before it has begun: what it was told to become */
    int result;              /* 0, or the errno that it ends with */
    bool changed;            /* a process has come, gone, or become ready */
    bool gave_up, was_empty, has_drained;
    int queue_failure;       /* why workers cannot take jobs; 0: they can */
    struct notices notices;
    bool is_deaf;            /* one of them cannot be read now: they are looked at again after a while */
    int bell;                /* with clients: see queue_bell.h; else -1 */
    struct member *ringer;   /* … and who rings it; NULL: nobody */
    struct member **members; /* by index, those that have been */
    unsigned member_count;   /* how many of them there are */
    unsigned target;         /* how many there are to be */
    bool resizing;
    struct runner **by_slot;
    struct runner *runners;  /* all, but those that are detached */
    struct runner *detached;
    size_t runner_count;
    struct member *due, *last_due;
    uint32_t next_slot;      /* where to look first for a free one */
    bool *foreign;           /* slots of processes that an earlier manager has started */
    unsigned foreign_count;
    uint64_t last_serial;
    uint64_t epoch;          /* counts the reloads */
    bool reloading;
    unsigned reload_at;      /* the member whose turn it is */
    struct failures failures;
    struct timeout watch;    /* the next look at jobs that take too long */
    struct timeout poll;     /* and at what nobody tells of */
    struct timeout wake;     /* rings at once: the program has told the pool to do something */
    struct timeout *unset;   /* those for which there was no memory */
};

/* Whether it has a manager that this process, or the one that it is a copy of, has begun to be. */
bool pool_has_begun(const struct proc_pool *pool);

/* … and this process is he. */
bool pool_is_managed_here(const struct proc_pool *pool);

/* Tells the program what has happened. */
struct happening {
    enum proc_pool_event_type type;
    int worker;
    pid_t pid;
    const struct proc_exit *exit;
    const struct proc_job *job;
};
void pool_tell(struct proc_pool *pool, struct happening happening);

/* The index of who rings the bell: he is none of the workers, and nothing is told of him. */
static inline unsigned pool_ringers_index(const struct proc_pool *pool)
{
    return pool->area.row_count;
}

/* So that the conclusions of what was changed are drawn soon, but not while an event is told. */
void pool_wake_init(struct proc_pool *pool);
void pool_wake(struct proc_pool *pool);

/* Sets a timeout, or another time for one that is set; and stops it. */
void timeout_set(struct timeout *timeout, struct proc_pool *pool, int64_t in_ms);
void timeout_stop(struct timeout *timeout, struct proc_pool *pool);
bool timeout_is_set(const struct timeout *timeout);

/* Those for which there was no memory. */
void timeouts_set_again(struct proc_pool *pool);

#endif
