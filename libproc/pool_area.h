/* The memory that all processes of a pool share: limits and counters, a row for each worker's index, and the slots.
 *
 * Its shape is settled when it is made. Under a key it outlives all of them, and the next manager may want more workers: so
 * there is room for more than there are. What nobody has touched takes no memory. */
#ifndef LIBPROC_POOL_AREA_H
#define LIBPROC_POOL_AREA_H

#include "segment.h"
#include "slot.h"

#include <proc/pool.h>

enum pool_mood {
    POOL_OPEN,     /* jobs are accepted; also before it runs, and under a key after that */
    POOL_DRAINING, /* from workers only */
    POOL_CLOSED,   /* from nobody: nobody would run them */
    POOL_WITHOUT_JOBS
};

struct pool_head {
    pthread_mutex_t manager; /* held by the thread that manages the pool */
    _Atomic uint64_t last_id;
    _Atomic uint64_t submitted; /* at least so many: who is killed may not have counted his */
    _Atomic uint64_t restarts;
    _Atomic uint64_t max_job_size;
    _Atomic uint32_t workers;    /* how many there are to be */
    _Atomic uint32_t slots_used; /* all others are as they were made */
    _Atomic uint32_t mood;
    _Alignas(64) _Atomic uint32_t waits_told; /* how often a job was left to wait in a slot … */
    _Atomic uint32_t waits_seen;              /* … of which so many are known to be taken: the same number, and there is none */
    _Atomic uint32_t nudges;                  /* messages in the queue that are no jobs */
    _Atomic uint32_t bell;                    /* see queue_bell.h */
};

/* Of a worker's index. Written by the manager alone. */
struct pool_row {
    _Atomic uint32_t slot; /* of its holder, plus 1; 0: there is none */
    _Atomic uint32_t phase; /* an enum proc_worker_state; IDLE stands for BUSY, too */
    _Atomic int32_t pid;
    _Atomic uint32_t generation;
    _Atomic uint64_t jobs; /* done by those before its holder, and by those that have been replaced */
    _Atomic int64_t started_ns;
};

struct pool_area {
    struct mapping mapping;
    struct pool_head *head;
    struct pool_row *rows; /* and one more, of who rings the queue's bell */
    struct slot *slots;
    char *messages;
    uint32_t row_count, slot_count;
    size_t message_size;
};

/* Makes it for so many workers if there is none, and says so. ENOSPC: what is there has not so much room; EINVAL: it is something
 * else. */
int pool_area_open(struct pool_area *area, key_t key, unsigned workers, bool *is_new);

/* ENOENT, EAGAIN, EIDRM: there is none, not yet, or not any more. */
int pool_area_attach(struct pool_area *area, key_t key);
void pool_area_close(struct pool_area *area); /* keeps errno */

/* What is received into a slot. */
struct slot_message *pool_area_message(const struct pool_area *area, uint32_t slot);
size_t pool_area_message_room(const struct pool_area *area);
struct slot_place pool_area_place(const struct pool_area *area, uint32_t slot);

/* There is one less: after its slot says that it is done with, so that it is not counted twice. */
void pool_area_nudge_taken(const struct pool_area *area);

/* Sums over the slots. */
struct pool_sums {
    uint64_t done, retried, dead;
    uint64_t came;
    size_t waiting; /* to be tried again, or to be judged by the manager */
};
struct pool_sums pool_area_sums(const struct pool_area *area);

#endif
