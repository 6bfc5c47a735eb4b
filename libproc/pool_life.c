/* The manager's view of a pool as a whole. */
#include "pool_life.h"

#include "deadline.h"
#include "job_files.h"
#include "job_queue.h"
#include "judge.h"
#include "kernel.h"
#include "member.h"
#include "notice_board.h"
#include "pool_change.h"
#include "queue_bell.h"
#include "runner.h"
#include "stuck.h"
#include "title.h"

#include <stddef.h>
#include <stdlib.h>

#define FOREIGN_POLL_MS 50
#define DRAIN_POLL_MS 10

static int fail(int error)
{
    errno = error;
    return -1;
}

bool pool_is_at_work(const struct proc_pool *pool)
{
    return pool->stage == POOL_RUNS || pool->stage == POOL_DRAINS;
}

/* ---- what nobody tells of ---- */

/* Twice: see end_unless_late_jobs. */
static void look_whether_drained(struct proc_pool *pool)
{
    bool is_empty = !judge_has_jobs(pool) && !runner_any_busy(pool);

    if (is_empty && pool->was_empty) {
        pool->has_drained = true;
        pool_stop(pool);
    }
    pool->was_empty = is_empty;
}

static void react_to_poll(struct reaction *reaction, const struct proc_event *event)
{
    struct proc_pool *pool = (struct proc_pool *)((char *)reaction - offsetof(struct proc_pool, poll));
    bool has_foreign = judge_foreign(pool), has_letters = false;

    (void)event;
    pool->poll.id = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        has_letters |= mailbox_deliver(&pool->members[i]->mailbox);
    if (pool->stage == POOL_DRAINS)
        look_whether_drained(pool);
    if (pool->stage == POOL_DRAINS)
        timeout_set(&pool->poll, pool, DRAIN_POLL_MS);
    else if (has_foreign || has_letters || pool->is_deaf)
        timeout_set(&pool->poll, pool, FOREIGN_POLL_MS);
}

/* ---- its beginning ---- */

static int make_tables(struct proc_pool *pool)
{
    pool->members = calloc(pool->area.row_count, sizeof(struct member *));
    pool->by_slot = calloc(pool->area.slot_count, sizeof(struct runner *));
    pool->foreign = calloc(pool->area.slot_count, sizeof *pool->foreign);
    return pool->members && pool->by_slot && pool->foreign ? 0 : -1;
}

static void free_tables(struct proc_pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        member_free(pool->members[i]);
    member_free(pool->ringer);
    pool->ringer = NULL;
    free(pool->members);
    free(pool->by_slot);
    free(pool->foreign);
    pool->members = NULL;
    pool->by_slot = NULL;
    pool->foreign = NULL;
    pool->due = NULL;
    pool->member_count = pool->foreign_count = 0;
}

static int make_members(struct proc_pool *pool)
{
    for (unsigned i = 0; i < pool->target; i++) {
        struct member *member = member_get(pool, i);

        if (!member)
            return -1;
        member_look_later(member);
    }
    return 0;
}

static int make_bell(struct proc_pool *pool)
{
    if (!pool->options.listen)
        return 0;
    pool->bell = queue_bell_open();
    pool->ringer = member_new_ringer(pool);
    ends_set(&pool->passed, END_OUT, pool->bell);
    if (pool->bell < 0 || !pool->ringer)
        return -1;
    member_look_later(pool->ringer);
    return 0;
}

static void close_bell(struct proc_pool *pool)
{
    ends_close(&pool->passed, END_OUT);
    pool->bell = -1;
}

static int take_resources(struct proc_pool *pool)
{
    const struct proc_pool_options *options = &pool->options;

    if (make_tables(pool) < 0 || make_members(pool) < 0 || make_bell(pool) < 0)
        return -1;
    if (failures_init(&pool->failures, options->max_restarts, options->restart_window_ms) < 0)
        return -1;
    if (notices_open(&pool->notices) == 0)
        return 0;
    failures_free(&pool->failures);
    return -1;
}

