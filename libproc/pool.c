/* Making a pool, and its end. */
#include "pool_state.h"

#include "job_queue.h"
#include "kernel.h"
#include "large_files.h"
#include "left_behind.h"
#include "manager.h"
#include "pool_life.h"
#include "pool_options.h"

#include <stdlib.h>

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- making one ---- */

/* Whoever begins to manage it is told that somebody else does, as long as we have not made all that belongs to it. */
static int lock_area(struct proc_pool *pool)
{
    return robust_lock(&pool->area.head->manager, POOL_A_MOMENT_MS) > 0 ? 0 : fail(EBUSY);
}

static void describe(const struct proc_pool *pool)
{
    struct pool_head *head = pool->area.head;

    atomic_store(&head->max_job_size, pool->options.max_job_size);
    atomic_store(&head->mood, pool->options.job ? POOL_OPEN : POOL_WITHOUT_JOBS);
    atomic_store(&head->workers, pool->options.workers);
}

static int open_queue(struct proc_pool *pool)
{
    if (!pool->options.job)
        return 0;
    pool->queue = job_queue_open(pool->key, true);
    if (pool->queue >= 0 && pool->key == PROC_PRIVATE)
        private_ipc_add(&pool->private_ipc, SYS_msgctl, pool->queue, large_files_remove_all);
    return pool->queue < 0 ? -1 : 0;
}

static int open_queue_and_listener(struct proc_pool *pool)
{
    if (open_queue(pool) < 0)
        return -1;
    return pool->options.listen ? listener_open(&pool->listener, pool->options.listen) : 0;
}

/* What is new under the key, and of no use. */
static void take_back(struct proc_pool *pool, bool area_is_new, bool queue_is_new)
{
    int saved = errno;

    if (area_is_new)
        mapping_remove(&pool->area.mapping);
    if (queue_is_new && pool->queue >= 0)
        raw(SYS_msgctl, pool->queue, IPC_RMID, NULL);
    errno = saved;
}

static bool has_queue(key_t key)
{
    return raw(SYS_msgget, key, 0) != -ENOENT;
}

static int open_all(struct proc_pool *pool)
{
    bool is_new = false, had_queue = pool->key != PROC_PRIVATE && has_queue(pool->key);

    pool->own_manager = calloc(1, sizeof *pool->own_manager);
    if (!pool->own_manager || pool_area_open(&pool->area, pool->key, pool->options.workers, &is_new) < 0)
        return -1;
    if (lock_area(pool) < 0)
        return -1;
    describe(pool); /* before there is a queue, without which nobody can attach */
    int result = open_queue_and_listener(pool);
    if (result < 0 && pool->key != PROC_PRIVATE)
        take_back(pool, is_new, !had_queue);
    robust_unlock(&pool->area.head->manager);
    return result;
}

static struct proc_pool *pool_new(key_t key)
{
    struct proc_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->key = key;
    pool->queue = -1;
    pool->listener.fd = -1;
    pool->bell = -1;
    ends_enlist(&pool->passed);
    pool->maker = (pid_t)raw(SYS_getpid);
    return pool;
}

struct proc_pool *proc_pool_new_sized(const struct proc_pool_options *options, size_t size)
{
    struct proc_pool_options copy;

    left_behind_reap();
    if (pool_options_copy(&copy, options, size) < 0)
        return NULL;
    struct proc_pool *pool = pool_new(copy.key);
    if (!pool) {
        pool_options_free(&copy);
        return NULL;
    }
    pool->options = copy;
    if (open_all(pool) == 0)
        return pool;
    proc_pool_free(pool);
    return NULL;
}

static int attach(struct proc_pool *pool)
{
    if (pool_area_attach(&pool->area, pool->key) < 0)
        return errno == EIDRM || errno == EAGAIN ? fail(ENOENT) : -1;
    if (atomic_load(&pool->area.head->mood) == POOL_WITHOUT_JOBS)
        return 0;
    pool->queue = job_queue_open(pool->key, false);
    return pool->queue < 0 ? -1 : 0;
}

struct proc_pool *proc_pool_attach(key_t key)
{
    if (key == PROC_PRIVATE || key == -1) {
        errno = EINVAL;
        return NULL;
    }
    struct proc_pool *pool = pool_new(key);
    if (!pool)
        return NULL;
    pool->is_attached = true;
    if (attach(pool) == 0)
        return pool;
    proc_pool_free(pool);
    return NULL;
}

int proc_pool_port(const struct proc_pool *pool)
{
    return pool->listener.fd >= 0 && pool->listener.port >= 0 ? pool->listener.port : fail(EINVAL);
}

/* ---- its end ---- */

int proc_pool_remove(struct proc_pool *pool)
{
    if (pool->queue >= 0 && sys(SYS_msgctl, pool->queue, IPC_RMID, NULL) < 0 && errno != EINVAL && errno != EIDRM)
        return -1;
    if (pool->queue >= 0)
        large_files_remove_all(pool->queue);
    pool->private_ipc.id = -1;
    return mapping_remove(&pool->area.mapping);
}

static void free_managing(struct proc_pool *pool)
{
    if (pool_is_managed_here(pool))
        pool_end(pool);
    else if (pool_has_begun(pool))
        pool_forget(pool);
    if (pool->own_manager)
        manager_close(pool->own_manager);
}

void proc_pool_free(struct proc_pool *pool)
{
    if (!pool || pool->self) /* a worker needs it to its end */
        return;
    int saved = errno;
    free_managing(pool);
    if (pool->queue >= 0 && pool->key == PROC_PRIVATE)
        private_ipc_remove(&pool->private_ipc);
    ends_delist(&pool->passed);
    listener_close(&pool->listener);
    pool_area_close(&pool->area);
    if (!pool->is_attached)
        pool_options_free(&pool->options);
    free(pool->own_manager);
    free(pool);
    left_behind_reap();
    errno = saved;
}
