/* From the start of a worker process to its end. */
#include "runner.h"

#include "deadline.h"
#include "judge.h"
#include "left_behind.h"
#include "spawn.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE_NS INT64_C(1000000000)
#define TITLE_SIZE 128

struct slot *runner_slot(const struct runner *runner)
{
    return &runner->pool->area.slots[runner->slot];
}

struct pool_row *runner_row(const struct proc_pool *pool, unsigned index)
{
    return &pool->area.rows[index];
}

static uint64_t jobs_done(const struct runner *runner)
{
    const struct slot *slot = runner_slot(runner);

    return slot_done(slot) - slot->done_before;
}

static bool holds_row(const struct runner *runner)
{
    return atomic_load(&runner_row(runner->pool, runner->index)->slot) == runner->slot + 1;
}

void runner_show(struct runner *runner, enum proc_worker_state phase)
{
    struct pool_row *row = runner_row(runner->pool, runner->index);

    atomic_store(&row->slot, runner->slot + 1);
    atomic_store(&row->pid, proc_pid(runner->proc));
    atomic_store(&row->started_ns, runner->started_ns);
    atomic_store(&row->phase, phase);
}

/* ---- the list of them ---- */

static void enlist(struct runner *runner, struct runner **list)
{
    runner->previous = NULL;
    runner->next = *list;
    if (*list)
        (*list)->previous = runner;
    *list = runner;
}

static void delist(struct runner *runner, struct runner **list)
{
    if (runner->previous)
        runner->previous->next = runner->next;
    else
        *list = runner->next;
    if (runner->next)
        runner->next->previous = runner->previous;
}

/* ---- its start ---- */

static void prepare_slot(const struct runner *runner)
{
    struct slot *slot = runner_slot(runner);

    slot->index = runner->index;
    slot->done_before = slot_done(slot);
    atomic_store(&slot->marks, 0);
    atomic_store(&slot->taking, 0);
    atomic_store(&slot->busy_since_ns, 0);
    atomic_store(&slot->pid, 0);
}

static struct proc *spawn(struct runner *runner)
{
    char title[TITLE_SIZE];
    struct proc_options options = {.main = worker_main, .arg = runner, .title = title};

    if (runner->index == pool_ringers_index(runner->pool))
        snprintf(title, sizeof title, "%s: queue", runner->pool->options.name);
    else
        snprintf(title, sizeof title, "%s: worker %u", runner->pool->options.name, runner->index);
    return spawn_with_hooks(&options, (struct launch_hooks){worker_keep, worker_prepare});
}

static void react_to_grace(struct reaction *reaction, const struct proc_event *event)
{
    struct runner *runner = (struct runner *)((char *)reaction - offsetof(struct runner, kill));

    (void)event;
    runner->kill.id = 0;
    runner_kill(runner);
}

static struct runner *runner_new(struct member *member, uint32_t slot)
{
    struct proc_pool *pool = member->pool;
    struct runner *runner = calloc(1, sizeof *runner);

    if (!runner)
        return NULL;
    runner->pool = pool;
    runner->member = member;
    runner->slot = slot;
    runner->index = member->index;
    runner->generation = atomic_load(&runner_row(pool, member->index)->generation) + 1;
    runner->serial = ++pool->last_serial;
    runner->epoch = pool->epoch;
    runner->started_ns = monotonic_ns();
    runner->kill.reaction.call = react_to_grace;
    return runner;
}

static int begin(struct runner *runner)
{
    runner->proc = spawn(runner);
    if (!runner->proc)
        return -1;
    if (proc_waiter_add(runner->pool->waiter, runner->proc, &runner->ended) == 0)
        return 0;
    int failure = errno;
    proc_free(runner->proc);
    errno = failure;
    return -1;
}

static void note_start(struct runner *runner)
{
    struct proc_pool *pool = runner->pool;

    pool->by_slot[runner->slot] = runner;
    pool->runner_count++;
    enlist(runner, &pool->runners);
    atomic_store(&runner_row(pool, runner->index)->generation, runner->generation);
    if (runner->generation > 1 && runner->index != pool_ringers_index(pool))
        atomic_fetch_add(&pool->area.head->restarts, 1);
}

struct runner *runner_start(struct member *member, void (*ended)(struct reaction *, const struct proc_event *))
{
    struct proc_pool *pool = member->pool;
    uint32_t slot;