static void clear_rows(struct proc_pool *pool)
{
    for (uint32_t i = 0; i < pool->area.row_count; i++) {
        struct pool_row *row = &pool->area.rows[i];

        atomic_store(&row->slot, 0);
        atomic_store(&row->pid, 0);
        atomic_store(&row->started_ns, 0);
        atomic_store(&row->phase, PROC_WORKER_GONE);
    }
}

/* What those before us have left. */
static void take_over(struct proc_pool *pool)
{
    clear_rows(pool);
    if (pool->queue >= 0)
        job_files_sweep(pool->queue, &pool->area);
    judge_what_was_left(pool);
    if (pool->queue >= 0)
        job_queue_take_nudges(&pool->area, pool->queue);
    if (pool->foreign_count > 0)
        timeout_set(&pool->poll, pool, FOREIGN_POLL_MS);
}

int pool_begin(struct proc_pool *pool, struct proc_waiter *waiter)
{
    struct pool_head *head = pool->area.head;

    if (robust_lock(&head->manager, POOL_A_MOMENT_MS) <= 0)
        return fail(EBUSY);
    pool->target = pool->options.workers;
    if (take_resources(pool) < 0) {
        int failure = errno;

        free_tables(pool);
        close_bell(pool);
        errno = failure;
        robust_unlock(&head->manager);
        return -1;
    }
    pool->waiter = waiter;
    pool->manager_pid = (pid_t)raw(SYS_getpid);
    pool->stage = POOL_RUNS;
    pool->result = 0;
    pool->queue_failure = 0;
    pool->is_deaf = pool->gave_up = pool->was_empty = pool->has_drained = pool->reloading = pool->resizing = false;
    ends_set(&pool->passed, END_IN, pool->listener.fd); /* from now on others that are forked do not keep it */
    pool->poll.reaction.call = react_to_poll;
    pool_wake_init(pool);
    stuck_init(pool);
    atomic_store(&head->workers, pool->target);
    atomic_store(&head->mood, pool->options.job ? POOL_OPEN : POOL_WITHOUT_JOBS);
    title_prepare();
    take_over(pool);
    if (pool->wanted == POOL_STOPS)
        pool_stop(pool);
    else if (pool->wanted == POOL_DRAINS)
        pool_drain(pool);
    pool->wanted = POOL_NOT_BEGUN;
    return 0;
}

/* ---- what workers say ---- */

void pool_hear(struct proc_pool *pool)
{
    if (!pool_has_begun(pool))
        return;
    pool->is_deaf = notice_board_read(pool) == NOTICES_NOT_NOW;
    if (pool->is_deaf && !timeout_is_set(&pool->poll))
        timeout_set(&pool->poll, pool, FOREIGN_POLL_MS);
}

void pool_hear_out(struct proc_pool *pool)
{
    while (pool_has_begun(pool) && notice_board_read(pool) == NOTICES_MORE)
        ;
}

/* ---- its end ---- */

int pool_stop(struct proc_pool *pool)
{
    if (!pool_is_at_work(pool))
        return 0;
    pool->stage = POOL_STOPS;
    pool_wake(pool);
    if (pool->key == PROC_PRIVATE && !pool->has_drained)
        atomic_store(&pool->area.head->mood, POOL_CLOSED);
    for (unsigned i = 0; i < pool->member_count; i++)
        member_let_go(pool->members[i]);
    if (pool->ringer)
        member_let_go(pool->ringer);
    return 0;
}

int pool_drain(struct proc_pool *pool)
{
    if (pool->stage != POOL_RUNS)
        return 0;
    pool->stage = POOL_DRAINS;
    pool->was_empty = pool->has_drained = false;
    atomic_store(&pool->area.head->mood, pool->options.job ? POOL_DRAINING : POOL_WITHOUT_JOBS);
    timeout_set(&pool->poll, pool, 0);
    return 0;
}

