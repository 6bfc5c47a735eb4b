/* The list of those objects. A forked child has a copy of it, and the objects are none of its. */
#include "private_ipc.h"

#include "kernel.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/ipc.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct private_ipc *first;

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void release_lock(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(take_lock, release_lock, release_lock);
}

static void remove_from_system(const struct private_ipc *ipc)
{
    if (ipc->owner != raw(SYS_getpid))
        return;
    if (ipc->control == SYS_semctl)
        raw(SYS_semctl, ipc->id, 0, IPC_RMID, 0);
    else
        raw(ipc->control, ipc->id, IPC_RMID, 0);
}

void private_ipc_add(struct private_ipc *ipc, long control, int id)
{
    *ipc = (struct private_ipc){.control = control, .id = id, .owner = (pid_t)raw(SYS_getpid)};
    take_lock();
    ipc->next = first;
    if (first)
        first->previous = ipc;
    first = ipc;
    release_lock();
}

void private_ipc_remove(struct private_ipc *ipc)
{
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

__attribute__((destructor)) void private_ipc_remove_all(void)
{
    for (struct private_ipc *ipc = first; ipc; ipc = ipc->next)
        remove_from_system(ipc);
}
