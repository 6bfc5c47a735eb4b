/* A worker's way to its next job: one that waits in another slot, if its turn has come; else a message, received straight into
 * its own slot; else one that waits, whatever its turn.
 *
 * Who waits for a message does so with nothing to be tried again: that is looked at after busy_since_ns says that the worker is
 * idle, and the manager looks at that after he has let a job wait. One of the two sees the other. */
#include "job_queue.h"

#include "futex.h"
#include "job_files.h"
#include "kernel.h"
#include "leaving.h"
#include "message.h"
#include "queue_bell.h"

#include <stdlib.h>
#include <sys/msg.h>

/* So many may wait for their turn; beyond that one of them is taken first, so that slots do not run out. */
#define MOST_WAITING 32

static struct job_queue *jobs_of(struct job_source *source)
{
    return (struct job_queue *)source;
}

static struct slot *own_slot(const struct job_queue *jobs)
{
    return &jobs->area->slots[jobs->slot];
}

/* ---- jobs that wait in slots ---- */

struct waiting {
    unsigned count;
    uint32_t first; /* whose turn comes first */
    bool is_due;
};

static struct waiting look_for_waiting(const struct pool_area *area)
{
    uint32_t used = atomic_load(&area->head->slots_used);
    uint64_t done = 0, due = 0;
    struct waiting waiting = {.count = 0};

    for (uint32_t i = 0; i < used; i++) {
        const struct slot *slot = &area->slots[i];

        done += slot_done(slot);
        if (slot_state(slot) != SLOT_WAITING)
            continue;
        if (waiting.count++ == 0 || slot->due < due) {
            due = slot->due;
            waiting.first = i;
        }
    }
    waiting.is_due = waiting.count > 0 && (due <= done || waiting.count > MOST_WAITING);
    return waiting;
}

/* any: whether its turn has come or not. */
static bool take_waiting(struct job_queue *jobs, bool any)
{
    const struct pool_area *area = jobs->area;

    for (;;) {
        uint32_t told = atomic_load(&area->head->waits_told);
        struct waiting waiting = look_for_waiting(area);
        struct slot_place from = pool_area_place(area, waiting.first), to = pool_area_place(area, jobs->slot);

        if (waiting.count == 0)
            atomic_store(&area->head->waits_seen, told);
        if (waiting.count == 0 || !(any || waiting.is_due))
            return false;
        if (slot_take_over(&from, &to))
            return true;
    }
}

/* ---- messages ---- */

static long receive(struct job_queue *jobs, int flags)
{
    struct slot_message *message = pool_area_message(jobs->area, jobs->slot);

    slot_open(own_slot(jobs), message);
    leaving_wait_begins();
    long result = -EINTR;
    if (!leaving.asked)
        result = raw(SYS_msgrcv, jobs->queue, (void *)&message->type, pool_area_message_room(jobs->area), 0L, flags);
    leaving_wait_ends();
    return result;
}

/* One that is longer than any could be when the pool's memory was made: what fits is taken, and reported. Another worker may have
 * been faster, and this be the next one. */
static long receive_part(struct job_queue *jobs, bool *is_cut)
{
    long result = receive(jobs, IPC_NOWAIT | MSG_NOERROR);

    *is_cut = result == (long)pool_area_message_room(jobs->area);
    return result;
}

/* 1: a job; 0: a nudge. */
static int look_at(struct job_queue *jobs, long length, bool is_cut)
{
    if (job_message_settle(jobs->area, jobs->slot, length) == MESSAGE_NUDGE) {
        slot_set_state(own_slot(jobs), SLOT_DONE);
        pool_area_nudge_taken(jobs->area);
        return 0;
    }
    if (is_cut)
        own_slot(jobs)->flags |= SLOT_BARE | SLOT_DAMAGED;
    return 1;
}

/* 1; 0: none, or a signal; -1 with errno. */
static int take_message(struct job_queue *jobs, int flags)
{
    bool is_cut = false;
    long result = receive(jobs, flags);

    if (result == -E2BIG)
        result = receive_part(jobs, &is_cut);
    if (result >= 0)
        return look_at(jobs, result, is_cut);
    return result == -EINTR || result == -ENOMSG ? 0 : (int)kernel_result(result);
}

/* ---- a job that was left to the manager ---- */

/* There was no free slot to move it to. Somebody else may take it from here in the same moment. */
static bool try_own_again(struct slot *slot)
{
    return slot_state(slot) == SLOT_WAITING && slot_reopen(slot);
}

