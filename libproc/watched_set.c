/* States, lists, and what epoll knows of them. */
#include "watched_set.h"

#include "kernel.h"
#include "reap.h"

static void append(struct watched_list *list, struct watched *child)
{
    child->previous = list->last;
    child->next = NULL;
    if (list->last)
        list->last->next = child;
    else
        list->first = child;
    list->last = child;
}

static void take_out(struct watched_list *list, struct watched *child)
{
    if (child->previous)
        child->previous->next = child->next;
    else
        list->first = child->next;
    if (child->next)
        child->next->previous = child->previous;
    else
        list->last = child->previous;
}

int watched_hold(struct watched *child)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = child};
    const int *fd = child->proc->ends.fd;

    if (sys(SYS_epoll_ctl, child->set->ends->fd[END_EPOLL], EPOLL_CTL_ADD, fd[END_PIDFD], &event) < 0)
        return -1;
    child->state = WATCHED_HELD;
    return 0;
}

static void forget_in_batch(struct watched *child)
{
    struct watched_set *set = child->set;

    for (int i = set->batch_next; i < set->batch_end; i++)
        if (set->batch[i].data.ptr == child)
            set->batch[i].data.ptr = NULL;
}

/* By hand, and not by closing the pidfd: as long as a process that was forked meanwhile has a copy of it, the kernel would go
 * on reporting it. A forked copy of the waiter shares the parent's epoll, and leaves it alone. */
static void unhold(struct watched *child)
{
    struct watched_set *set = child->set;

    if (set->owner == raw(SYS_getpid))
        raw(SYS_epoll_ctl, set->ends->fd[END_EPOLL], EPOLL_CTL_DEL, child->proc->ends.fd[END_PIDFD], NULL);
    forget_in_batch(child);
}

void watched_enter_unheld(struct watched *child)
{
    child->state = WATCHED_UNHELD;
    append(&child->set->unheld, child);
}

void watched_enter_ended(struct watched *child)
{
    child->state = WATCHED_ENDED;
    append(&child->set->ended, child);
}

void watched_leave_state(struct watched *child)
{
    struct watched_set *set = child->set;

    if (child->state == WATCHED_HELD)
        unhold(child);
    else
        take_out(child->state == WATCHED_UNHELD ? &set->unheld : &set->ended, child);
    set->polled -= child->polled;
    child->polled = false;
}

void watched_set_ended(struct watched *child)
{
    int_map_remove(&child->set->by_pid, child->proc->pid);
    watched_leave_state(child);
    watched_enter_ended(child);
}

bool watched_collect(struct watched *child)
{
    if (child->state == WATCHED_ENDED || reap_in_time(child->proc, 0) != 1)
        return false;
    watched_set_ended(child);
    return true;
}
