/* A lock between processes: a robust mutex in a segment. When it is free it costs what the mutex costs. */
#include "robust.h"
#include "segment.h"

#include <errno.h>
#include <proc/lock.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct proc_lock {
    pthread_mutex_t *mutex;
    _Atomic uintptr_t holder; /* the thread that took it through this handle; 0: none */
    struct mapping mapping;
};

struct proc_lock *proc_lock_open(key_t key, int flags, mode_t mode)
{
    struct proc_lock *lock = calloc(1, sizeof *lock);

    if (!lock)
        return NULL;
    if (segment_open(&lock->mapping, SEGMENT_LOCK, 0, sizeof(pthread_mutex_t), key, flags, mode) < 0) {
        free(lock);
        return NULL;
    }
    lock->mutex = segment_body(&lock->mapping);
    robust_set_up(lock->mutex);
    return lock;
}

static uintptr_t this_thread(void)
{
    return (uintptr_t)pthread_self();
}

int proc_lock_acquire(struct proc_lock *lock, int timeout_ms)
{
    if (timeout_ms < -1) {
        errno = EINVAL;
        return -1;
    }
    int result = robust_lock(lock->mutex, timeout_ms);
    if (result > 0)
        atomic_store_explicit(&lock->holder, this_thread(), memory_order_relaxed);
    return result;
}

static bool is_mine(const struct proc_lock *lock)
{
    return atomic_load_explicit(&lock->holder, memory_order_relaxed) == this_thread();
}

int proc_lock_release(struct proc_lock *lock)
{
    if (is_mine(lock))
        atomic_store_explicit(&lock->holder, 0, memory_order_relaxed);
    return robust_unlock(lock->mutex);
}

int proc_lock_remove(struct proc_lock *lock)
{
    return mapping_remove(&lock->mapping);
}

/* A mutex that this thread held would leave its list of them hanging in memory that is gone. */
void proc_lock_close(struct proc_lock *lock)
{
    if (!lock)
        return;
    if (is_mine(lock))
        robust_unlock(lock->mutex);
    mapping_close(&lock->mapping);
    free(lock);
}
