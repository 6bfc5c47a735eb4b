/* The states of a worker's index, as its scoreboard's row shows them:
 *
 *     STARTING → IDLE ⇄ BUSY → STOPPING → GONE
 *        ↑          ↓
 *     BACKING OFF ← (it has ended)
 *
 * What follows from an end is not done at once: it may be that a signal to stop has come with it. */
#include "member.h"

#include "deadline.h"
#include "runner.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

static void show_phase(const struct member *member, enum proc_worker_state phase)
{
    atomic_store(&runner_row(member->pool, member->index)->phase, phase);
}

static bool is_wanted(const struct member *member)
{
    const struct proc_pool *pool = member->pool;

    return (pool->stage == POOL_RUNS || pool->stage == POOL_DRAINS) && (member->index < pool->target || member == pool->ringer);
}

/* ---- restarts ---- */

void member_look_later(struct member *member)
{
    struct proc_pool *pool = member->pool;

    if (member->is_due)
        return;
    member->is_due = true;
    member->next_due = NULL;
    if (pool->due)
        pool->last_due->next_due = member;
    else
        pool->due = member;
    pool->last_due = member;
}

static void react_to_restart(struct reaction *reaction, const struct proc_event *event)
{
    struct member *member = (struct member *)((char *)reaction - offsetof(struct member, restart));

    (void)event;
    member->restart.id = 0;
    member_look_later(member);
}

static void back_off(struct member *member)
{
    const struct proc_pool_options *options = &member->pool->options;
    int pause_ms = backoff_pause_ms(++member->failures, options->backoff_min_ms, options->backoff_max_ms);

    if (!member->holder)
        show_phase(member, PROC_WORKER_BACKING_OFF);
    timeout_set(&member->restart, member->pool, pause_ms);
}

static bool is_to_be_restarted(const struct member *member, const struct runner_end *end, const struct proc_exit *exit)
{
    enum proc_restart restart = member->pool->options.restart;

    if (restart == PROC_RESTART_ALWAYS || end->was_replaced || member == member->pool->ringer)
        return true;
    return restart == PROC_RESTART_ON_FAILURE && (!proc_exit_ok(exit) || end->was_killed);
}

/* What is to follow, now or after a pause. */
static void try_again(struct member *member, const struct runner_end *end)
{
    if (end->has_failed && failures_add(&member->pool->failures, monotonic_ns()))
        member->pool->gave_up = true;
    else if (end->at_once)
        back_off(member);
    else {
        member->failures = 0;
        member_look_later(member);
    }
}

static void lose_holder(struct member *member, const struct runner_end *end, const struct proc_exit *exit)
{
    if (!is_wanted(member))
        return;
    member->is_over = !is_to_be_restarted(member, end, exit);
    if (!member->is_over)
        try_again(member, end);
}

/* ---- its processes ---- */

static void tell(const struct runner *runner, enum proc_pool_event_type type)
{
    pool_tell(runner->pool, (struct happening){.type = type, .worker = (int)runner->index, .pid = proc_pid(runner->proc)});
}

static void react_to_end(struct reaction *reaction, const struct proc_event *event)
{
    struct runner *runner = (struct runner *)((char *)reaction - offsetof(struct runner, ended));
    struct member *member = runner->member;
    struct proc_pool *pool = runner->pool;
    bool was_holder = member && runner == member->holder, was_successor = member && runner == member->successor;

    if (member && member->mailbox.serial == runner->serial)
        mailbox_disconnect(&member->mailbox);
    if (was_holder) {
        member->holder = member->successor;
        member->successor = NULL;
    } else if (was_successor)
        member->successor = NULL;
    struct runner_end end = runner_ended(runner, &event->exit);
    if (was_holder && member->holder)
        runner_show(member->holder, PROC_WORKER_STARTING);
    else if (was_holder)
        lose_holder(member, &end, &event->exit);
    else if (was_successor && is_wanted(member))
        try_again(member, &end);
    pool->changed = true;
}

/* In its place before it is told of: who is told may stop it. */
static void start(struct member *member, struct runner **place)
{
    struct runner *runner = runner_start(member, react_to_end);

    *place = runner;
    if (!runner) {
        back_off(member);
        return;
    }
    if (place == &member->holder)
        runner_show(runner, PROC_WORKER_STARTING);
    tell(runner, PROC_POOL_WORKER_STARTED);
}

void member_settle(struct member *member)
{
    member->is_due = false;
    if (!is_wanted(member) || member->holder || member->is_over || timeout_is_set(&member->restart))
        return;
    start(member, &member->holder);
}

void member_replace(struct member *member)
{
    if (!member->successor && !timeout_is_set(&member->restart))
        start(member, &member->successor);
}

static void ask(struct runner *runner)
{
    if (runner)
        runner_ask(runner);
}

void member_let_go(struct member *member)
{
    struct runner *holder = member->holder, *successor = member->successor;

    member->holder = member->successor = NULL;
    timeout_stop(&member->restart, member->pool);
    if (!holder)
        show_phase(member, PROC_WORKER_GONE);
    ask(holder);
    ask(successor);
}

/* A process that was asked to leave meanwhile is on its own. */
void member_ready(struct runner *runner)
{
    struct member *member = runner->member;

    if (runner->ready || !member)
        return;
    runner->ready = true;
    member->pool->changed = true;
    tell(runner, PROC_POOL_WORKER_READY);
    if (runner == member->successor) {
        struct runner *old = member->holder;

        member->holder = runner;
        member->successor = NULL;
        runner_show(runner, PROC_WORKER_IDLE);
        ask(old);
    } else if (runner == member->holder)
        runner_show(runner, PROC_WORKER_IDLE);
}

void member_detached(struct runner *runner)
{
    struct member *member = runner->member;

    if (!member)
        return;
    if (member->mailbox.serial == runner->serial)
        mailbox_disconnect(&member->mailbox);
    if (runner == member->holder) {
        member->holder = member->successor;
        member->successor = NULL;
    } else if (runner == member->successor)
        member->successor = NULL;
    runner_detach(runner);
    member->pool->changed = true;
    member_look_later(member);
}

/* ---- the object ---- */

static struct member *member_new(struct proc_pool *pool, unsigned index)
{
    struct member *member = calloc(1, sizeof *member);

    if (!member)
        return NULL;
    member->pool = pool;
    member->index = index;
    member->restart.reaction.call = react_to_restart;
    mailbox_init(&member->mailbox);
    return member;
}

struct member *member_new_ringer(struct proc_pool *pool)
{
    return member_new(pool, pool_ringers_index(pool));
}

struct member *member_get(struct proc_pool *pool, unsigned index)
{
    if (!pool->members[index])
        pool->members[index] = member_new(pool, index);
    if (pool->members[index] && index >= pool->member_count)
        pool->member_count = index + 1;
    return pool->members[index];
}

void member_forget(struct member *member)
{
    if (!member)
        return;
    mailbox_forget(&member->mailbox);
    free(member);
}

void member_free(struct member *member)
{
    if (!member)
        return;
    mailbox_free(&member->mailbox);
    free(member);
}
