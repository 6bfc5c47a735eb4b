/* The manager's way with slots. Each step may be repeated: he may be killed after any of them, and his successor goes through all
 * of it again. */
#include "judge.h"

#include "futex.h"
#include "job_files.h"
#include "job_queue.h"
#include "kernel.h"
#include "queue_bell.h"

#include <limits.h>
#include <stdlib.h>

static struct slot *slot_of(const struct proc_pool *pool, uint32_t number)
{
    return &pool->area.slots[number];
}

/* ---- telling ---- */

static void tell(struct proc_pool *pool, enum proc_pool_event_type type, uint32_t number, pid_t pid)
{
    const struct slot *slot = slot_of(pool, number);
    struct job_body body = job_message_body(&pool->area, number);
    struct proc_job job = {slot->id, slot->attempt, body.data, body.size};
    void *file = NULL;

    if (!pool->options.event)
        return;
    if (body.is_in_file) {
        job.size = job_file_read(pool->queue, &body, &file) < 0 ? 0 : body.size;
        job.data = file;
    }
    pool_tell(pool, (struct happening){.type = type, .worker = (int)slot->index, .pid = pid, .job = &job});
    free(file);
}

/* ---- one slot ---- */

static bool is_owned(struct proc_pool *pool, uint32_t number)
{
    pthread_mutex_t *life = &slot_of(pool, number)->life;

    robust_set_up(life);
    if (robust_lock(life, 0) <= 0)
        return true;
    robust_unlock(life);
    return false;
}

/* Or starts: it may wait already. */
static bool somebody_is_idle(const struct proc_pool *pool)
{
    for (const struct runner *runner = pool->runners; runner; runner = runner->next)
        if (atomic_load(&slot_of(pool, runner->slot)->busy_since_ns) == 0)
            return true;
    return false;
}

static void announce_waiting(struct proc_pool *pool)
{
    atomic_fetch_add(&pool->area.head->waits_told, 1);
    if (somebody_is_idle(pool))
        job_queue_nudge(&pool->area, pool->queue);
}

/* It may have taken a nudge, and not come to look. */
static void nudge_if_any_waits(struct proc_pool *pool)
{
    const struct pool_head *head = pool->area.head;

    if (atomic_load(&head->waits_told) != atomic_load(&head->waits_seen) && somebody_is_idle(pool))
        job_queue_nudge(&pool->area, pool->queue);
}

/* As if it had gone to the end of the queue. */
static uint64_t due_now(const struct proc_pool *pool)
{
    return pool_area_sums(&pool->area).done + job_queue_length(&pool->area, pool->queue);
}

static void give_up(struct proc_pool *pool, uint32_t number, enum proc_pool_event_type type, pid_t pid)
{
    struct job_body body = job_message_body(&pool->area, number);

    tell(pool, type, number, pid);
    slot_give_up(slot_of(pool, number));
    job_file_remove(pool->queue, &body);
}

static bool is_given_up(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    const struct slot *slot = slot_of(pool, number);

    if (slot->flags & SLOT_DAMAGED)
        give_up(pool, number, PROC_POOL_JOB_DAMAGED, pid);
    else if (slot->attempt >= pool->options.max_attempts)
        give_up(pool, number, PROC_POOL_JOB_DEAD, pid);
    else
        return false;
    return true;
}

static void let_wait(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    tell(pool, PROC_POOL_JOB_RETRIED, number, pid);
    slot_let_wait(slot_of(pool, number), due_now(pool));
    announce_waiting(pool);
}

/* ---- a process that has ended ---- */

/* A file that it did not come to remove, after the job. */
static void remove_file(struct proc_pool *pool, uint32_t number)
{
    const struct slot *slot = slot_of(pool, number);

    if (slot_state(slot) != SLOT_DONE || atomic_load(&slot->length) < 0 ||
        atomic_load(&pool_area_message(&pool->area, number)->type) == 0)
        return;
    struct job_body body = job_message_body(&pool->area, number);
    job_file_remove(pool->queue, &body);
}

static void judge_nudge(struct proc_pool *pool, struct slot *slot)
{
    slot_set_state(slot, SLOT_DONE);
    pool_area_nudge_taken(&pool->area);
    announce_waiting(pool);
}

/* The job that it had in hand, or has failed in. */
static void judge_job(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    struct slot *slot = slot_of(pool, number);
    enum message_kind kind = MESSAGE_JOB;

    if (atomic_load(&slot->length) == SLOT_LENGTH_UNKNOWN)
        kind = job_message_settle(&pool->area, number, SLOT_LENGTH_UNKNOWN);
    if (kind == MESSAGE_NUDGE)
        judge_nudge(pool, slot);
    else if (!is_given_up(pool, number, pid))
        let_wait(pool, number, pid);
}

/* One of a client's is gone with its worker, and the client sees that. */
static void count_client_job(struct slot *slot)
{
    if (atomic_fetch_and(&slot->marks, ~SLOT_SERVES_CLIENT) & SLOT_SERVES_CLIENT)
        slot_count_dead(slot);
}

