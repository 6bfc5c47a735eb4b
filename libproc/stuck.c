/* Who is not busy now cannot be stuck before a whole timeout has passed: so there is one look in that time, however many jobs are
 * done meanwhile, and one at each point at which a job that runs now would take too long. */
#include "stuck.h"

#include "deadline.h"
#include "runner.h"

#include <stddef.h>

static int64_t limit_ns(const struct proc_pool *pool)
{
    return (pool->options.main ? pool->options.heartbeat_ms : pool->options.job_timeout_ms) * INT64_C(1000000);
}

/* Since when it has been at the same thing; 0: it is at none. */
static int64_t since_ns(const struct runner *runner)
{
    const struct slot *slot = runner_slot(runner);

    if (!runner->ready || runner->killed)
        return 0;
    return atomic_load(runner->pool->options.main ? &slot->alive_ns : &slot->busy_since_ns);
}

void stuck_look(struct proc_pool *pool)
{
    int64_t now = monotonic_ns(), limit = limit_ns(pool), next = now + limit;

    if (limit == 0 || timeout_is_set(&pool->watch))
        return;
    for (struct runner *runner = pool->runners; runner; runner = runner->next) {
        int64_t since = since_ns(runner);

        if (since == 0)
            continue;
        if (now - since >= limit)
            runner_kill(runner);
        else if (since + limit < next)
            next = since + limit;
    }
    timeout_set(&pool->watch, pool, (next - now) / 1000000 + 1);
}

static void react(struct reaction *reaction, const struct proc_event *event)
{
    struct proc_pool *pool = (struct proc_pool *)((char *)reaction - offsetof(struct proc_pool, watch));

    (void)event;
    pool->watch.id = 0;
    stuck_look(pool);
}

void stuck_init(struct proc_pool *pool)
{
    pool->watch.reaction.call = react;
}
