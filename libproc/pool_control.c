/* What a program, or a function of its that is told of an event, may tell a pool to do. */
#include "pool_change.h"
#include "pool_life.h"

#include <errno.h>

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool has_another_manager(const struct proc_pool *pool)
{
    pthread_mutex_t *manager = &pool->area.head->manager;

    if (robust_lock(manager, POOL_A_MOMENT_MS) <= 0)
        return true;
    robust_unlock(manager);
    return false;
}

/* 1: now; 0: it does not run yet; -1 with errno. */
static int may_be_told(const struct proc_pool *pool)
{
    if (pool->is_attached || pool->self || (pool_has_begun(pool) && !pool_is_managed_here(pool)))
        return fail(EPERM);
    if (pool->stage == POOL_STOPS || pool->stage == POOL_OVER)
        return fail(ESHUTDOWN);
    if (pool->stage == POOL_NOT_BEGUN && has_another_manager(pool))
        return fail(EPERM);
    return pool_is_at_work(pool);
}

int proc_pool_reload(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    return result > 0 ? pool_reload(pool) : result;
}

static int resize_before(struct proc_pool *pool, unsigned workers)
{
    if (workers == 0 || workers > pool->area.row_count)
        return fail(workers == 0 ? EINVAL : ENOSPC);
    pool->options.workers = workers;
    atomic_store(&pool->area.head->workers, workers);
    return 0;
}

int proc_pool_resize(struct proc_pool *pool, unsigned workers)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_resize(pool, workers) : resize_before(pool, workers);
}

/* Before it runs, it is what it will do first. */
static int want(struct proc_pool *pool, enum pool_stage stage)
{
    pool->wanted = stage;
    return 0;
}

int proc_pool_stop(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_stop(pool) : want(pool, POOL_STOPS);
}

int proc_pool_drain(struct proc_pool *pool)
{
    int result = may_be_told(pool);

    if (result < 0)
        return -1;
    return result > 0 ? pool_drain(pool) : want(pool, POOL_DRAINS);
}
