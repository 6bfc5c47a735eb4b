/* Reading the scoreboard. Nothing is locked: it is a picture of what moves. */
#include "pool_state.h"

#include "job_queue.h"
#include "kernel.h"

#include <errno.h>
#include <sys/msg.h>

static const struct slot *slot_of(const struct pool_area *area, const struct pool_row *row)
{
    uint32_t slot = atomic_load(&row->slot);

    return slot > 0 && slot <= area->slot_count ? &area->slots[slot - 1] : NULL;
}

static struct proc_worker_stats read_row(const struct pool_area *area, const struct pool_row *row)
{
    const struct slot *slot = slot_of(area, row);
    unsigned generation = atomic_load(&row->generation);
    struct proc_worker_stats stats = {
        .pid = atomic_load(&row->pid),
        .state = (enum proc_worker_state)atomic_load(&row->phase),
        .jobs = atomic_load(&row->jobs),
        .restarts = generation > 1 ? generation - 1 : 0,
        .started_ns = atomic_load(&row->started_ns),
    };

    if (!slot)
        return stats;
    stats.jobs += slot_done(slot) - slot->done_before;
    stats.busy_since_ns = atomic_load(&slot->busy_since_ns);
    if (stats.state == PROC_WORKER_IDLE && stats.busy_since_ns != 0)
        stats.state = PROC_WORKER_BUSY;
    return stats;
}

static uint64_t larger(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

/* A job that is on its way from the queue to a worker may be seen in neither; and who was killed when he had just handed one
 * in has not counted it. */
static void read_all(struct proc_pool *pool, struct proc_pool_stats *stats)
{
    const struct pool_area *area = &pool->area;
    struct pool_sums sums = pool_area_sums(area);
    size_t in_queue = job_queue_length(area, pool->queue);

    *stats = (struct proc_pool_stats){
        .workers = atomic_load(&area->head->workers),
        .submitted = larger(atomic_load(&area->head->submitted), sums.came + in_queue),
        .done = sums.done,
        .retried = sums.retried,
        .dead = sums.dead,
        .restarts = atomic_load(&area->head->restarts),
        .queued = in_queue + sums.waiting,
    };
    for (unsigned i = 0; i < stats->workers && i < area->row_count; i++) {
        enum proc_worker_state state = read_row(area, &area->rows[i]).state;

        stats->idle += state == PROC_WORKER_IDLE;
        stats->busy += state == PROC_WORKER_BUSY;
    }
}

static int is_there(const struct proc_pool *pool)
{
    struct msqid_ds status = {.msg_qnum = 0};

    return pool->queue < 0 ? 0 : (int)sys(SYS_msgctl, pool->queue, IPC_STAT, &status);
}

int proc_pool_stats(struct proc_pool *pool, struct proc_pool_stats *stats, struct proc_worker_stats *workers, size_t nworkers)
{
    const struct pool_area *area = &pool->area;
    unsigned count = atomic_load(&area->head->workers);

    if (is_there(pool) < 0)
        return -1;
    if (stats)
        read_all(pool, stats);
    for (size_t i = 0; i < nworkers; i++)
        workers[i] = i < count && i < area->row_count ? read_row(area, &area->rows[i])
                                                      : (struct proc_worker_stats){.state = PROC_WORKER_GONE};
    return 0;
}
