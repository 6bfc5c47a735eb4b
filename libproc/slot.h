/* A slot: a worker process's place in the shared memory, and the job that it has in hand.
 *
 * At any instant a job is in the queue or in exactly one slot, whoever is killed. So every step is one store, and what is
 * written before it may be written again. The state and the number of jobs done are one word: a job is done and counted in the
 * same instant.
 *
 * A worker's room is its own from its birth to its end. A job that it leaves behind waits where it lies, until another worker
 * moves it into its own slot; that one first says which it takes, so that a job which is found on the way can be told from one
 * that has arrived. */
#ifndef LIBPROC_SLOT_H
#define LIBPROC_SLOT_H

#include "robust.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

enum slot_state {
    SLOT_EMPTY,   /* as it was made; or its job has been moved, of which the text is still there */
    SLOT_OPEN,    /* for a message; if there is one, it is the job in hand */
    SLOT_DONE,    /* the job that is in it does not matter any more */
    SLOT_FAILED,  /* the job's function has not returned 0: the manager is to judge it */
    SLOT_PARTING, /* … and moves it out of a living worker's way */
    SLOT_WAITING, /* the job is to be tried again */
    SLOT_MOVING,  /* … and is on its way to the slot of the worker that does */
    SLOT_DEAD     /* the job has been given up, which is still to be counted */
};

#define SLOT_DAMAGED 0x01u /* the job's length is not known, or it was longer than the room */
#define SLOT_BARE 0x02u    /* without a header: another program's */

#define SLOT_LENGTH_UNKNOWN (-1)

/* What becomes of a process, as it says itself. */
#define SLOT_LEAVES 0x01u   /* it was asked to */
#define SLOT_REPLACED 0x02u /* it has done its share of jobs */
#define SLOT_SERVES_CLIENT 0x04u /* with a job that is not in the slot */

struct slot {
    pthread_mutex_t life; /* held by the process whose slot it is */
    _Atomic uint64_t word; /* state, where it moves to, jobs done */
    _Atomic uint64_t retried, retried_next, dead, dead_next;
    _Atomic uint64_t came, came_next; /* jobs, each when it first has a worker */

    /* The job: valid from when its length is known. */
    _Atomic int64_t length; /* of the message's text */
    uint64_t id;
    uint64_t due; /* WAITING: when so many jobs are done */
    uint32_t attempt;
    uint32_t flags;

    /* The process. */
    _Atomic uint32_t taking; /* the slot whose job it takes, plus 1 */
    _Atomic uint32_t judged; /* how often a job of its owner's was; who waits for that sleeps on it */
    _Atomic uint32_t marks;
    _Atomic int32_t pid;
    uint32_t index;
    uint64_t done_before; /* by those that had the slot before */
    _Atomic int64_t busy_since_ns, alive_ns;
} __attribute__((aligned(64)));

/* As msgrcv() wants it; the text begins a cache line. */
struct slot_message {
    _Alignas(64) char unused[64 - sizeof(long)];
    _Atomic long type; /* 0: none */
    char text[];
};

static inline enum slot_state slot_state(const struct slot *slot)
{
    return (enum slot_state)(atomic_load(&slot->word) >> 60);
}

static inline uint64_t slot_done(const struct slot *slot)
{
    return atomic_load(&slot->word) & (((uint64_t)1 << 44) - 1);
}

/* Keeps the count. By its owner, or the manager. */
void slot_set_state(struct slot *slot, enum slot_state state);

/* The job is done, and counted. */
void slot_finish(struct slot *slot);

/* Empties it for the next message. */
void slot_open(struct slot *slot, struct slot_message *message);

/* Whether its owner may open it again. */
static inline bool slot_is_free(const struct slot *slot)
{
    enum slot_state state = slot_state(slot);

    return state == SLOT_EMPTY || state == SLOT_DONE;
}

/* Whether there is anything in it that must not be lost. */
bool slot_has_job(const struct slot *slot, const struct slot_message *message);

struct slot_place {
    struct slot *slot;
    struct slot_message *message;
    uint32_t number;
};

/* Takes the job that waits in `from` into `to`, which is the caller's: false if somebody else has. Its attempt is one more. */
bool slot_take_over(const struct slot_place *from, const struct slot_place *to);

/* Moves a failed job away from its living worker, to a slot without owner. */
void slot_part(const struct slot_place *from, const struct slot_place *to);

/* The owner of `to` is dead, and may have been about to do one of the two: now the job is as it was, or in `to` alone. */
void slot_settle_move(const struct slot_place *from, const struct slot_place *to);

/* The owner tries the job that waits in its own slot again: false if somebody else has taken it. */
bool slot_reopen(struct slot *slot);

/* By the manager: the job waits, and is to be tried again when so many are done; or is given up. Both may be repeated. */
void slot_let_wait(struct slot *slot, uint64_t due);
void slot_give_up(struct slot *slot);

/* By the owner, around what makes it its job: a new one has come. */
static inline void slot_job_comes(struct slot *slot)
{
    atomic_store_explicit(&slot->came_next, atomic_load_explicit(&slot->came, memory_order_relaxed) + 1, memory_order_release);
}

static inline void slot_job_has_come(struct slot *slot)
{
    atomic_store_explicit(&slot->came, atomic_load_explicit(&slot->came_next, memory_order_relaxed), memory_order_release);
}

/* What a process that was killed has begun of that. */
void slot_settle_counts(struct slot *slot);

/* A client's job, which is not in the slot, was tried again, or given up. */
void slot_count_retry(struct slot *slot);
void slot_count_dead(struct slot *slot);

#endif