static bool is_with_manager(const struct slot *slot)
{
    enum slot_state state = slot_state(slot);

    return state == SLOT_FAILED || state == SLOT_PARTING || state == SLOT_MOVING || state == SLOT_DEAD;
}

/* Sleeps until it is, but for the time that another worker copies it, which is short. */
static void sleep_until_judged(struct slot *slot)
{
    uint32_t judged = atomic_load(&slot->judged);

    leaving_wait_begins();
    if (!leaving.asked && is_with_manager(slot))
        futex_sleep(&slot->judged, judged, slot_state(slot) == SLOT_MOVING ? deadline_in(1) : deadline_in(-1));
    leaving_wait_ends();
}

void job_queue_wait_for_judgement(struct job_queue *jobs)
{
    struct slot *slot = own_slot(jobs);

    while (!leaving.asked && !slot_is_free(slot)) {
        if (try_own_again(slot)) {
            jobs->tries_own = true;
            return;
        }
        sleep_until_judged(slot);
    }
}

/* ---- the source ---- */

/* -EBADMSG: as the job is, it cannot be run. */
static long show(struct job_queue *jobs, struct taken_job *taken)
{
    const struct slot *slot = own_slot(jobs);
    struct job_body body = job_message_body(jobs->area, jobs->slot);

    *taken = (struct taken_job){{slot->id, slot->attempt, body.data, body.size}, &jobs->source};
    if (slot->flags & SLOT_DAMAGED)
        return -EBADMSG;
    if (!body.is_in_file)
        return 0;
    long result = job_file_read(jobs->queue, &body, &jobs->file);
    taken->job.data = jobs->file;
    return result;
}

static int take_something(struct job_queue *jobs)
{
    struct pool_head *head = jobs->area->head;

    if (jobs->tries_own) {
        jobs->tries_own = false;
        return 1;
    }
    if (atomic_load(&head->waits_told) == atomic_load(&head->waits_seen))
        return take_message(jobs, jobs->bell < 0 ? 0 : IPC_NOWAIT);
    if (take_waiting(jobs, false))
        return 1;
    int taken = take_message(jobs, IPC_NOWAIT);
    return taken != 0 ? taken : take_waiting(jobs, true);
}

static enum job_fate fail_job(struct job_source *source, struct taken_job *unused)
{
    struct job_queue *jobs = jobs_of(source);

    (void)unused;
    free(jobs->file);
    jobs->file = NULL;
    slot_set_state(own_slot(jobs), SLOT_FAILED);
    return JOB_LEFT_TO_MANAGER;
}

static int hand_out(struct job_queue *jobs, struct taken_job *taken)
{
    long failure = show(jobs, taken);

    if (failure == -EBADMSG)
        own_slot(jobs)->flags |= SLOT_DAMAGED;
    return failure < 0 ? JOB_NOT_RUN : 1;
}

static int take(struct job_source *source, struct taken_job *taken)
{
    struct job_queue *jobs = jobs_of(source);

    while (!leaving.asked) {
        int result = take_something(jobs);

        if (result != 0)
            return result < 0 ? -1 : hand_out(jobs, taken);
    }
    return 0;
}

/* Where the bell tells of messages. */
static int take_if_any(struct job_source *source, struct taken_job *taken)
{
    struct job_queue *jobs = jobs_of(source);

    if (leaving.asked)
        return 0;
    int result = take_something(jobs);
    if (result == 0) {
        queue_bell_silence(jobs->bell);
        result = take_something(jobs);
        if (result > 0)
            queue_bell_ring(jobs->bell);
        else
            queue_bell_may_ring(jobs->area->head);
    }
    return result > 0 ? hand_out(jobs, taken) : result;
}

static void finish(struct job_source *source, struct taken_job *unused)
{
    struct job_queue *jobs = jobs_of(source);

    (void)unused;
    slot_finish(own_slot(jobs));
    if (__builtin_expect(jobs->file != NULL, 0)) {
        struct job_body body = job_message_body(jobs->area, jobs->slot);

        job_file_remove(jobs->queue, &body);
        free(jobs->file);
        jobs->file = NULL;
    }
}

void job_queue_init(struct job_queue *jobs, const struct pool_area *area, int queue, uint32_t slot, int bell)
{
    *jobs = (struct job_queue){
        .source = {.take = bell < 0 ? take : take_if_any, .done = finish, .give_back = fail_job},
        .area = area,
        .queue = queue,
        .slot = slot,
        .bell = bell,
    };
}
