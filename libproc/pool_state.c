/* What all rooms of the manager use. */
#include "pool_state.h"

#include "deadline.h"
#include "kernel.h"

#include <stddef.h>

bool pool_has_begun(const struct proc_pool *pool)
{
    return pool->stage != POOL_NOT_BEGUN && pool->stage != POOL_OVER;
}

bool pool_is_managed_here(const struct proc_pool *pool)
{
    return pool_has_begun(pool) && pool->manager_pid == (pid_t)raw(SYS_getpid);
}

void pool_tell(struct proc_pool *pool, struct happening happening)
{
    struct proc_pool_event event = {
        .type = happening.type, .pool = pool, .worker = happening.worker, .pid = happening.pid, .job = happening.job};

    if (!pool->options.event)
        return;
    if (happening.worker == (int)pool_ringers_index(pool)) {
        if (!happening.job)
            return;
        event.worker = -1;
    }
    if (happening.exit)
        event.exit = *happening.exit;
    pool->options.event(&event, pool->options.event_arg);
}

bool timeout_is_set(const struct timeout *timeout)
{
    return timeout->id > 0 || timeout->at_ns > 0;
}

static void try_to_set(struct timeout *timeout, struct proc_pool *pool, int64_t in_us)
{
    int id = proc_waiter_alarm(pool->waiter, in_us, 0, &timeout->reaction);

    timeout->id = id > 0 ? id : 0;
    if (id > 0)
        return;
    timeout->at_ns = monotonic_ns() + in_us * 1000;
    timeout->next = pool->unset;
    pool->unset = timeout;
}

void timeout_set(struct timeout *timeout, struct proc_pool *pool, int64_t in_ms)
{
    timeout_stop(timeout, pool);
    try_to_set(timeout, pool, in_ms * 1000);
}

void timeout_stop(struct timeout *timeout, struct proc_pool *pool)
{
    if (timeout->id > 0)
        proc_waiter_cancel(pool->waiter, timeout->id);
    for (struct timeout **place = &pool->unset; timeout->at_ns > 0 && *place; place = &(*place)->next)
        if (*place == timeout) {
            *place = timeout->next;
            break;
        }
    timeout->id = 0;
    timeout->at_ns = 0;
}

void timeouts_set_again(struct proc_pool *pool)
{
    struct timeout *next = pool->unset;

    pool->unset = NULL;
    while (next) {
        struct timeout *timeout = next;
        int64_t left_us = (timeout->at_ns - monotonic_ns()) / 1000;

        next = timeout->next;
        timeout->at_ns = 0;
        try_to_set(timeout, pool, left_us > 0 ? left_us : 0);
    }
}

static void react_to_wake(struct reaction *reaction, const struct proc_event *event)
{
    struct proc_pool *pool = (struct proc_pool *)((char *)reaction - offsetof(struct proc_pool, wake));

    (void)event;
    pool->wake.id = 0;
}

void pool_wake_init(struct proc_pool *pool)
{
    pool->wake.reaction.call = react_to_wake;
}

void pool_wake(struct proc_pool *pool)
{
    pool->changed = true;
    timeout_set(&pool->wake, pool, 0);
}
