/* Jobs and messages on their way into a pool. */
#include "deadline.h"
#include "job_queue.h"
#include "kernel.h"
#include "manager.h"
#include "notice_board.h"
#include "packet.h"
#include "worker.h"

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- jobs ---- */

/* The worker that this process is, of this pool or of another one under the same manager. */
static struct proc_worker *worker_beside(const struct proc_pool *pool)
{
    struct proc_worker *worker = worker_current();

    return worker && pool->stage != POOL_NOT_BEGUN && worker->pool->manager_pid == pool->manager_pid ? worker : NULL;
}

/* What the pool's mood says of a job. */
static int may_submit(const struct proc_pool *pool)
{
    switch ((enum pool_mood)atomic_load_explicit(&pool->area.head->mood, memory_order_relaxed)) {
    case POOL_OPEN:
        return 0;
    case POOL_DRAINING:
        return worker_beside(pool) ? 0 : fail(ESHUTDOWN);
    case POOL_CLOSED:
        return fail(ESHUTDOWN);
    case POOL_WITHOUT_JOBS:
        break;
    }
    return fail(EINVAL);
}

#define FIRST_PAUSE_NS INT64_C(50000)
#define LONGEST_PAUSE_NS INT64_C(1000000)

/* Who makes room may need the manager: so he does not wait without doing his work, and not at all while he is at it. */
static int submit_as_manager(struct proc_pool *pool, const void *data, size_t size, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    int64_t pause_ns = FIRST_PAUSE_NS;
    int result;

    while ((result = job_queue_submit(&pool->area, pool->queue, data, size, 0)) == 0 && deadline_left_ns(deadline) > 0) {
        struct deadline pause = {monotonic_ns() + pause_ns};

        if (pool->manager->is_at_it)
            return fail(EDEADLK);
        if (manager_step(pool->manager, pause.at_ns < deadline.at_ns ? pause : deadline) < 0 || may_submit(pool) < 0)
            return -1;
        pause_ns = pause_ns < LONGEST_PAUSE_NS / 2 ? 2 * pause_ns : LONGEST_PAUSE_NS;
    }
    return result;
}

int proc_pool_submit(struct proc_pool *pool, const void *data, size_t size, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (may_submit(pool) < 0)
        return -1;
    if (timeout_ms != 0 && pool_is_managed_here(pool) && pool->manager->thread == (pid_t)raw(SYS_gettid))
        return submit_as_manager(pool, data, size, timeout_ms);
    return job_queue_submit(&pool->area, pool->queue, data, size, timeout_ms);
}

/* ---- messages ---- */

/* To the manager, by the way of the pool that the message is for. */
static int send_from_worker(struct proc_pool *pool, const struct proc_worker *worker, struct letter_head head, const void *data)
{
    struct notice notice = worker_notice(worker, NOTICE_LETTER);
    struct packet packet = {.data = (void *)data, .size = head.size, .fds = PACKET_NO_FDS};

    head.from = (int32_t)worker->index;
    notice.letter = head;
    if (head.size > LETTER_IN_PACKET) {
        long file = letter_make_file(data, head.size);

        if (file < 0)
            return fail((int)-file);
        packet.fds[0] = (int)file;
        packet.size = 0;
    }
    long result = notice_send(notices_way_in(&pool->notices), &notice, &packet);
    packet_close_fds(&packet);
    return result < 0 ? fail((int)-result) : 0;
}

int proc_pool_send(struct proc_pool *pool, unsigned worker, const void *data, size_t size)
{
    struct letter_head head = {.from = -1, .to = (int32_t)worker, .size = size};
    struct proc_worker *sender = worker_beside(pool);

    if (worker >= atomic_load(&pool->area.head->workers))
        return fail(EINVAL);
    if (sender)
        return send_from_worker(pool, sender, head, data);
    if (!pool_is_managed_here(pool))
        return fail(EPERM);
    return pool->stage == POOL_STOPS ? fail(ESHUTDOWN) : notice_board_post(pool, head, data);
}
