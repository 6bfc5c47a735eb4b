/* Managing pools: until they have stopped, or step by step in a loop of the program's own. */
#include "kernel.h"
#include "leaving.h"
#include "manager.h"
#include "pool_life.h"
#include "worker.h"

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- running it ---- */

static int begin(struct manager *manager, struct proc_pool *pool)
{
    if (pool->is_attached || pool->self)
        return fail(EINVAL);
    if (pool_has_begun(pool))
        return fail(EBUSY);
    pool->manager = manager;
    pool->siblings = manager->pools;
    pool->sibling_count = manager->count;
    manager->is_at_it = true;
    int result = pool_begin(pool, manager->waiter);
    manager->is_at_it = false;
    if (result < 0 || manager_hear(manager, pool) == 0)
        return result;
    int failure = errno;
    pool_end(pool);
    pool->stage = POOL_NOT_BEGUN;
    return fail(failure);
}

static bool is_over(const struct manager *manager)
{
    for (size_t i = 0; i < manager->count; i++)
        if (manager->pools[i]->stage != POOL_OVER)
            return false;
    return true;
}

static int run_until_over(struct manager *manager)
{
    manager_settle(manager);
    while (!is_over(manager))
        if (manager_step(manager, deadline_in(-1)) < 0)
            return -1;
    for (size_t i = 0; i < manager->count; i++)
        if (manager->pools[i]->result != 0)
            return fail(manager->pools[i]->result);
    return 0;
}

/* Of pools that have begun, after a failure. */
static void end_all(const struct manager *manager, size_t count)
{
    int saved = errno;

    for (size_t i = 0; i < count; i++)
        if (pool_has_begun(manager->pools[i]))
            pool_end(manager->pools[i]);
    errno = saved;
}

static int run(struct manager *manager)
{
    size_t begun = 0;
    int result = manager_take_signals(manager);

    while (result == 0 && begun < manager->count) {
        result = begin(manager, manager->pools[begun]);
        if (result == 0)
            begun++;
    }
    if (result == 0)
        result = run_until_over(manager);
    end_all(manager, begun);
    return result;
}

int proc_pool_run_all(struct proc_pool *const *pools, size_t count)
{
    struct manager manager;

    if (count == 0)
        return fail(EINVAL);
    if (manager_open(&manager) < 0)
        return -1;
    int result = manager_begin(&manager, 0, pools, count);
    if (result == 0)
        result = run(&manager);
    manager_close(&manager);
    if (manager.was_terminated && worker_current()) /* a pool in a worker of another one: so the worker is to leave */
        leaving_ask();
    return result;
}

int proc_pool_run(struct proc_pool *pool)
{
    return proc_pool_run_all(&pool, 1);
}

/* ---- in a loop of the program's own ---- */

/* A forked process has another one than its parent. */
static int own_manager(const struct proc_pool *pool)
{
    struct manager *manager = pool->own_manager;

    if (!manager)
        return fail(EINVAL);
    if (manager->owner != 0 && manager->owner == (pid_t)raw(SYS_getpid))
        return manager->ends.fd[END_EPOLL];
    manager_close(manager);
    return manager_open(manager);
}

int proc_pool_fd(const struct proc_pool *pool)
{
    return own_manager(pool);
}

/* Without pidfds, or descriptors for them, there is but SIGCHLD. */
static unsigned quiet_way_to_wait(void)
{
    long pidfd = raw(SYS_pidfd_open, raw(SYS_getpid), 0);

    if (pidfd >= 0)
        raw(SYS_close, pidfd);
    return pidfd < 0 ? 0 : PROC_WAITER_PIDFD;
}

/* The pool is the only one of its manager: the place where it is noted stays. */
static int begin_polled(struct proc_pool *pool)
{
    struct manager *manager = pool->own_manager;

    pool->alone[0] = pool;
    if (!manager->waiter && manager_begin(manager, quiet_way_to_wait(), pool->alone, 1) < 0)
        return -1;
    if (begin(manager, pool) < 0)
        return -1;
    manager_settle(manager);
    return 1;
}

static int result_of(const struct proc_pool *pool)
{
    return pool->result == 0 ? 0 : fail(pool->result);
}

int proc_pool_poll(struct proc_pool *pool, int timeout_ms)
{
    if (timeout_ms < -1)
        return fail(EINVAL);
    if (pool_is_managed_here(pool) && pool->manager->is_at_it)
        return fail(EDEADLK);
    if (pool_is_managed_here(pool) && pool->manager != pool->own_manager)
        return fail(EBUSY);
    if (own_manager(pool) < 0)
        return -1;
    if (pool->stage == POOL_NOT_BEGUN)
        return begin_polled(pool);
    if (pool->stage == POOL_OVER)
        return result_of(pool);
    if (!pool_is_managed_here(pool))
        return fail(EPERM);
    int result = manager_step(pool->own_manager, deadline_in(timeout_ms));
    return result > 0 && pool->stage == POOL_OVER && pool->result != 0 ? result_of(pool) : result;
}

bool proc_pool_done(const struct proc_pool *pool)
{
    return pool->stage == POOL_OVER;
}