/* A job that was on its way from here to another slot is that one's matter. */
static void judge_contents(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    struct slot *slot = slot_of(pool, number);

    if (!slot_has_job(slot, pool_area_message(&pool->area, number)))
        remove_file(pool, number);
    else if (slot_state(slot) == SLOT_WAITING)
        announce_waiting(pool);
    else if (slot_state(slot) == SLOT_OPEN || slot_state(slot) == SLOT_FAILED)
        judge_job(pool, number, pid);
}

/* It was about to take a job, or its manager was to move one to it. */
static void settle_move(struct proc_pool *pool, uint32_t number)
{
    uint32_t taking = atomic_load(&slot_of(pool, number)->taking);

    if (taking == 0 || taking > pool->area.slot_count)
        return;
    struct slot_place from = pool_area_place(&pool->area, taking - 1), to = pool_area_place(&pool->area, number);
    slot_settle_move(&from, &to);
    if (slot_state(from.slot) == SLOT_WAITING)
        announce_waiting(pool);
    else if (slot_state(from.slot) == SLOT_FAILED && !is_owned(pool, from.number))
        judge_contents(pool, from.number, atomic_load(&from.slot->pid));
}

void judge_note_done(struct proc_pool *pool, uint32_t number)
{
    struct slot *slot = slot_of(pool, number);
    uint64_t done = slot_done(slot), before = slot->done_before;

    slot->done_before = done;
    if (slot->index < pool->area.row_count)
        atomic_fetch_add(&pool->area.rows[slot->index].jobs, done - before);
}

void judge_dead(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    struct slot *slot = slot_of(pool, number);

    judge_note_done(pool, number);
    slot_settle_counts(slot);
    settle_move(pool, number);
    atomic_store(&slot->busy_since_ns, 0);
    count_client_job(slot);
    judge_contents(pool, number, pid);
    nudge_if_any_waits(pool);
    if (pool->bell >= 0) /* it may have silenced it, and not come to look */
        queue_bell_may_ring(pool->area.head);
}

/* ---- one that lives ---- */

/* Without a free slot the job stays where it is, and its worker tries it again. */
static void part(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    struct slot_place from = pool_area_place(&pool->area, number);
    uint32_t spare = number;

    if (judge_find_free(pool, &spare)) {
        struct slot_place to = pool_area_place(&pool->area, spare);

        to.slot->index = from.slot->index;
        slot_part(&from, &to);
    }
    let_wait(pool, spare, pid);
}

void judge_failed(struct proc_pool *pool, uint32_t number, pid_t pid)
{
    struct slot *slot = slot_of(pool, number);

    if (slot_state(slot) != SLOT_FAILED)
        return;
    if (!is_given_up(pool, number, pid))
        part(pool, number, pid);
    atomic_fetch_add(&slot->judged, 1);
    futex_wake(&slot->judged, 1);
}

/* ---- free slots, and those of processes that others have started ---- */

static bool is_free(struct proc_pool *pool, uint32_t number)
{
    return !pool->by_slot[number] && !pool->foreign[number] &&
           !slot_has_job(slot_of(pool, number), pool_area_message(&pool->area, number)) && !is_owned(pool, number);
}

bool judge_find_free(struct proc_pool *pool, uint32_t *slot)
{
    struct pool_head *head = pool->area.head;
    uint32_t count = pool->area.slot_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = (pool->next_slot + i) % count;

        if (!is_free(pool, number))
            continue;
        pool->next_slot = (number + 1) % count;
        if (atomic_load(&head->slots_used) <= number)
            atomic_store(&head->slots_used, number + 1);
        slot_settle_counts(slot_of(pool, number));
        *slot = number;
        return true;
    }
    return false;
}

void judge_what_was_left(struct proc_pool *pool)
{
    uint32_t used = atomic_load(&pool->area.head->slots_used);

    for (uint32_t i = 0; i < used && i < pool->area.slot_count; i++) {
        pool->foreign[i] = is_owned(pool, i);
        if (pool->foreign[i])
            pool->foreign_count++;
        else
            judge_dead(pool, i, atomic_load(&slot_of(pool, i)->pid));
    }
}

bool judge_foreign(struct proc_pool *pool)
{
    for (uint32_t i = 0; pool->foreign_count > 0 && i < pool->area.slot_count; i++) {
        if (!pool->foreign[i] || is_owned(pool, i))
            continue;
        pool->foreign[i] = false;
        pool->foreign_count--;
        judge_dead(pool, i, atomic_load(&slot_of(pool, i)->pid));
    }
    return pool->foreign_count > 0;
}

bool judge_has_jobs(const struct proc_pool *pool)
{
    uint32_t used = atomic_load(&pool->area.head->slots_used);

    if (job_queue_messages(pool->queue) > 0)
        return true;
    for (uint32_t i = 0; i < used; i++)
        if (slot_has_job(slot_of(pool, i), pool_area_message(&pool->area, i)))
            return true;
    return false;
}
