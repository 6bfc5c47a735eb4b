/* Counters, each on a cache line of its own, so that those who use one do not slow down those who use its neighbour.
 *
 * A futex is 32 bits, so those who wait sleep on a word beside the value, which every wake changes. */
#include "futex.h"
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <proc/counter.h>
#include <stdlib.h>

struct cell {
    _Alignas(64) _Atomic int64_t value;
    _Atomic uint32_t wakes;
};

struct proc_counter {
    struct cell *cells;
    size_t count;
    struct mapping mapping;
};

struct proc_counter *proc_counter_open(key_t key, size_t count, int flags, mode_t mode)
{
    if (count == 0 || count > SIZE_MAX / sizeof(struct cell)) {
        errno = count == 0 ? EINVAL : ENOMEM;
        return NULL;
    }
    struct proc_counter *counter = calloc(1, sizeof *counter);
    if (!counter)
        return NULL;
    /* The size says how many there are: the shape need not. */
    if (segment_open(&counter->mapping, SEGMENT_COUNTER, 0, count * sizeof(struct cell), key, flags, mode) < 0) {
        free(counter);
        return NULL;
    }
    counter->cells = segment_body(&counter->mapping);
    counter->count = count;
    return counter;
}

static bool has(const struct proc_counter *counter, size_t i)
{
    if (i < counter->count)
        return true;
    errno = EINVAL;
    return false;
}

/* Nobody looks at the errno of these. */
static bool must_have(const struct proc_counter *counter, size_t i)
{
#ifdef PROC_DEBUG
    assert(i < counter->count);
#endif
    return has(counter, i);
}

int64_t proc_counter_add(struct proc_counter *counter, size_t i, int64_t delta)
{
    if (!must_have(counter, i))
        return 0;
    return (int64_t)((uint64_t)atomic_fetch_add(&counter->cells[i].value, delta) + (uint64_t)delta);
}

int64_t proc_counter_get(const struct proc_counter *counter, size_t i)
{
    return must_have(counter, i) ? atomic_load(&counter->cells[i].value) : 0;
}

void proc_counter_set(struct proc_counter *counter, size_t i, int64_t value)
{
    if (must_have(counter, i))
        atomic_store(&counter->cells[i].value, value);
}

bool proc_counter_cas(struct proc_counter *counter, size_t i, int64_t expected, int64_t desired)
{
    return must_have(counter, i) && atomic_compare_exchange_strong(&counter->cells[i].value, &expected, desired);
}

/* The word is read before the value: a wake that comes in between changes it, and the sleep does not begin. */
int proc_counter_wait(struct proc_counter *counter, size_t i, int64_t while_equal, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);

    if (timeout_ms < -1) {
        errno = EINVAL;
        return -1;
    }
    if (!has(counter, i))
        return -1;
    for (struct cell *cell = &counter->cells[i];;) {
        uint32_t wakes = atomic_load(&cell->wakes);

        if (atomic_load(&cell->value) != while_equal)
            return 1;
        int result = futex_wait(&cell->wakes, wakes, deadline);
        if (result >= 0 || errno != EAGAIN)
            return result;
    }
}

int proc_counter_wake(struct proc_counter *counter, size_t i, int n)
{
    if (!has(counter, i) || n < 0) {
        errno = EINVAL;
        return -1;
    }
    atomic_fetch_add(&counter->cells[i].wakes, 1);
    return n == 0 ? 0 : futex_wake(&counter->cells[i].wakes, n);
}

int proc_counter_remove(struct proc_counter *counter)
{
    return mapping_remove(&counter->mapping);
}

void proc_counter_close(struct proc_counter *counter)
{
    if (!counter)
        return;
    mapping_close(&counter->mapping);
    free(counter);
}
