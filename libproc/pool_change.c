/* Reload and resize: begun at once, and gone on with whenever a process has come, gone, or become ready. */
#include "pool_change.h"

#include "member.h"

#include <errno.h>

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- reload ---- */

static bool is_current(const struct runner *runner, const struct proc_pool *pool)
{
    return !runner || (runner->epoch == pool->epoch && runner->ready);
}

/* Whether all that were started before the last request are gone. */
static bool is_reloaded(const struct proc_pool *pool)
{
    for (const struct runner *runner = pool->runners; runner; runner = runner->next)
        if (runner->epoch != pool->epoch && runner->index != pool_ringers_index(pool))
            return false;
    return true;
}

/* A member without a process is started anew in any case. */
static void go_on_with_reload(struct proc_pool *pool)
{
    while (pool->reload_at < pool->target) {
        struct member *member = pool->members[pool->reload_at];

        if (!is_current(member->holder, pool)) {
            if (member->holder->epoch != pool->epoch)
                member_replace(member);
            return;
        }
        pool->reload_at++;
    }
    if (!is_reloaded(pool))
        return;
    pool->reloading = false;
    pool_tell(pool, (struct happening){.type = PROC_POOL_RELOADED, .worker = -1});
}

int pool_reload(struct proc_pool *pool)
{
    pool->epoch++;
    pool->reloading = true;
    pool->reload_at = 0;
    pool_wake(pool);
    return 0;
}

/* ---- resize ---- */

static bool is_resized(const struct proc_pool *pool)
{
    for (const struct runner *runner = pool->runners; runner; runner = runner->next)
        if (runner->index >= pool->target && runner->index != pool_ringers_index(pool))
            return false;
    for (unsigned i = 0; i < pool->target; i++) {
        const struct member *member = pool->members[i];

        if (!member->is_over && !timeout_is_set(&member->restart) && !(member->holder && member->holder->ready))
            return false;
    }
    return true;
}

static void go_on_with_resize(struct proc_pool *pool)
{
    if (!is_resized(pool))
        return;
    pool->resizing = false;
    pool_tell(pool, (struct happening){.type = PROC_POOL_RESIZED, .worker = -1});
}

int pool_resize(struct proc_pool *pool, unsigned workers)
{
    if (workers == 0)
        return fail(EINVAL);
    if (workers > pool->area.row_count)
        return fail(ENOSPC);
    for (unsigned i = pool->target; i < workers; i++)
        if (!member_get(pool, i))
            return -1;
    unsigned before = pool->target;
    pool->target = workers;
    atomic_store(&pool->area.head->workers, workers);
    for (unsigned i = before; i < workers; i++) {
        pool->members[i]->is_over = false;
        member_look_later(pool->members[i]);
    }
    for (unsigned i = workers; i < before; i++)
        member_let_go(pool->members[i]);
    pool->resizing = true;
    pool_wake(pool);
    return 0;
}

void pool_change_go_on(struct proc_pool *pool)
{
    if (pool->reloading)
        go_on_with_reload(pool);
    if (pool->resizing)
        go_on_with_resize(pool);
}
