/* The list of those objects. A forked child begins with an empty one: its parent's objects are none of its, whatever its
 * number is; but for a daemon's, which goes on in place of its parent. */
#include "private_ipc.h"

#include "kernel.h"
#include "orderly_end.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/ipc.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct private_ipc *first, *left_behind; /* left_behind: its parent's, or those of the last one before that had any */
static unsigned generation; /* how often it was forked from the first process to this one */

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void release_lock(void)
{
    pthread_mutex_unlock(&lock);
}

/* Seen with the lock, so that the list is whole. */
static void forget_all(void)
{
    generation++;
    if (first)
        left_behind = first;
    first = NULL;
    release_lock();
}

__attribute__((constructor)) static void stand_by(void)
{
    pthread_atfork(take_lock, release_lock, forget_all);
    orderly_end_add(private_ipc_remove_all);
}

static void remove_from_system(const struct private_ipc *ipc)
{
    if (ipc->control == SYS_semctl)
        raw(SYS_semctl, ipc->id, 0, IPC_RMID, 0);
    else
        raw(ipc->control, ipc->id, IPC_RMID, 0);
    if (ipc->and_then)
        ipc->and_then(ipc->id);
}

void private_ipc_add(struct private_ipc *ipc, long control, int id, void (*and_then)(int id))
{
    *ipc = (struct private_ipc){.control = control, .id = id, .and_then = and_then};
    take_lock();
    ipc->generation = generation;
    ipc->next = first;
    if (first)
        first->previous = ipc;
    first = ipc;
    release_lock();
}

void private_ipc_remove(struct private_ipc *ipc)
{
    if (ipc->generation != generation)
        return;
    take_lock();
    if (ipc->previous)
        ipc->previous->next = ipc->next;
    else
        first = ipc->next;
    if (ipc->next)
        ipc->next->previous = ipc->previous;
    release_lock();
    remove_from_system(ipc);
}

void private_ipc_take_over(unsigned forks)
{
    take_lock();
    struct private_ipc *taken = left_behind && left_behind->generation == generation - forks ? left_behind : NULL;
    for (struct private_ipc *ipc = taken; ipc; ipc = ipc->next)
        ipc->generation = generation;
    if (taken)
        first = taken;
    release_lock();
}

void private_ipc_disown(void)
{
    take_lock();
    if (first)
        left_behind = first;
    first = NULL;
    release_lock();
}

void private_ipc_remove_all(void)
{
    take_lock();
    for (struct private_ipc *ipc = first; ipc; ipc = ipc->next)
        remove_from_system(ipc);
    release_lock();
}
