/* A process that changes its ids is marked as not dumpable: no core, no debugger, /proc/PID owned by root. The mark is on
 * the memory, and a child between clone and exec has ours. Two such spawns at once would each take the other's mark for the
 * state to go back to, so there is a lock; and a child that another thread forks meanwhile puts its own mark right. */
#include "dumpable.h"

#include "kernel.h"

#include <pthread.h>
#include <sys/prctl.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic long before = -1; /* as it was when the lock was taken; -1: it is as it was */

static void set_back(void)
{
    if (before == 1) /* 0 is what it became; 2 cannot be set */
        raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    before = -1;
}

void dumpable_hold(void)
{
    pthread_mutex_lock(&lock);
    before = raw(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
}

void dumpable_restore(void)
{
    set_back();
    pthread_mutex_unlock(&lock);
}

/* The thread that held the lock is not in the child. */
static void put_right_in_forked_child(void)
{
    set_back();
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void stand_by_at_forks(void)
{
    pthread_atfork(NULL, NULL, put_right_in_forked_child);
}
