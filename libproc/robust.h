/* Mutexes between processes, each handed on when its holder dies. */
#ifndef LIBPROC_ROBUST_H
#define LIBPROC_ROBUST_H

#include <pthread.h>

/* Each C library has its own idea of what is in a mutex: memory with such ones says whose they are. */
#ifdef __GLIBC__
#define ROBUST_MAKER 0x10
#else
#define ROBUST_MAKER 0x20
#endif

/* Makes a mutex of zeros; may be called by any number of processes, while others use it already. */
void robust_set_up(pthread_mutex_t *mutex);

/* What the two below do when the C library has not simply said yes. */
int robust_lock_otherwise(pthread_mutex_t *mutex, int timeout_ms, int failure);
int robust_fail(int failure);

/* 1; 2: the holder before died; 0: the time ran out; -1 with errno: EDEADLK: this thread holds it. To try first is the shortest
 * way to a free mutex, also for those who would wait for ever. */
static inline int robust_lock(pthread_mutex_t *mutex, int timeout_ms)
{
    int failure = pthread_mutex_trylock(mutex);

    return failure == 0 ? 1 : robust_lock_otherwise(mutex, timeout_ms, failure);
}

/* EPERM: this thread does not hold it. */
static inline int robust_unlock(pthread_mutex_t *mutex)
{
    int failure = pthread_mutex_unlock(mutex);

    return failure == 0 ? 0 : robust_fail(failure);
}

#endif