    if (!judge_find_free(pool, &slot)) {
        errno = EAGAIN;
        return NULL;
    }
    struct runner *runner = runner_new(member, slot);
    if (!runner)
        return NULL;
    runner->ended.call = ended;
    prepare_slot(runner);
    if (begin(runner) < 0) {
        free(runner);
        return NULL;
    }
    note_start(runner);
    return runner;
}

/* ---- its end ---- */

/* A stopped process does not hear of it until it goes on. */
void runner_ask(struct runner *runner)
{
    if (runner->asked)
        return;
    runner->asked = true;
    if (holds_row(runner))
        runner_show(runner, PROC_WORKER_STOPPING);
    proc_kill(runner->proc, SIGTERM);
    proc_kill(runner->proc, SIGCONT);
    if (runner->pool->options.grace_ms >= 0)
        timeout_set(&runner->kill, runner->pool, runner->pool->options.grace_ms);
}

void runner_kill(struct runner *runner)
{
    if (runner->killed || proc_kill(runner->proc, SIGKILL) < 0)
        return;
    runner->killed = true;
    pool_tell(runner->pool, (struct happening){
                                .type = PROC_POOL_WORKER_KILLED, .worker = (int)runner->index, .pid = proc_pid(runner->proc)});
}

static void leave_row(const struct runner *runner)
{
    struct pool_row *row = runner_row(runner->pool, runner->index);

    if (!holds_row(runner))
        return;
    atomic_store(&row->slot, 0);
    atomic_store(&row->pid, 0);
    atomic_store(&row->started_ns, 0);
    atomic_store(&row->phase, PROC_WORKER_GONE);
}

static void leave_pool(struct runner *runner)
{
    timeout_stop(&runner->kill, runner->pool);
    delist(runner, &runner->pool->runners);
    runner->pool->runner_count--;
    leave_row(runner);
}

void runner_detach(struct runner *runner)
{
    judge_note_done(runner->pool, runner->slot);
    leave_pool(runner);
    runner->detached = true;
    runner->member = NULL;
    enlist(runner, &runner->pool->detached);
}

static struct runner_end how_it_ended(const struct runner *runner, const struct proc_exit *exit)
{
    uint32_t marks = atomic_load(&runner_slot(runner)->marks);
    struct runner_end end = {.was_replaced = marks & SLOT_REPLACED, .was_killed = runner->killed && !runner->asked};
    bool is_its_own_matter = !runner->asked && !end.was_replaced;

    end.at_once = is_its_own_matter && jobs_done(runner) == 0 && monotonic_ns() - runner->started_ns < AT_ONCE_NS;
    /* Whom somebody else has asked to leave has not failed; but if that is again and again, it is not to be for ever. */
    end.has_failed = is_its_own_matter && !(marks & SLOT_LEAVES) && (end.at_once || !proc_exit_ok(exit));
    return end;
}

struct runner_end runner_ended(struct runner *runner, const struct proc_exit *exit)
{
    struct proc_pool *pool = runner->pool;
    struct runner_end end = how_it_ended(runner, exit);

    if (runner->detached)
        delist(runner, &pool->detached);
    else
        leave_pool(runner);
    pool->by_slot[runner->slot] = NULL;
    if (runner->slot < pool->next_slot) /* its pages are there already */
        pool->next_slot = runner->slot;
    pool_tell(pool, (struct happening){
                        .type = PROC_POOL_WORKER_EXITED, .worker = (int)runner->index, .pid = exit->pid, .exit = exit});
    judge_dead(pool, runner->slot, exit->pid);
    proc_free(runner->proc);
    free(runner);
    return end;
}

void runner_free(struct runner *runner)
{
    struct proc_pool *pool = runner->pool;

    delist(runner, &pool->runners);
    leave_row(runner);
    proc_free(runner->proc);
    free(runner);
}

void runner_leave_behind(struct runner *runner)
{
    delist(runner, &runner->pool->detached);
    proc_waiter_remove(runner->pool->waiter, runner->proc);
    left_behind_add(runner->proc);
    free(runner);
}

bool runner_any_busy(const struct proc_pool *pool)
{
    for (const struct runner *runner = pool->runners; runner; runner = runner->next)
        if (atomic_load(&runner_slot(runner)->busy_since_ns) != 0)
            return true;
    return false;
}

static void forget(struct runner *runner)
{
    while (runner) {
        struct runner *next = runner->next;

        proc_free(runner->proc);
        free(runner);
        runner = next;
    }
}

void runner_forget_all(struct proc_pool *pool)
{
    forget(pool->runners);
    forget(pool->detached);
    pool->runners = pool->detached = NULL;
}
