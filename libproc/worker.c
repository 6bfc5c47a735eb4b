/* The life of a worker: it gets hold of its slot, says that it is ready, and runs jobs, or the program's own loop, until it is
 * asked to leave. */
#include "worker.h"

#include "deadline.h"
#include "kernel.h"
#include "large_files.h"
#include "leaving.h"
#include "queue_bell.h"
#include "serving.h"

#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>

/* What a process is, as its signals are its own. */
static struct proc_worker *current;

struct proc_worker *worker_current(void)
{
    return current && current->pid == (pid_t)raw(SYS_getpid) ? current : NULL;
}

/* ---- birth ---- */

/* The way to its manager, and to those of the other pools that he manages. */
void worker_keep(void *arg)
{
    struct proc_pool *pool = ((const struct runner *)arg)->pool;

    ends_keep(&pool->passed);
    for (size_t i = 0; i < pool->sibling_count; i++)
        if (pool_has_begun(pool->siblings[i]))
            ends_keep(&pool->siblings[i]->notices.workers);
}

void worker_prepare(void *arg)
{
    const struct runner *runner = arg;

    leaving_prepare(runner->pool->manager_pid);
}

/* The message's pages are mapped and stay: a process that is killed while a message arrives cannot fetch them any more. Where
 * there may be no lock on memory, they are only touched. */
static void hold_pages(const struct proc_worker *worker)
{
    const struct pool_area *area = &worker->pool->area;
    volatile char *message = (volatile char *)pool_area_message(area, worker->slot);

    for (size_t i = 0; i < area->message_size; i += 4096)
        __atomic_fetch_or(&message[i], 0, __ATOMIC_RELAXED);
    raw(SYS_mlock, message, area->message_size);
}

/* Another manager's worker may have it still: it has been forked, and not got here yet. */
static bool take_slot(const struct proc_worker *worker)
{
    struct slot *slot = worker_slot(worker);

    robust_set_up(&slot->life);
    if (robust_lock(&slot->life, 0) <= 0)
        return false;
    atomic_store(&slot->pid, worker->pid);
    atomic_store(&slot->alive_ns, monotonic_ns());
    hold_pages(worker);
    return true;
}

/* Up to a quarter less than all of them, so that not all workers are replaced at once. */
static unsigned share_of_jobs(unsigned most)
{
    uint32_t chance = 0;

    if (most < 4)
        return most;
    raw(SYS_getrandom, &chance, sizeof chance, 0);
    return most - chance % (most / 4 + 1);
}

static void init(struct proc_worker *worker, const struct runner *runner)
{
    *worker = (struct proc_worker){
        .pool = runner->pool,
        .pid = (pid_t)raw(SYS_getpid),
        .slot = runner->slot,
        .index = runner->index,
        .generation = runner->generation,
        .serial = runner->serial,
        .mailbox = -1,
        .fd = -1,
        .jobs_left = share_of_jobs(runner->pool->options.max_jobs),
    };
    runner->pool->self = current = worker;
}

/* ---- the whole of it ---- */

/* Not one of the program's workers. */
static int ring_the_bell(struct proc_worker *worker)
{
    const struct proc_pool *pool = worker->pool;

    worker_say(worker, NOTICE_READY);
    if (queue_bell_serve(&pool->area, pool->queue, worker->slot, pool->bell) < 0)
        worker_say_queue_fails(worker, errno);
    return 0;
}

static int live(struct proc_worker *worker)
{
    const struct proc_pool_options *options = &worker->pool->options;

    if (worker->index == worker->pool->area.row_count)
        return ring_the_bell(worker);
    if (options->start && options->start(worker, options->arg) != 0)
        return WORKER_FAILED_TO_START;
    leaving_follow_manager_again();
    atomic_store(&worker_slot(worker)->alive_ns, monotonic_ns());
    if (worker_say(worker, NOTICE_READY) < 0)
        return 0;
    int status = options->main ? options->main(worker, options->arg) : serve_jobs(worker);
    if (options->stop)
        options->stop(worker, options->arg);
    return status;
}

/* Of a private pool whose manager is gone nobody can take jobs any more, and nobody else would remove its queue. */
static void leave(const struct proc_worker *worker)
{
    const struct proc_pool *pool = worker->pool;

    if (leaving.asked)
        atomic_fetch_or(&worker_slot(worker)->marks, SLOT_LEAVES);
    if (pool->key == PROC_PRIVATE && leaving_manager_is_gone()) {
        raw(SYS_msgctl, pool->queue, IPC_RMID, NULL);
        large_files_remove_all(pool->queue);
    }
}

int worker_main(struct proc *self, void *runner)
{
    struct proc_worker worker;

    (void)self;
    init(&worker, runner);
    if (leaving_follow_manager(worker.pool->options.grace_ms) < 0 || !take_slot(&worker)) {
        leave(&worker);
        return WORKER_FAILED_TO_START;
    }
    int status = live(&worker);
    leave(&worker);
    return status;
}

/* ---- what a worker may ask ---- */

unsigned proc_worker_index(const struct proc_worker *worker)
{
    return worker->index;
}

unsigned proc_worker_generation(const struct proc_worker *worker)
{
    return worker->generation;
}

struct proc_pool *proc_worker_pool(struct proc_worker *worker)
{
    return worker->pool;
}

bool proc_worker_stopping(struct proc_worker *worker)
{
    (void)worker;
    return leaving.asked;
}

void proc_worker_alive(struct proc_worker *worker)
{
    atomic_store_explicit(&worker_slot(worker)->alive_ns, monotonic_ns(), memory_order_relaxed);
}

int proc_worker_detach(struct proc_worker *worker)
{
    if (worker->is_detached)
        return 0;
    if (leaving.asked) {
        errno = ESHUTDOWN;
        return -1;
    }
    long result = worker_say(worker, NOTICE_DETACHED);
    if (result < 0)
        return (int)kernel_result(result);
    leaving_unfollow_manager();
    worker->is_detached = true;
    return 0;
}
