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
    atomic_bool is_held;        /* through this handle, unless it was released through another one … */
    _Atomic uintptr_t *last;    /* … which then was the last to take it: a word that all share */
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
    lock->last = segment_word(&lock->mapping);
    robust_set_up(lock->mutex);
    return lock;
}

int proc_lock_acquire(struct proc_lock *lock, int timeout_ms)
{
    if (timeout_ms < -1) {
        errno = EINVAL;
        return -1;
    }
    int result = robust_lock(lock->mutex, timeout_ms);
    if (result > 0) {
        atomic_store_explicit(&lock->is_held, true, memory_order_relaxed);
        atomic_store_explicit(lock->last, (uintptr_t)lock, memory_order_relaxed);
    }
    return result;
}

/* The note is changed first: once the lock is released, it is the next one's. */
int proc_lock_release(struct proc_lock *lock)
{
    bool was_held = atomic_load_explicit(&lock->is_held, memory_order_relaxed);

    atomic_store_explicit(&lock->is_held, false, memory_order_relaxed);
    int result = robust_unlock(lock->mutex);
    if (result < 0)
        atomic_store_explicit(&lock->is_held, was_held, memory_order_relaxed);
    return result;
}

int proc_lock_remove(struct proc_lock *lock)
{
    return mapping_remove(&lock->mapping);
}

static bool seems_mine(const struct proc_lock *lock)
{
    return atomic_load_explicit(&lock->is_held, memory_order_relaxed) &&
           atomic_load_explicit(lock->last, memory_order_relaxed) == (uintptr_t)lock;
}

/* A mutex that this thread held would leave its list of them hanging in memory that is gone. If it is another one's who holds
 * it, as in a forked child, it is not released. */
void proc_lock_close(struct proc_lock *lock)
{
    if (!lock)
        return;
    int saved = errno;
    if (seems_mine(lock))
        robust_unlock(lock->mutex);
    mapping_close(&lock->mapping);
    free(lock);
    errno = saved;
}
