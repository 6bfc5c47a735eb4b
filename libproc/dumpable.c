/* A process that changes its ids is marked as not dumpable: no core, no debugger, /proc/PID owned by root. The mark is on
 * the memory, and a child between clone and exec has ours. Two such spawns at once would each take the other's mark for the
 * state to go back to, so there is a lock. */
#include "dumpable.h"

#include "kernel.h"

#include <pthread.h>
#include <sys/prctl.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void dumpable_lock(void)
{
    pthread_mutex_lock(&lock);
}

void dumpable_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

int dumpable_hold(void)
{
    dumpable_lock();
    return (int)raw(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
}

void dumpable_restore(int dumpable)
{
    if (dumpable == 1) /* 0 is what it became; 2 cannot be set */
        raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    dumpable_unlock();
}
