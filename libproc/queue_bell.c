/* A message is not taken by one who has no room for it: the kernel tells him that there is one, and he need not look again and
 * again. Only a message without any bytes comes to him: it is left in his slot, for a worker to fetch it there. */
#include "queue_bell.h"

#include "ends.h"
#include "futex.h"
#include "job_message.h"
#include "kernel.h"
#include "leaving.h"

#include <sys/eventfd.h>
#include <sys/ipc.h>

enum { SILENT, RINGS }; /* pool_head's bell: whether a worker is still to look */

#define FETCH_POLL_MS 20

int queue_bell_open(void)
{
    return fd_above_stdio((int)sys(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* ---- in a worker ---- */

void queue_bell_silence(int bell)
{
    uint64_t count;

    raw(SYS_read, bell, &count, sizeof count);
}

void queue_bell_ring(int bell)
{
    uint64_t one = 1;

    raw(SYS_write, bell, &one, sizeof one);
}

void queue_bell_may_ring(struct pool_head *head)
{
    if (atomic_exchange(&head->bell, SILENT) == RINGS)
        futex_wake(&head->bell, 1);
}

/* ---- who rings ---- */

static void sleep_while(const _Atomic uint32_t *word, uint32_t value, struct deadline deadline)
{
    leaving_wait_begins();
    if (!leaving.asked)
        futex_sleep(word, value, deadline);
    leaving_wait_ends();
}

static void ring_and_wait(struct pool_head *head, int bell)
{
    atomic_store(&head->bell, RINGS);
    queue_bell_ring(bell);
    while (!leaving.asked && atomic_load(&head->bell) == RINGS)
        sleep_while(&head->bell, RINGS, deadline_in(-1));
}

static long look(const struct slot_place *own, int queue)
{
    slot_open(own->slot, own->message);
    leaving_wait_begins();
    long result = leaving.asked ? -EINTR : raw(SYS_msgrcv, queue, (void *)&own->message->type, 0L, 0L, 0);
    leaving_wait_ends();
    return result;
}

/* As if it had not been tried yet. Who fetches it says nothing; and nobody may come for a long time, nor is there any haste. */
static void let_fetch(const struct pool_area *area, const struct slot_place *own, int bell)
{
    own->slot->attempt = 0;
    own->slot->due = 0;
    slot_set_state(own->slot, SLOT_WAITING);
    atomic_fetch_add(&area->head->waits_told, 1);
    while (!leaving.asked && !slot_is_free(own->slot)) {
        atomic_store(&area->head->bell, RINGS);
        queue_bell_ring(bell);
        sleep_while(&area->head->bell, RINGS, deadline_in(FETCH_POLL_MS));
    }
}

static void take_empty(const struct pool_area *area, const struct slot_place *own, int bell)
{
    if (job_message_settle(area, own->number, 0) == MESSAGE_JOB) {
        let_fetch(area, own, bell);
        return;
    }
    slot_set_state(own->slot, SLOT_DONE);
    pool_area_nudge_taken(area);
    ring_and_wait(area->head, bell);
}

int queue_bell_serve(const struct pool_area *area, int queue, uint32_t slot, int bell)
{
    struct slot_place own = pool_area_place(area, slot);

    while (!leaving.asked) {
        long result = look(&own, queue);

        if (result == -E2BIG)
            ring_and_wait(area->head, bell);
        else if (result == 0)
            take_empty(area, &own, bell);
        else if (result != -EINTR)
            return (int)kernel_result(result);
    }
    return 0;
}
