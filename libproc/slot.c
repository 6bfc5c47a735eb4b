/* The steps of a job from slot to slot. Whatever comes first in the text comes first for those who look at a dead process's
 * slot. */
#include "slot.h"

#include <string.h>

#define STATE_SHIFT 60
#define PLACE_SHIFT 44
#define DONE_MASK (((uint64_t)1 << PLACE_SHIFT) - 1)

static uint64_t word_of(enum slot_state state, uint32_t place, uint64_t done)
{
    return (uint64_t)state << STATE_SHIFT | (uint64_t)place << PLACE_SHIFT | done;
}

void slot_set_state(struct slot *slot, enum slot_state state)
{
    atomic_store(&slot->word, word_of(state, 0, slot_done(slot)));
}

void slot_finish(struct slot *slot)
{
    atomic_store_explicit(&slot->word, word_of(SLOT_DONE, 0, (slot_done(slot) + 1) & DONE_MASK), memory_order_release);
}

/* A header that was there before is made invalid: one of another program's messages may be too short to do so. */
void slot_open(struct slot *slot, struct slot_message *message)
{
    if (atomic_load_explicit(&message->type, memory_order_relaxed) != 0) {
        atomic_store_explicit(&message->type, 0, memory_order_release);
        memset(message->text, 0, sizeof(uint64_t));
    }
    atomic_store_explicit(&slot->length, SLOT_LENGTH_UNKNOWN, memory_order_release);
    atomic_store_explicit(&slot->word, word_of(SLOT_OPEN, 0, slot_done(slot)), memory_order_release);
}

bool slot_has_job(const struct slot *slot, const struct slot_message *message)
{
    switch (slot_state(slot)) {
    case SLOT_EMPTY:
    case SLOT_DONE:
        return false;
    case SLOT_OPEN:
        return atomic_load(&message->type) != 0;
    default:
        return true;
    }
}

/* ---- from slot to slot ---- */

static void copy_job(const struct slot_place *from, const struct slot_place *to, uint32_t more_attempts)
{
    const struct slot *job = from->slot;
    int64_t length = atomic_load(&job->length);

    to->slot->id = job->id;
    to->slot->attempt = job->attempt + more_attempts;
    to->slot->flags = job->flags;
    memcpy(to->message->text, from->message->text, (size_t)length);
    atomic_store(&to->slot->length, length);
    atomic_store(&to->message->type, atomic_load(&from->message->type));
}

static bool move(const struct slot_place *from, enum slot_state expected, enum slot_state on_its_way,
                 const struct slot_place *to, uint32_t more_attempts)
{
    uint64_t done = slot_done(from->slot);
    uint64_t before = word_of(expected, 0, done);

    slot_open(to->slot, to->message);
    atomic_store(&to->slot->taking, from->number + 1);
    bool is_ours = atomic_compare_exchange_strong(&from->slot->word, &before, word_of(on_its_way, to->number, done));
    if (is_ours) {
        copy_job(from, to, more_attempts);
        slot_set_state(from->slot, SLOT_EMPTY);
    }
    atomic_store(&to->slot->taking, 0);
    return is_ours;
}

bool slot_take_over(const struct slot_place *from, const struct slot_place *to)
{
    return move(from, SLOT_WAITING, SLOT_MOVING, to, 1);
}

void slot_part(const struct slot_place *from, const struct slot_place *to)
{
    move(from, SLOT_FAILED, SLOT_PARTING, to, 0);
}

static void settle(const struct slot_place *from, enum slot_state on_its_way, enum slot_state before,
                   const struct slot_place *to)
{
    uint64_t done = slot_done(from->slot);
    uint64_t word = word_of(on_its_way, to->number, done);
    bool has_arrived = atomic_load(&to->message->type) != 0;

    atomic_compare_exchange_strong(&from->slot->word, &word, word_of(has_arrived ? SLOT_EMPTY : before, 0, done));
}

void slot_settle_move(const struct slot_place *from, const struct slot_place *to)
{
    settle(from, SLOT_MOVING, SLOT_WAITING, to);
    settle(from, SLOT_PARTING, SLOT_FAILED, to);
    atomic_store(&to->slot->taking, 0);
}

/* If it is killed before it has counted the attempt, the job has one more: nothing is lost. */
bool slot_reopen(struct slot *slot)
{
    uint64_t done = slot_done(slot), waiting = word_of(SLOT_WAITING, 0, done);

    if (!atomic_compare_exchange_strong(&slot->word, &waiting, word_of(SLOT_OPEN, 0, done)))
        return false;
    slot->attempt++;
    return true;
}

/* ---- by the manager ---- */

void slot_let_wait(struct slot *slot, uint64_t due)
{
    slot->due = due;
    atomic_store(&slot->retried_next, atomic_load(&slot->retried) + 1);
    slot_set_state(slot, SLOT_WAITING);
    slot_settle_counts(slot);
}

void slot_give_up(struct slot *slot)
{
    atomic_store(&slot->dead_next, atomic_load(&slot->dead) + 1);
    slot_set_state(slot, SLOT_DEAD);
    slot_settle_counts(slot);
}

void slot_count_retry(struct slot *slot)
{
    atomic_store(&slot->retried_next, atomic_load(&slot->retried) + 1);
    atomic_store(&slot->retried, atomic_load(&slot->retried_next));
}

void slot_count_dead(struct slot *slot)
{
    atomic_store(&slot->dead_next, atomic_load(&slot->dead) + 1);
    atomic_store(&slot->dead, atomic_load(&slot->dead_next));
}

static bool has_job_that_came(const struct slot *slot)
{
    if (atomic_load(&slot->marks) & SLOT_SERVES_CLIENT)
        return true;
    return slot_state(slot) == SLOT_OPEN && atomic_load(&slot->length) != SLOT_LENGTH_UNKNOWN;
}

void slot_settle_counts(struct slot *slot)
{
    enum slot_state state = slot_state(slot);

    if (has_job_that_came(slot))
        slot_job_has_come(slot);
    if (state != SLOT_OPEN && state != SLOT_FAILED) /* in which it is still to be judged */
        atomic_store(&slot->retried, atomic_load(&slot->retried_next));
    if (state == SLOT_DEAD) {
        atomic_store(&slot->dead, atomic_load(&slot->dead_next));
        slot_set_state(slot, SLOT_DONE);
    }
}