static void give_up(struct proc_pool *pool)
{
    bool is_gone = pool->queue_failure == EINVAL || pool->queue_failure == EIDRM;

    pool->result = is_gone ? EIDRM : pool->queue_failure ? pool->queue_failure : ECHILD;
    if (pool->gave_up)
        pool_tell(pool, (struct happening){.type = PROC_POOL_GAVE_UP, .worker = -1});
    pool_stop(pool);
}

static bool nobody_is_left(const struct proc_pool *pool)
{
    if (pool->runner_count > (pool->ringer && pool->ringer->holder))
        return false;
    for (unsigned i = 0; i < pool->target; i++)
        if (!pool->members[i]->is_over)
            return false;
    return true;
}

void pool_forget(struct proc_pool *pool)
{
    if (ends_give(&pool->passed, END_IN) < 0) /* it was closed when this process was forked */
        pool->listener.fd = -1;
    runner_forget_all(pool);
    for (unsigned i = 0; i < pool->member_count; i++) {
        member_forget(pool->members[i]);
        pool->members[i] = NULL;
    }
    pool->member_count = 0;
    if (pool->ringer)
        member_forget(pool->ringer);
    pool->ringer = NULL;
    notices_close(&pool->notices);
    failures_free(&pool->failures);
    free_tables(pool);
    close_bell(pool);
}

void pool_end(struct proc_pool *pool)
{
    struct pool_head *head = pool->area.head;

    while (pool->runners)
        runner_free(pool->runners);
    while (pool->detached)
        runner_leave_behind(pool->detached);
    timeout_stop(&pool->wake, pool);
    timeout_stop(&pool->poll, pool);
    timeout_stop(&pool->watch, pool);
    for (unsigned i = 0; i < pool->member_count; i++)
        timeout_stop(&pool->members[i]->restart, pool);
    if (pool->ringer)
        timeout_stop(&pool->ringer->restart, pool);
    notices_close(&pool->notices);
    failures_free(&pool->failures);
    free_tables(pool);
    close_bell(pool);
    ends_give(&pool->passed, END_IN);
    pool->runner_count = 0;
    pool->stage = POOL_OVER;
    if (pool->queue >= 0)
        job_queue_take_nudges(&pool->area, pool->queue);
    if (pool->options.job)
        atomic_store(&head->mood, pool->key == PROC_PRIVATE ? POOL_CLOSED : POOL_OPEN);
    pool->waiter = NULL;
    robust_unlock(&head->manager);
}

/* When a drain is over can only be known when nobody works any more: a worker may have had a message in hand that was neither
 * in the queue nor in its slot, and have handed in more; and somebody may have been about to when the drain began. */
static void end_unless_late_jobs(struct proc_pool *pool)
{
    bool has_late_jobs = pool->has_drained && pool->result == 0 && judge_has_jobs(pool);

    if (!has_late_jobs) {
        pool_end(pool);
        return;
    }
    pool->stage = POOL_RUNS;
    pool_drain(pool);
    for (unsigned i = 0; i < pool->target; i++)
        member_look_later(pool->members[i]);
    if (pool->ringer)
        member_look_later(pool->ringer);
    pool_wake(pool);
}

/* ---- conclusions ---- */

static void settle_members(struct proc_pool *pool)
{
    while (pool->due) {
        struct member *member = pool->due;

        pool->due = member->next_due;
        member_settle(member);
    }
}

void pool_settle(struct proc_pool *pool)
{
    while (pool_is_at_work(pool) && (pool->changed || pool->due || pool->gave_up || pool->queue_failure)) {
        pool->changed = false;
        if (pool->gave_up || pool->queue_failure) {
            give_up(pool);
            break;
        }
        settle_members(pool);
        stuck_look(pool);
        pool_change_go_on(pool);
        if (pool_is_at_work(pool) && nobody_is_left(pool))
            pool_stop(pool);
    }
    if (pool->stage == POOL_STOPS && pool->runner_count == 0)
        end_unless_late_jobs(pool);
}
