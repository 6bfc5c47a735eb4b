/* Everything is done between two events. What has come is read first, all of it, and then the conclusions are drawn. */
#include "manager.h"

#include "kernel.h"
#include "pool_change.h"
#include "pool_life.h"

#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* ---- opening and closing ---- */

static long open_epoll(const void *unused)
{
    (void)unused;
    return raw(SYS_epoll_create1, EPOLL_CLOEXEC);
}

static long open_bell(const void *unused)
{
    (void)unused;
    return raw(SYS_eventfd2, 1, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int watch(struct manager *manager, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return (int)sys(SYS_epoll_ctl, manager->ends.fd[END_EPOLL], EPOLL_CTL_ADD, fd, &event);
}

int manager_open(struct manager *manager)
{
    *manager = (struct manager){.owner = (pid_t)raw(SYS_getpid)};
    ends_enlist(&manager->ends);
    if (ends_open(open_epoll, NULL, &manager->ends, END_EPOLL) >= 0 &&
        ends_open(open_bell, NULL, &manager->ends, END_BELL) >= 0 && watch(manager, manager->ends.fd[END_BELL]) == 0)
        return manager->ends.fd[END_EPOLL];
    manager_close(manager);
    return -1;
}

void manager_close(struct manager *manager)
{
    int saved = errno;

    proc_waiter_free(manager->waiter);
    manager->waiter = NULL;
    if (manager->owner != 0)
        ends_delist(&manager->ends);
    manager->owner = 0;
    errno = saved;
}

int manager_begin(struct manager *manager, unsigned waiter_flags, struct proc_pool *const *pools, size_t count)
{
    manager->thread = (pid_t)raw(SYS_gettid);
    manager->pools = pools;
    manager->count = count;
    manager->waiter = proc_waiter_new(waiter_flags);
    if (!manager->waiter && errno == EBUSY) /* another one of the program's has SIGCHLD */
        manager->waiter = proc_waiter_new(PROC_WAITER_PIDFD);
    if (!manager->waiter)
        return -1;
    if (watch(manager, proc_waiter_fd(manager->waiter)) == 0) {
        ends_close(&manager->ends, END_BELL);
        return 0;
    }
    int failure = errno;
    proc_waiter_free(manager->waiter);
    manager->waiter = NULL;
    errno = failure;
    return -1;
}

int manager_hear(struct manager *manager, const struct proc_pool *pool)
{
    return watch(manager, pool->notices.ends.fd[END_CHANNEL]);
}

/* ---- signals ---- */

static void follow(struct proc_pool *pool, int signo)
{
    if (!pool_is_at_work(pool))
        return;
    switch (signo) {
    case SIGTERM:
    case SIGINT:
        pool_stop(pool);
        break;
    case SIGHUP:
    case SIGUSR1:
        pool_reload(pool);
        break;
    case SIGTTIN:
        pool_resize(pool, pool->target + 1);
        break;
    case SIGTTOU:
        if (pool->target > 1)
            pool_resize(pool, pool->target - 1);
        break;
    }
}

static void react_to_signal(struct reaction *reaction, const struct proc_event *event)
{
    struct manager *manager = (struct manager *)((char *)reaction - offsetof(struct manager, signals));

    manager->was_terminated |= event->signo == SIGTERM;
    for (size_t i = 0; i < manager->count; i++)
        follow(manager->pools[i], event->signo);
}

int manager_take_signals(struct manager *manager)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU};

    manager->signals.call = react_to_signal;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (proc_waiter_signal(manager->waiter, signals[i], &manager->signals) < 0)
            return -1;
    return 0;
}

/* ---- events ---- */

#define SHORT_OF_MEMORY_MS 50

/* Without memory for an alarm there is no waiting for it: it is tried again after a while. */
static bool lacks_alarms(const struct manager *manager)
{
    for (size_t i = 0; i < manager->count; i++)
        if (manager->pools[i]->unset)
            return true;
    return false;
}

/* 1 when there is something, 0 when the time ran out. */
static long wait_for_something(const struct manager *manager, struct deadline deadline)
{
    struct pollfd fd = {.fd = manager->ends.fd[END_EPOLL], .events = POLLIN};
    struct deadline soon = deadline_in(SHORT_OF_MEMORY_MS);
    bool is_cut_short = lacks_alarms(manager) && soon.at_ns < deadline.at_ns;
    int ready = deadline_poll(is_cut_short ? soon : deadline, &fd, 1);

    for (size_t i = 0; i < manager->count; i++)
        timeouts_set_again(manager->pools[i]);
    return ready == 0 && is_cut_short ? 1 : ready;
}

/* What a worker has said before its end is heard before that. */
static int react_to_all(const struct manager *manager)
{
    struct proc_event event;
    int result;

    while ((result = proc_waiter_next(manager->waiter, &event, 0)) > 0) {
        struct reaction *reaction = event.data;

        for (size_t i = 0; event.type == PROC_EVENT_EXIT && i < manager->count; i++)
            pool_hear_out(manager->pools[i]);
        reaction->call(reaction, &event);
    }
    return result;
}

/* A descriptor that is readable, and yet not read, would keep us busy. */
static void hear(struct manager *manager, struct proc_pool *pool)
{
    bool was_deaf = pool->is_deaf;

    pool_hear(pool);
    if (pool->is_deaf == was_deaf || !pool_has_begun(pool))
        return;
    struct epoll_event event = {.events = pool->is_deaf ? 0 : EPOLLIN};
    raw(SYS_epoll_ctl, manager->ends.fd[END_EPOLL], EPOLL_CTL_MOD, pool->notices.ends.fd[END_CHANNEL], &event);
}

static int do_it(struct manager *manager)
{
    for (size_t i = 0; i < manager->count; i++)
        hear(manager, manager->pools[i]);
    if (react_to_all(manager) < 0)
        return -1;
    for (size_t i = 0; i < manager->count; i++)
        pool_settle(manager->pools[i]);
    return 1;
}

int manager_step(struct manager *manager, struct deadline deadline)
{
    long ready = wait_for_something(manager, deadline);

    if (ready <= 0)
        return (int)ready;
    manager->is_at_it = true;
    int result = do_it(manager);
    manager->is_at_it = false;
    return result;
}

void manager_settle(struct manager *manager)
{
    manager->is_at_it = true;
    for (size_t i = 0; i < manager->count; i++)
        pool_settle(manager->pools[i]);
    manager->is_at_it = false;
}
