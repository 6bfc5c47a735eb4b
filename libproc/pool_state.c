/* What all rooms of the manager use. */
#include "pool_state.h"

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

/* Without memory for an alarm it is not set: what it is for comes with the next event. */
void timeout_set(struct timeout *timeout, struct proc_waiter *waiter, int64_t in_ms)
{
    timeout_stop(timeout, waiter);
    int id = proc_waiter_alarm(waiter, in_ms * 1000, 0, &timeout->reaction);
    timeout->id = id > 0 ? id : 0;
}

void timeout_stop(struct timeout *timeout, struct proc_waiter *waiter)
{
    if (timeout->id > 0)
        proc_waiter_cancel(waiter, timeout->id);
    timeout->id = 0;
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
    timeout_set(&pool->wake, pool->waiter, 0);
}
