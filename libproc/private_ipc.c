/* The list of those objects. A forked child begins with an empty one: its parent's objects are none of its, whatever its
 * number is; but for a daemon's, which goes on in place of its parent. */
#include "private_ipc.h"

#include "kernel.h"
#include "orderly_end.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/ipc.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct private_ipc *first;
static unsigned generation; /* how often it was forked from the first process to this one */

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void release_lock(void)
{
    pthread_mutex_unlock(&lock);
}

static void forget_all(void)
{
    generation++;
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

struct private_ipc *private_ipc_all(void)
{
    return first;
}

void private_ipc_inherit(struct private_ipc *all)
{
    take_lock();
    for (struct private_ipc *ipc = all; ipc; ipc = ipc->next)
        ipc->generation = generation;
    first = all;
    release_lock();
}

void private_ipc_remove_all(void)
{
    take_lock();
    for (struct private_ipc *ipc = first; ipc; ipc = ipc->next)
        remove_from_system(ipc);
    release_lock();
}
